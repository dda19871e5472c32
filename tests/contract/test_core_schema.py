"""Everything in `schema/core.graphql` stands in the graph, with the stated types, arguments and nullability."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
    value_from_ast,
)

from gateway.cli.schema_files import EXPORTED, PROMISED, exported_sdl
from schema.graph import DOMAINS, subgraph, whole_graph

CORE = build_schema(PROMISED.read_text(encoding="utf-8"))
GRAPH = whole_graph().graphql_schema
TYPES = sorted(
    name for name, t in CORE.type_map.items() if not is_introspection_type(t) and not is_specified_scalar_type(t)
)
FIELDS = sorted(
    (name, field)
    for name in TYPES
    if isinstance(CORE.type_map[name], GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType)
    for field in CORE.type_map[name].fields  # type: ignore[attr-defined]
)


def fields_of(schema: GraphQLSchema, name: str) -> dict[str, object]:
    return schema.type_map[name].fields  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_there(name: str) -> None:
    core: Any = CORE.type_map[name]
    ours: Any = GRAPH.type_map.get(name)

    assert isinstance(ours, type(core))
    if isinstance(core, GraphQLEnumType):
        assert list(core.values) == list(ours.values)
    if isinstance(core, GraphQLUnionType):
        assert {t.name for t in core.types} <= {t.name for t in ours.types}
    if isinstance(core, GraphQLObjectType):
        assert {t.name for t in core.interfaces} <= {t.name for t in ours.interfaces}


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_field_has_the_stated_type_and_arguments(name: str, field: str) -> None:
    core, ours = fields_of(CORE, name)[field], fields_of(GRAPH, name).get(field)

    assert ours is not None, f"{name}.{field} is missing"
    assert str(ours.type) == str(core.type)  # type: ignore[attr-defined]
    arguments = getattr(core, "args", {})
    for argument, stated in arguments.items():
        assert argument in ours.args, f"{name}.{field}({argument}:) is missing"  # type: ignore[attr-defined]
        assert str(ours.args[argument].type) == str(stated.type)  # type: ignore[attr-defined]
        assert default_of(ours.args[argument]) == default_of(stated)  # type: ignore[attr-defined]


def default_of(argument: object) -> object:
    node = getattr(argument, "ast_node", None)
    if node is not None and node.default_value is not None:
        return value_from_ast(node.default_value, argument.type)  # type: ignore[attr-defined]
    default = getattr(argument, "default_value", None)
    return [str(getattr(value, "value", value)) for value in default] if isinstance(default, list) else None


def test_one_of_stands_on_the_target_of_a_transfer() -> None:
    assert GRAPH.type_map["TransferTargetInput"].is_one_of is True  # type: ignore[attr-defined]


def test_everything_is_described() -> None:
    missing = [
        f"{name}.{field}" if field else name
        for name, graphql_type in GRAPH.type_map.items()
        if not is_introspection_type(graphql_type) and name not in ("Query", "Mutation", "Subscription")
        for field, described in [("", graphql_type), *getattr(graphql_type, "fields", {}).items()]
        if not described.description
    ]

    assert missing == []


def test_the_checked_in_sdl_is_the_codes_own() -> None:
    assert EXPORTED.read_text(encoding="utf-8") == exported_sdl()


@pytest.mark.parametrize("name", [domain.name for domain in DOMAINS])
def test_every_domain_is_a_subgraph_by_itself(name: str) -> None:
    sdl = subgraph(name).as_str()

    assert "federation/v2.9" in sdl
