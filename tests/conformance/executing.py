"""Stands in for `execute` and `execute_sync` in graphql-core's tests: the same arguments, executed by our executor."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from hashlib import sha256
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    graphql_sync,
    print_ast,
)
from graphql.execution.execute import assume_not_async_iterable, assume_not_awaitable
from graphql.harness import default_harness

from gateway.execution.executor import GraphExecutor
from gateway.execution.requests import OperationRequest, PreparedOperation, Result
from resolvers.context import Context
from schema.composition.strawberry_hooks import OperationExecutor

from .calls import Call, DoesNotApplyError
from .graphs import ROOT_FIELD, AdaptedGraph

# How the executions of this process went: in the words of `GraphExecutor`, or refused for their variables.
executions: Final[Counter[str]] = Counter()
REFUSED: Final = "refused"
# Whether a result is asked for within a running loop and without waiting for it; set for each test.
at_once: Final[ContextVar[bool]] = ContextVar("at_once", default=False)
MAX_SECONDS: Final = 10
# The parameters of `execute` after schema and document, in their order; those of `execute_sync` that are given by
# position are the first of them.
_POSITIONS: Final = (
    "root_value",
    "context_value",
    "variable_values",
    "operation_name",
    "field_resolver",
    "type_resolver",
    "subscribe_field_resolver",
    "max_coercion_errors",
    "enable_early_execution",
    "middleware",
    "executor_class",
    "is_awaitable",
    "is_async_iterable",
)
_TAKEN: Final = frozenset({*_POSITIONS[:6], "max_coercion_errors", "hide_suggestions"})


def execute(schema: GraphQLSchema, document: DocumentNode, *positional: Any, **named: Any) -> Any:
    """The result, or within a running loop an awaitable of it."""
    call = _call(schema, document, dict(zip(_POSITIONS, positional, strict=False)) | named)
    if not _is_in_loop():
        return asyncio.run(_executed(call))
    if not at_once.get():
        return _executed(call)
    result = _executed_elsewhere(call)
    return _given(result) if call.seen.awaitable else result


def execute_sync(schema: GraphQLSchema, document: DocumentNode, *positional: Any, **named: Any) -> ExecutionResult:
    """The result, whatever must be waited for."""
    call = _call(schema, document, dict(zip(_POSITIONS, positional, strict=False)) | named)
    return _executed_elsewhere(call) if _is_in_loop() else asyncio.run(_executed(call))


def execute_text_sync(schema: GraphQLSchema, source: str, *positional: Any, **named: Any) -> ExecutionResult:
    """`graphql_sync` with our executor in the place of theirs."""
    return graphql_sync(schema, source, *positional, **{**named, "harness": _HARNESS})


def _execute_of_text(schema: GraphQLSchema, document: DocumentNode, *positional: Any, **named: Any) -> Any:
    """`execute_sync` as `graphql_sync` calls it: with functions that assume that nothing is to be awaited."""
    options = dict(zip(_POSITIONS, positional, strict=False)) | named
    assumed = (assume_not_awaitable, assume_not_async_iterable)
    given = {name: value for name, value in options.items() if value not in assumed}
    return execute_sync(schema, document, **given)


_HARNESS: Final = default_harness._replace(execute=_execute_of_text)


def _call(schema: GraphQLSchema, document: DocumentNode, options: dict[str, Any]) -> Call:
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    if unknown := given.keys() - _TAKEN:
        raise DoesNotApplyError(f"our executor has no {', '.join(sorted(unknown))}")
    return Call(schema, document, **given)


def _executed_elsewhere(call: Call) -> ExecutionResult:
    """The result by a loop of its own, in a thread, since this one is running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _executed(call)).result()


async def _given(result: ExecutionResult) -> ExecutionResult:
    return result


async def _executed(call: Call) -> ExecutionResult:
    """The result; raises TimeoutError after MAX_SECONDS."""
    return await asyncio.wait_for(_executed_by_ours(call), MAX_SECONDS)


async def _executed_by_ours(call: Call) -> ExecutionResult:
    graph, operation = AdaptedGraph(call), call.operation()
    document, is_rooted = call.document, graph.is_rooted and operation.operation is OperationType.QUERY
    if is_rooted:
        rooted = _rooted(operation)
        definitions = tuple(rooted if each is operation else each for each in document.definitions)
        document, operation = DocumentNode(definitions=definitions, loc=document.loc), rooted
    text = print_ast(document)
    request = OperationRequest(text, call.operation_name, call.variable_values, persisted=True)
    prepared = PreparedOperation(
        request, sha256(text.encode()).digest(), document, operation, operation.operation.value, call.operation_name, 0
    )
    try:
        answer = await _Executor(graph).execute(prepared, call.context())
    except _RefusedError as error:
        executions[REFUSED] += 1
        return ExecutionResult(None, error.errors)
    result: ExecutionResult = answer.get("result") or ExecutionResult(answer["data"], None)
    return _unrooted(result) if is_rooted else result


class _Executor(GraphExecutor):
    """Ours, but that errors stay as they are: what clients are told of them is not graphql-core's to say."""

    def __init__(self, graph: AdaptedGraph) -> None:
        super().__init__(graph, _unexpected, _count)
        self._call = graph.call

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
            max_coercion_errors=self._call.max_coercion_errors,
            hide_suggestions=self._call.hide_suggestions,
        )
        if isinstance(built, list):
            raise _RefusedError(built)
        return cast(OperationExecutor, built)

    def _answer(
        self, result: ExecutionResult, context: Context, prepared: PreparedOperation, *, failed: bool = False
    ) -> Result:
        return {"result": result}


class _RefusedError(Exception):
    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


def _unexpected(error: Exception, _context: Context, _prepared: PreparedOperation) -> None:
    raise AssertionError("errors are not told here") from error


def _count(how: str) -> None:
    executions[how] += 1


def _rooted(operation: OperationDefinitionNode) -> OperationDefinitionNode:
    """The operation with its selection below ROOT_FIELD."""
    field = FieldNode(
        name=NameNode(value=ROOT_FIELD), alias=None, arguments=(), directives=(), selection_set=operation.selection_set
    )
    return OperationDefinitionNode(
        operation=operation.operation,
        name=operation.name,
        variable_definitions=operation.variable_definitions,
        directives=operation.directives,
        selection_set=SelectionSetNode(selections=(field,)),
        loc=operation.loc,
    )


def _unrooted(result: ExecutionResult) -> ExecutionResult:
    """The result without ROOT_FIELD."""
    for error in result.errors or ():
        if error.path:
            error.path = error.path[1:] or None
    return ExecutionResult(result.data and result.data[ROOT_FIELD], result.errors)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
