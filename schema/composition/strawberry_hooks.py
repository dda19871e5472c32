"""The private parts of Strawberry that composition relies on; each is pinned by a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import strawberry
from graphql import OperationType
from strawberry.federation import Schema as FederationSchema
from strawberry.federation.schema import FederationAny
from strawberry.federation.schema_directives import FederationDirective
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter

from resolvers.context import Context

DEFINITION = GraphQLCoreConverter.DEFINITION_BACKREF


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
