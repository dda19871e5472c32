"""Executes prepared operations on a graph and puts their answers into the form that clients rely on."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, cast

from graphql import ExecutionResult, GraphQLError, OperationType
from graphql.execution.execute import create_source_event_stream, map_source_to_response_event
from graphql.execution.values import VariableValues

from datastores.errors import ExpectedError, GoingAwayError
from datastores.mongo import Document
from resolvers.context import Context
from schema.composition import Composed
from schema.composition.strawberry_hooks import OperationExecutor, ResumingExecutor

from .documents import DocumentCache
from .generate import Program
from .loads import CommonLoads
from .planning import NotCompiledError
from .programs import KnownOperation, Programs
from .replays import Replay
from .requests import OUR_FAULT, OperationRequest, PreparedOperation, RequestError, Result
from .runs import Run
from .tallies import Tallies

MAX_COERCION_ERRORS: Final = 10
OnUnexpected = Callable[[Exception, Context, PreparedOperation], None]
OnExecution = Callable[[str], None]
COMPILED: Final = "compiled"
VIOLATION: Final = "violation"


class GraphExecutor:
    """Runs operations on one graph: those that come again compiled, all others by graphql-core, with the same answers.

    `on_unexpected` is told every exception that is not an ExpectedError, once; clients see only a request id.
    `on_execution` is told of each execution that it was `compiled`, or in a word why it was not; `violation` where a
    compiled run met an error and graphql-core took it up.
    """

    def __init__(
        self,
        graph: Composed,
        on_unexpected: OnUnexpected,
        on_execution: OnExecution = lambda _how: None,
        *,
        compiles: bool = True,
    ) -> None:
        self.graph = graph
        self.documents = DocumentCache(graph.graphql_schema)
        self.tallies = Tallies(graph.graphql_schema)
        self.programs = Programs(graph)
        self._on_unexpected = on_unexpected
        self._on_execution = on_execution
        self._compiles = compiles

    def prepare(self, request: OperationRequest) -> PreparedOperation:
        """The parsed, validated and limited operation; raises RequestError."""
        return self.documents.prepare(request)

    def cost(self, prepared: PreparedOperation, result: Result) -> int:
        """What has really been resolved for an answer, in the units of `prepared.cost`.

        Where an error has taken away more than its own field, nobody knows: then it is all that it may have been.
        """
        data = result.get("data")
        if any(_took_away(data, error.get("path") or ()) for error in result.get("errors", ())):
            return prepared.cost
        return self.tallies.count(prepared.document, prepared.operation, data)

    async def execute(self, prepared: PreparedOperation, context: Context) -> Result:
        """The answer to a query or a mutation: `data` and `errors`. Raises RequestError for wrong variables."""
        built: OperationExecutor | None = None
        try:
            known = self._known(prepared)
            variables = known.read_variables(prepared.request.variables)
            if variables is None:
                built = self._build(prepared, context)
                variables = built.variable_values.coerced
            program = known.program(variables)
        except NotCompiledError as error:
            self._on_execution(error.reason)
            made = (built or self._build(prepared, context)).execute_operation()
            result = await made if inspect.isawaitable(made) else made
            return self._answer(cast(ExecutionResult, result), context, prepared)
        extensions = dict(prepared.request.extensions)
        run = Run(program.info, context.fresh(), variables, extensions)
        if (data := await self._attempt(known, program, run)) is not None:
            return {"data": data}
        # Its records are of the nodes of the document that was compiled; this one has the same text.
        compiled_from = known.prepared._replace(request=prepared.request)
        executor = cast(ResumingExecutor, self._build(compiled_from, context, ResumingExecutor))
        executor.completed = run.completed
        return self._answer(await _replayed(executor, run), context, prepared)

    async def stream(self, prepared: PreparedOperation, context: Context) -> AsyncGenerator[Result, None]:
        """The answers to a subscription, one an event. Raises RequestError for wrong variables.

        A stream that ends because of an error ends with an answer that has `errors` alone; one that ends because the
        process stops raises GoingAwayError.
        """
        executor = self._build(prepared, context)
        source: Any = None
        try:
            made = create_source_event_stream(executor)
            source = await made if inspect.isawaitable(made) else made
            if isinstance(source, ExecutionResult):
                yield self._answer(source, context, prepared, failed=True)
                return
            source = map_source_to_response_event(executor, source, partial(self._execute_mapped, prepared))
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

    def subscribe(self, prepared: PreparedOperation, context: Context) -> Subscribed:
        """A subscription whose events and answers are asked for one by one. Raises RequestError for wrong variables."""
        return Subscribed(self, prepared, context, self._build(prepared, context))

    async def _execute_mapped(self, prepared: PreparedOperation, executor: Any) -> ExecutionResult:
        return await self._execute_event(prepared, executor, executor.root_value, None)

    async def _execute_event(
        self, prepared: PreparedOperation, executor: Any, event: Any, common: CommonLoads | None
    ) -> ExecutionResult:
        try:
            known = self._known(prepared)
            program = known.program(executor.variable_values.coerced)
        except NotCompiledError as error:
            self._on_execution(error.reason)
            made = executor.build_per_event_executor(event).execute_operation(False)
            return cast(ExecutionResult, await made if inspect.isawaitable(made) else made)
        run = Run(
            program.info,
            executor.context_value.fresh(),
            executor.variable_values.coerced,
            executor.operation_extensions,
            event,
            common,
        )
        if (data := await self._attempt(known, program, run)) is not None:
            return ExecutionResult(data, None)
        return await _replayed(executor.build_per_event_executor(event), run)

    def _known(self, prepared: PreparedOperation) -> KnownOperation:
        if not self._compiles:
            raise NotCompiledError("disabled")
        return self.programs.use(prepared)

    async def _attempt(self, known: KnownOperation, program: Program, run: Run) -> dict[str, Any] | None:
        """The data of a compiled run, or None where graphql-core is to take it up."""
        try:
            data = await program.run(run)
        except Exception:
            # Whatever it is, graphql-core finds it again, and says where it is.
            known.violations += 1
            self._on_execution(VIOLATION)
            return None
        known.violations = 0
        self._on_execution(COMPILED)
        return data

    def _build(
        self,
        prepared: PreparedOperation,
        context: Context,
        executor_class: type[OperationExecutor] = OperationExecutor,
    ) -> OperationExecutor:
        built = executor_class.build(
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


class Subscribed:
    """A subscription in its parts: where its events come from, and the answer to each; the context may change."""

    __slots__ = ("_context", "_executor", "_graph", "_prepared")

    def __init__(
        self, graph: GraphExecutor, prepared: PreparedOperation, context: Context, executor: OperationExecutor
    ) -> None:
        self._graph = graph
        self._prepared = prepared
        self._context = context
        self._executor = executor

    @property
    def variables(self) -> VariableValues:
        """The variables as they were coerced."""
        return self._executor.variable_values

    async def events(self) -> AsyncGenerator[Document, None]:
        """What happens, as documents. Raises what the use case raises, GraphQLError for wrong arguments."""
        made = create_source_event_stream(self._executor)
        source: Any = await made if inspect.isawaitable(made) else made
        if isinstance(source, ExecutionResult):
            raise (source.errors or [GraphQLError("There is no such stream")])[0]
        async with aclosing(source) as events:
            async for event in events:
                yield event

    async def answer(self, event: Document, common: CommonLoads | None = None) -> Result:
        """The answer to one event, executed with fresh loaders.

        What does not depend on who asks is read once for all that are given the same `common`, an empty one for each
        event.
        """
        result = await self._graph._execute_event(self._prepared, self._executor, event, common)
        return self._graph._answer(result, self._context, self._prepared)

    def failure(self, error: Exception) -> Result:
        """The last answer, of `errors` alone, where `error` ends the stream."""
        located = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
        return self._graph._answer(ExecutionResult(None, [located]), self._context, self._prepared, failed=True)


def _took_away(data: Any, path: Sequence[str | int]) -> bool:
    """Whether the null of an error at this path stands above it, in place of all that was resolved there."""
    at = data
    for step in path:
        if at is None:
            return True
        at = at[step]
    return False


async def _replayed(executor: OperationExecutor, run: Run) -> ExecutionResult:
    executor.middleware_manager = Replay(run.records)
    made = executor.execute_operation(False if run.info.operation.operation is OperationType.SUBSCRIPTION else None)
    return cast(ExecutionResult, await made if inspect.isawaitable(made) else made)
