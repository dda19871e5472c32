"""One call of `execute` in graphql-core's tests: what it was given, and what its resolvers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLFieldResolver,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLTypeResolver,
    OperationDefinitionNode,
    default_field_resolver,
    default_type_resolver,
)
from graphql.execution.values import VariableValues
from graphql.language import Visitor, visit
from graphql.pyutils import Path, is_awaitable

from gateway.execution.runs import HELPERS
from resolvers.context import Context


class DoesNotApplyError(Exception):
    """A test asks for something of graphql-core that our executor does not have: it must be left out by name."""


@dataclass(slots=True)
class Seen:
    """What a call has come across: whether a resolver returned something to be awaited."""

    awaitable: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of `execute`, less those of graphql-core's extension points."""

    schema: GraphQLSchema
    document: DocumentNode
    root_value: Any = None
    context_value: Any = None
    variable_values: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    field_resolver: GraphQLFieldResolver = default_field_resolver
    type_resolver: GraphQLTypeResolver = default_type_resolver
    max_coercion_errors: int = 50
    hide_suggestions: bool = False
    seen: Seen = field(default_factory=Seen)

    def operation(self) -> OperationDefinitionNode:
        """The operation that is asked for; raises DoesNotApplyError where that is none: ours are told which it is."""
        operations = [each for each in self.document.definitions if isinstance(each, OperationDefinitionNode)]
        if self.operation_name is not None:
            operations = [each for each in operations if each.name and each.name.value == self.operation_name]
        if len(operations) != 1 or self.schema.get_root_type(operations[0].operation) is None:
            raise DoesNotApplyError("there is no such operation, or there are several")
        return operations[0]

    def names_selected(self) -> frozenset[str]:
        """The names of all fields that the document selects anywhere."""
        names = _Names()
        visit(self.document, names)
        return frozenset(names.found)

    def context(self) -> Context:
        """A context of ours that stands for theirs."""
        nothing: Any = SimpleNamespace()
        return Context(nothing, nothing, nothing)

    def info(
        self, parent: GraphQLObjectType, name: str, definition: GraphQLField, raw: Any = None
    ) -> GraphQLResolveInfo[Any]:
        """What a resolver is told; of where the field stands in the answer only as much as `raw` knows."""
        fragments = {e.name.value: e for e in self.document.definitions if isinstance(e, FragmentDefinitionNode)}
        return GraphQLResolveInfo(
            name,
            list(raw.field_nodes) if raw is not None else [],
            definition.type,
            parent,
            raw.path if raw is not None else Path(None, name, parent.name),
            self.schema,
            fragments,
            self.root_value,
            self.operation(),
            VariableValues({}, dict(raw.variable_values if raw is not None else self.variable_values)),
            self.context_value,
            is_awaitable,
            None,
            raw.async_helpers if raw is not None else HELPERS,
        )


class _Names(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.found.add(node.name.value)
