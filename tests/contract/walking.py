"""Walks a schema: selections of everything that a type has, and which fields of which types answers have shown."""

from __future__ import annotations

from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

Seen = set[tuple[str, str]]


class Walker:
    """Writes selections of one schema. `arguments` gives those of fields that need some, by `Type.field`."""

    def __init__(self, schema: GraphQLSchema, arguments: dict[str, str]) -> None:
        self.schema = schema
        self._arguments = arguments

    def select(self, name: str, depth: int) -> str:
        """Every field of the type, and of the types below it down to `depth`."""
        graphql_type = self.schema.type_map[name]
        if isinstance(graphql_type, GraphQLUnionType):
            parts = " ".join(self._on(member, depth) for member in graphql_type.types)
            return f"__typename {parts}"
        if not isinstance(graphql_type, GraphQLObjectType):
            return "__typename id"
        fields = [self._field(graphql_type, field, f, depth) for field, f in graphql_type.fields.items()]
        return " ".join(["__typename", *filter(None, fields)])

    def _on(self, member: GraphQLObjectType, depth: int) -> str:
        return f"... on {member.name} {{ {self.select(member.name, depth)} }}"

    def _field(self, parent: GraphQLObjectType, name: str, field: GraphQLField, depth: int) -> str:
        arguments = self._arguments.get(f"{parent.name}.{name}", "")
        if not arguments and any(is_required_argument(argument) for argument in field.args.values()):
            return ""
        target = get_named_type(field.type)
        if is_leaf_type(target):
            return f"{name}{arguments}"
        # A page, an edge or an amount says nothing by itself, so it is written out with what it stands in.
        below = depth if self._is_part(target) else depth - 1
        if below < 0:
            has_id = "id" in getattr(target, "fields", {})
            return f"{name}{arguments} {{ __typename id }}" if has_id else ""
        if "first" in field.args and not arguments:
            arguments = "(first: 3)"
        return f"{name}{arguments} {{ {self.select(target.name, below)} }}"

    def _is_part(self, graphql_type: GraphQLNamedType) -> bool:
        if not isinstance(graphql_type, GraphQLObjectType):
            return False
        name = graphql_type.name
        return name.endswith(("Connection", "Edge", "Info")) or name in ("Money", "Media", "Reaction", "Receipt")


def shown(schema: GraphQLSchema, name: str, value: Any, seen: Seen) -> None:
    """Add to `seen` each (type, field) that has a value other than null somewhere in an answer of that type."""
    if isinstance(value, list):
        for item in value:
            shown(schema, name, item, seen)
        return
    if not isinstance(value, dict):
        return
    name = value.get("__typename", name)
    graphql_type: Any = schema.type_map[name]
    for field, inner in value.items():
        if field == "__typename" or inner is None or field not in graphql_type.fields:
            continue
        seen.add((name, field))
        shown(schema, get_named_type(graphql_type.fields[field].type).name, inner, seen)
