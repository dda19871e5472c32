"""The private parts of Strawberry that composition relies on; each is pinned by a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import strawberry
from graphql import OperationType
from strawberry.federation import Schema as FederationSchema
from strawberry.federation.schema import FederationAny
from strawberry.federation.schema_directives import FederationDirective
from strawberry.relay.types import GlobalID
from strawberry.schema.schema import (
    StrawberryGraphQLCoreExecutionContext,
    _OperationContextAwareGraphQLResolveInfo,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryOptional
from strawberry.types.field import StrawberryField

from resolvers.context import Context

DEFINITION = GraphQLCoreConverter.DEFINITION_BACKREF
ResolveInfo = _OperationContextAwareGraphQLResolveInfo


class SelectingInfo(ResolveInfo):
    """What a compiled operation tells a root method: also `keys`, by type those that are read of its documents."""

    keys: Mapping[str, frozenset[str]] = MappingProxyType({})


class PlainSchema(strawberry.Schema):
    """A Strawberry schema of federated classes without a trace of federation."""

    def _warn_for_federation_directives(self) -> None:
        return None

    def _collect_schema_directives(self, *args: Any) -> Any:
        found = super()._collect_schema_directives(*args)
        return [directive for directive in found if not issubclass(directive, FederationDirective)]


class FederatedSchema(FederationSchema):
    """A Strawberry subgraph whose `_entities` are resolved by `resolve_entities`.

    Strawberry's own resolves one after another, and fails them all for one of an unknown type.
    """

    def entities_resolver(self, info: strawberry.Info, representations: list[FederationAny]) -> list[FederationAny]:
        return self.resolve_entities(info.context, representations)

    def resolve_entities(self, context: Context, representations: Sequence[Any]) -> list[Any]:
        """For each representation its document, None, or an awaitable of either."""
        raise NotImplementedError


class OperationExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor with a fresh `Context` for a query, each root field of a mutation, each event."""

    def execute_operation(self, serially: bool | None = None) -> Any:
        self.context_value = self.context_value.fresh()
        return super().execute_operation(serially)

    def build_resolve_info(self, field_def: Any, field_nodes: Any, parent_type: Any, path: Any) -> Any:
        if path.prev is None and self.operation.operation is OperationType.MUTATION:
            self.context_value = self.context_value.fresh()
        return super().build_resolve_info(field_def, field_nodes, parent_type, path)


class ResumingExecutor(OperationExecutor):
    """Executes an operation of which the root fields in `completed` have been executed, with these results."""

    completed: Mapping[str, Any] = MappingProxyType({})

    def execute_field(self, parent_type: Any, source: Any, field_details_list: Any, path: Any, *args: Any) -> Any:
        if path.prev is None and path.key in self.completed:
            return self.completed[path.key]
        return super().execute_field(parent_type, source, field_details_list, path, *args)


def python_arguments(schema: Any, field: StrawberryField) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """By the names of arguments in GraphQL: their names in Python, and what turns a coerced value into Python's."""
    converter = schema.schema_converter
    return {
        converter.config.name_converter.from_argument(argument): (
            argument.python_name,
            partial(
                convert_argument,
                type_=argument.type,
                scalar_registry=converter.scalar_registry,
                config=converter.config,
            ),
        )
        for argument in field.arguments
    }


def is_read_as_is(field: StrawberryField, python_name: str) -> bool:
    """Whether Strawberry hands a leaf value of this argument on as graphql-core coerced it."""
    argument_type = next(each.type for each in field.arguments if each.python_name == python_name)
    if isinstance(argument_type, StrawberryMaybe):
        return False
    if isinstance(argument_type, StrawberryOptional):
        argument_type = argument_type.of_type
    return argument_type is not GlobalID


def resolver_parameters(field: StrawberryField) -> tuple[bool, tuple[str, ...], str | None]:
    """Of a field's resolver: whether it takes the source as `self`, under which names, and what it calls its info."""
    resolver: Any = field.base_resolver
    sources = (resolver.parent_parameter, resolver.root_parameter)
    names = tuple(parameter.name for parameter in sources if parameter)
    info = resolver.info_parameter
    return bool(resolver.self_parameter), names, info.name if info else None
