"""Executes prepared operations on a graph and puts their answers into the form that clients rely on."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, cast

from graphql import ExecutionResult, GraphQLError
from graphql.execution.execute import subscribe

from datastores.errors import ExpectedError, GoingAwayError
from resolvers.context import Context
from schema.composition import Composed
from schema.composition.strawberry_hooks import OperationExecutor

from .documents import DocumentCache
from .requests import OUR_FAULT, OperationRequest, PreparedOperation, RequestError, Result
from .tallies import Tallies

MAX_COERCION_ERRORS: Final = 10
OnUnexpected = Callable[[Exception, Context, PreparedOperation], None]


class GraphExecutor:
    """Runs operations on one graph.

    `on_unexpected` is told every exception that is not an ExpectedError, once; clients see only a request id.
    """

    def __init__(self, graph: Composed, on_unexpected: OnUnexpected) -> None:
        self.graph = graph
        self.documents = DocumentCache(graph.graphql_schema)
        self.tallies = Tallies(graph.graphql_schema)
        self._on_unexpected = on_unexpected

    def prepare(self, request: OperationRequest) -> PreparedOperation:
        """The parsed, validated and limited operation; raises RequestError."""
        return self.documents.prepare(request)

    def cost(self, prepared: PreparedOperation, result: Result) -> int:
        """What has really been resolved for an answer, in the units of `prepared.cost`."""
        return self.tallies.count(prepared.document, prepared.operation, result.get("data"))

    async def execute(self, prepared: PreparedOperation, context: Context) -> Result:
        """The answer to a query or a mutation: `data` and `errors`. Raises RequestError for wrong variables."""
        made = self._build(prepared, context).execute_operation()
        result = await made if inspect.isawaitable(made) else made
        return self._answer(cast(ExecutionResult, result), context, prepared)

    async def stream(self, prepared: PreparedOperation, context: Context) -> AsyncGenerator[Result, None]:
        """The answers to a subscription, one an event. Raises RequestError for wrong variables.

        A stream that ends because of an error ends with an answer that has `errors` alone; one that ends because the
        process stops raises GoingAwayError.
        """
        self._build(prepared, context)
        source: Any = None
        try:
            source = await self._subscribe(prepared, context)
            if isinstance(source, ExecutionResult):
                yield self._answer(source, context, prepared, failed=True)
                return
            async for result in source:
                yield self._answer(result, context, prepared)
        except GoingAwayError:
            raise
        except Exception as error:
            located = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
            yield self._answer(ExecutionResult(None, [located]), context, prepared, failed=True)
        finally:
            if source is not None and hasattr(source, "aclose"):
                await source.aclose()

    def _build(self, prepared: PreparedOperation, context: Context) -> OperationExecutor:
        built = OperationExecutor.build(
            self.graph.graphql_schema,
            prepared.document,
            context_value=context,
            raw_variable_values=dict(prepared.request.variables),
            operation_name=prepared.name,
            max_coercion_errors=MAX_COERCION_ERRORS,
            operation_extensions=dict(prepared.request.extensions),
        )
        if isinstance(built, list):
            errors = [{**error.formatted, "extensions": {"code": "INVALID_INPUT"}} for error in built]
            raise RequestError("INVALID_INPUT", built[0].message, errors=errors)
        return cast(OperationExecutor, built)

    async def _subscribe(self, prepared: PreparedOperation, context: Context) -> Any:
        made = subscribe(
            self.graph.graphql_schema,
            prepared.document,
            context_value=context,
            variable_values=dict(prepared.request.variables),
            operation_name=prepared.name,
            max_coercion_errors=MAX_COERCION_ERRORS,
            executor_class=OperationExecutor,
            operation_extensions=dict(prepared.request.extensions),
        )
        return await made if inspect.isawaitable(made) else made

    def _answer(
        self, result: ExecutionResult, context: Context, prepared: PreparedOperation, *, failed: bool = False
    ) -> Result:
        errors = self._errors(result.errors or (), context, prepared)
        if failed:
            return {"errors": errors}
        answer: Result = {"data": result.data}
        if errors:
            answer["errors"] = errors
        return answer

    def _errors(
        self, errors: Sequence[GraphQLError], context: Context, prepared: PreparedOperation
    ) -> list[dict[str, Any]]:
        return [self._error(error, context, prepared) for error in errors]

    def _error(self, error: GraphQLError, context: Context, prepared: PreparedOperation) -> dict[str, Any]:
        formatted: dict[str, Any] = dict(error.formatted)
        cause = error.original_error
        while isinstance(cause, GraphQLError) and cause.original_error is not None:
            cause = cause.original_error
        if isinstance(cause, ExpectedError):
            details = {name: value for name, value in cause.details.items() if isinstance(value, str | int | list)}
            formatted["message"] = cause.message
            formatted["extensions"] = {"code": cause.code, **details}
            return formatted
        if cause is None or isinstance(cause, GraphQLError):
            formatted["extensions"] = {"code": "INVALID_INPUT" if cause is None else "INTERNAL"}
            if cause is None and not str(error.message).startswith("Cannot return null"):
                return formatted
        self._on_unexpected(cause or error, context, prepared)
        formatted["message"] = OUR_FAULT
        formatted["extensions"] = {"code": "INTERNAL", "requestId": context.request_id}
        return formatted
