"""Each private part of Strawberry that composition relies on is still there, and is still called."""

from __future__ import annotations

import inspect

import pytest
import strawberry
from graphql import GraphQLObjectType, print_schema
from graphql.execution import Executor
from strawberry.federation import Schema as FederationSchema
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter

from schema.composition.strawberry_hooks import (
    DEFINITION,
    FederatedSchema,
    OperationExecutor,
    PlainSchema,
    ResolveInfo,
    ResumingExecutor,
    is_read_as_is,
    python_arguments,
    resolver_parameters,
)


@strawberry.federation.type(keys=["id"])
class Thing:
    id: strawberry.ID


@strawberry.type
class Query:
    thing: Thing | None = None


def test_a_type_leads_back_to_its_definition() -> None:
    schema = PlainSchema(Query)
    thing = schema._schema.type_map["Thing"]

    assert GraphQLCoreConverter.DEFINITION_BACKREF == DEFINITION
    assert isinstance(thing, GraphQLObjectType)
    assert thing.extensions[DEFINITION].origin is Thing
    assert thing.fields["id"].extensions[DEFINITION].python_name == "id"


def test_a_schema_asks_for_the_fields_of_each_type() -> None:
    asked: list[str] = []

    class Asking(PlainSchema):
        def get_fields(self, type_definition):  # type: ignore[no-untyped-def]
            asked.append(type_definition.name)
            return super().get_fields(type_definition)

    print_schema(Asking(Query)._schema)

    assert {"Query", "Thing"} <= set(asked)


def test_a_plain_schema_drops_the_directives_of_federation() -> None:
    plain = {directive.name for directive in PlainSchema(Query)._schema.directives}
    with pytest.warns(UserWarning, match="Federation directive"):
        usual = {directive.name for directive in strawberry.Schema(Query)._schema.directives}

    assert "key" in usual
    assert "key" not in plain


def test_a_federated_schema_resolves_entities_by_its_method() -> None:
    seen: list[object] = []

    class Seeing(FederatedSchema):
        def resolve_entities(self, context, representations):  # type: ignore[no-untyped-def]
            seen.extend(representations)
            return [None for _ in representations]

    query = '{ _entities(representations: [{__typename: "Thing", id: "1"}]) { __typename } }'
    result = Seeing(Query).execute_sync(query)

    assert result.data == {"_entities": [None]}
    assert seen == [{"__typename": "Thing", "id": "1"}]
    assert list(inspect.signature(FederationSchema.entities_resolver).parameters)[1:] == ["info", "representations"]


def test_the_executor_has_the_places_at_which_contexts_are_made_fresh() -> None:
    assert issubclass(OperationExecutor, StrawberryGraphQLCoreExecutionContext)
    assert issubclass(StrawberryGraphQLCoreExecutionContext, Executor)
    assert list(inspect.signature(Executor.execute_operation).parameters) == ["self", "serially"]
    assert list(inspect.signature(StrawberryGraphQLCoreExecutionContext.build_resolve_info).parameters) == [
        "self",
        "field_def",
        "field_nodes",
        "parent_type",
        "path",
    ]
    assert "build_per_event_executor" in dir(Executor)


@strawberry.input
class Wish:
    how_many: int


@strawberry.type
class Asking:
    @strawberry.field
    def ask(self, info: strawberry.Info, wish: Wish, at_most: strawberry.Maybe[int] = None, by: int = 1) -> str:
        return ""


def test_arguments_become_what_strawberry_makes_of_them() -> None:
    schema = PlainSchema(Asking)
    asking = schema._schema.type_map["Asking"]
    assert isinstance(asking, GraphQLObjectType)
    field = asking.fields["ask"].extensions[DEFINITION]

    arguments = python_arguments(schema, field)

    assert {name: python for name, (python, _) in arguments.items()} == {
        "wish": "wish",
        "atMost": "at_most",
        "by": "by",
    }
    assert arguments["wish"][1]({"howMany": 3}) == Wish(how_many=3)
    assert [is_read_as_is(field, name) for name in ("by", "at_most")] == [True, False]
    assert resolver_parameters(field) == (True, (), "info")


def test_an_info_for_resolvers_has_the_fields_that_are_filled_in() -> None:
    assert ResolveInfo._fields == (
        "field_name",
        "field_nodes",
        "return_type",
        "parent_type",
        "path",
        "schema",
        "fragments",
        "root_value",
        "operation",
        "variable_values",
        "context",
        "is_awaitable",
        "abort_signal",
        "async_helpers",
        "operation_extensions",
    )


def test_the_executor_has_the_place_at_which_fields_are_executed() -> None:
    expected = ["self", "parent_type", "source", "field_details_list", "path", "position_context"]

    assert list(inspect.signature(Executor.execute_field).parameters) == expected
    assert issubclass(ResumingExecutor, OperationExecutor)
