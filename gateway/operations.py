"""How an operation runs, whatever brought it: found, prepared, within a deadline, and a mutation to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, AsyncExitStack, aclosing, nullcontext
from dataclasses import replace
from time import monotonic
from typing import Any, Final, Literal, NamedTuple, Protocol

import orjson
import structlog

from datastores.errors import ExpectedError, GoingAwayError
from gateway.budgets import REFUSED_COST, Budgets, Client
from gateway.execution.requests import OUR_FAULT, OperationRequest, Outlet, PreparedOperation, RequestError, Result
from gateway.identity.identities import Identity
from gateway.metrics import Metrics
from gateway.persisted import Documents
from gateway.timers import OverdueError, Timers
from gateway.transports.parameters import Parameters
from resolvers.audiences import Listening
from resolvers.context import Context

MUTATION_GRACE_S: Final = 30.0
# These were read, which is work; whoever asks for an unknown id has caused none.
REFUSED_DOCUMENTS: Final = frozenset({"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "QUERY_TOO_COMPLEX"})

Transport = Literal["http", "sse", "websocket"]
_log = structlog.get_logger(__name__)

OpenContext = Callable[[Identity, str], Awaitable[Context]]
Here = Callable[[str | None], AbstractContextManager[object]]


class Graph(Protocol):
    """What executes: see `gateway/execution/executor.py`."""

    def prepare(self, request: OperationRequest) -> PreparedOperation:
        """The operation that a request asks for; raises RequestError."""
        ...

    async def execute(self, prepared: PreparedOperation, context: Context) -> Result:
        """The answer to a query or a mutation; raises RequestError for wrong variables."""
        ...

    def stream(self, prepared: PreparedOperation, context: Context) -> AsyncGenerator[Result, None]:
        """The answers to a subscription; an answer without `data` is its last. Raises RequestError."""
        ...

    def cost(self, prepared: PreparedOperation, result: Result) -> int:
        """What has really been resolved for an answer, in the units of `prepared.cost`."""
        ...


class Streams(Protocol):
    """What lets several hear one stream: see `gateway/live/groups.py`."""

    def stream(
        self, prepared: PreparedOperation, context: Context, outlet: Outlet | None, *, is_shared: bool
    ) -> AsyncGenerator[Result | bytes, None]:
        """As of a Graph; answers that others get too are bytes, and have `data`. `outlet` may be given them first."""
        ...


class Asked(NamedTuple):
    """Who asks, over what, under which request id, and whose budget it costs."""

    identity: Identity
    transport: Transport
    request_id: str
    client: Client


class _Alone:
    """A stream that is executed for one subscriber, counted from when it has caught up to its end."""

    __slots__ = ("_is_counted", "_metrics")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._is_counted = False

    def is_live(self, _place: int) -> None:
        if not self._is_counted:
            self._is_counted = True
            self._metrics.alone(1)

    def ended(self) -> None:
        if self._is_counted:
            self._metrics.alone(-1)


class Operations:
    """Runs operations on a graph.

    A query is given up at the deadline and when it is cancelled. A mutation goes on to its end in either case, for at
    most 30 s past the deadline, since nobody could tell half of one from none. `metrics` counts every operation once.

    An operation takes its cost out of its client's bucket before it runs, and what it did not use goes back once it has
    answered. A subscription pays once: what others do must not empty the bucket of whoever listens. It may share its
    answers through `streams`, unless they are to tell what they cost its client. For as long as it runs its reader is
    `here`.
    """

    def __init__(
        self,
        graph: Graph,
        documents: Documents,
        open_context: OpenContext,
        *,
        deadline_s: float,
        metrics: Metrics,
        budgets: Budgets,
        streams: Streams | None = None,
        here: Here = nullcontext,
    ) -> None:
        self._graph = graph
        self._streams = streams
        self._here = here
        self._documents = documents
        self._open_context = open_context
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._budgets = budgets
        self._timers = Timers()
        self._mutations: set[asyncio.Task[Result]] = set()

    async def prepare(self, parameters: Parameters, asked: Asked) -> PreparedOperation:
        """The operation that the parameters name; raises RequestError, RATE_LIMITED (429) among them."""
        started = monotonic()
        try:
            self._budgets.check(asked.client)
            await self._documents.fetch(parameters)
            prepared = self._graph.prepare(self._documents.request(parameters))
            self._budgets.check_cost(prepared.cost)
            await self._documents.register(parameters)
        except Exception as error:
            refused = self._refused(error, asked)
            if refused.code in REFUSED_DOCUMENTS:
                self._budgets.charge(asked.client, REFUSED_COST)
            self._ended(asked, None, refused.code, started)
            raise refused from None
        return prepared

    async def run(self, prepared: PreparedOperation, asked: Asked) -> Result:
        """The one answer to a query or a mutation; raises RequestError, DEADLINE_EXCEEDED (504) among them."""
        if prepared.kind != "mutation":
            return await self._execute(prepared, asked, self._deadline_s)
        kept = self._keep(self._execute(prepared, asked, self._deadline_s + MUTATION_GRACE_S))
        try:
            return await self._timers.within(self._deadline_s, asyncio.shield(kept))
        except OverdueError:
            raise _deadline_exceeded(prepared) from None

    async def stream(
        self, prepared: PreparedOperation, asked: Asked, outlet: Outlet | None = None
    ) -> AsyncGenerator[Result | bytes, None]:
        """The answers to any operation. An answer without `data` is the last; one that others get too is bytes.

        `outlet` sends an answer, JSON, at once, or answers False where its client does not take it now. While the next
        answer is waited for, those that others get too go there; what it does not take comes here.
        Raises GoingAwayError when the process stops: the client should come back with its last cursor.
        """
        if prepared.kind != "subscription":
            try:
                yield await self.run(prepared, asked)
            except RequestError as error:
                yield error.result
            return
        started, outcome = monotonic(), "cancelled"
        alone = _Alone(self._metrics)
        self._metrics.subscription_started(asked.transport)
        try:
            self._budgets.take(asked.client, prepared.cost)
            opened = await self._open_context(asked.identity, asked.request_id)
            # What is shared has a place to listen from of its own.
            context = replace(opened, listening=Listening(on_live=alone.is_live))
            tells_cost = is_cost_wanted(prepared)
            async with AsyncExitStack() as stack:
                stack.enter_context(self._here(context.viewer.user_id))
                answers = self._answers(prepared, context, outlet, is_shared=not tells_cost)
                await stack.enter_async_context(aclosing(answers))
                async for answer in answers:
                    if isinstance(answer, bytes):
                        pass
                    elif "data" not in answer:
                        outcome = outcome_of(answer)
                    elif tells_cost:
                        self._tell_cost(prepared, asked, answer, self._graph.cost(prepared, answer))
                    yield answer
            outcome = "ok" if outcome == "cancelled" else outcome
        except GoingAwayError:
            raise
        except Exception as error:
            refused = self._refused(error, asked)
            outcome = refused.code
            yield refused.result
        finally:
            alone.ended()
            self._metrics.subscription_ended(asked.transport)
            self._ended(asked, prepared, outcome, started)

    @staticmethod
    def encode(result: Result | bytes, asked: Asked) -> bytes:
        """A result as JSON; an INTERNAL error in its place where a value cannot be written as JSON."""
        return result if isinstance(result, bytes) else encoded(result, asked.request_id)

    async def drain(self, timeout_s: float) -> None:
        """Return when no mutation runs any more, or after `timeout_s`."""
        if self._mutations:
            await asyncio.wait(self._mutations, timeout=timeout_s)

    def _answers(
        self, prepared: PreparedOperation, context: Context, outlet: Outlet | None, *, is_shared: bool
    ) -> AsyncGenerator[Any, None]:
        if self._streams is not None:
            return self._streams.stream(prepared, context, outlet, is_shared=is_shared)
        return self._graph.stream(prepared, context)

    async def _execute(self, prepared: PreparedOperation, asked: Asked, limit_s: float) -> Result:
        started, outcome = monotonic(), "cancelled"
        try:
            self._budgets.take(asked.client, prepared.cost)
            result = await self._timers.within(limit_s, self._answer(prepared, asked))
            self._settle(prepared, asked, result)
            outcome = outcome_of(result)
            return result
        except Exception as error:
            is_overdue = isinstance(error, OverdueError)
            refused = _deadline_exceeded(prepared) if is_overdue else self._refused(error, asked)
            outcome = refused.code
            raise refused from None
        finally:
            self._ended(asked, prepared, outcome, started)

    async def _answer(self, prepared: PreparedOperation, asked: Asked) -> Result:
        context = await self._open_context(asked.identity, asked.request_id)
        return await self._graph.execute(prepared, context)

    def _settle(self, prepared: PreparedOperation, asked: Asked, result: Result) -> None:
        actual = self._graph.cost(prepared, result)
        self._budgets.give_back(asked.client, prepared.cost - actual)
        if is_cost_wanted(prepared):
            self._tell_cost(prepared, asked, result, actual)

    def _tell_cost(self, prepared: PreparedOperation, asked: Asked, result: Result, actual: int) -> None:
        cost = {"requested": prepared.cost, "actual": actual, **self._budgets.state(asked.client)}
        result.setdefault("extensions", {})["cost"] = cost

    def _keep(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.get_running_loop().create_task(work)
        self._mutations.add(task)
        task.add_done_callback(self._mutations.discard)
        # Its client may have gone: its failure is counted and told already.
        task.add_done_callback(_retrieve)
        return task

    @staticmethod
    def _refused(error: Exception, asked: Asked) -> RequestError:
        if isinstance(error, RequestError):
            return error
        if isinstance(error, ExpectedError):
            return refusal_of(error)
        _unexpected(error, asked)
        return internal_error(asked.request_id)

    def _ended(self, asked: Asked, prepared: PreparedOperation | None, outcome: str, started: float) -> None:
        kind, name = (prepared.kind, prepared.name) if prepared is not None else (None, None)
        self._metrics.operation(kind, name, asked.transport, outcome, monotonic() - started)


def encoded(result: Result, request_id: str) -> bytes:
    """A result as JSON; an INTERNAL error in its place where a value cannot be written as JSON."""
    try:
        return orjson.dumps(result)
    except TypeError as error:
        _log.error("answer_not_encoded", request_id=request_id, exc_info=error)
        return orjson.dumps(internal_error(request_id).result)


def _unexpected(error: Exception, asked: Asked) -> None:
    _log.error("operation_failed", request_id=asked.request_id, transport=asked.transport, exc_info=error)


def is_cost_wanted(prepared: PreparedOperation) -> bool:
    """Whether the request says `"extensions": {"cost": true}`: then its answers tell what they cost."""
    return prepared.request.extensions.get("cost") is True


def outcome_of(result: Result) -> str:
    """`ok`, or the code of a result's first error."""
    if not (errors := result.get("errors")):
        return "ok"
    return str((errors[0].get("extensions") or {}).get("code", "INTERNAL"))


def refusal_of(error: ExpectedError) -> RequestError:
    """The error of a whole request: what a subscription ends with, or why nothing could be begun."""
    plain = {name: value for name, value in error.details.items() if isinstance(value, str | int | list)}
    details = {"message": error.message, "extensions": {"code": error.code, **plain}}
    return RequestError(error.code, error.message, STATUSES.get(error.code, 400), errors=[details])


def internal_error(request_id: str) -> RequestError:
    """INTERNAL (500), with nothing of the cause but the id under which it is logged."""
    error = {"message": OUR_FAULT, "extensions": {"code": "INTERNAL", "requestId": request_id}}
    return RequestError("INTERNAL", OUR_FAULT, 500, errors=[error])


STATUSES: Final = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "RATE_LIMITED": 429,
    "INTERNAL": 503,
    "DEADLINE_EXCEEDED": 504,
}


def _deadline_exceeded(prepared: PreparedOperation) -> RequestError:
    message = "The operation took too long and was given up: ask for less, or try again"
    if prepared.kind == "mutation":
        message = "The mutation took too long to answer and may still happen: retry with the same key to learn"
    return RequestError("DEADLINE_EXCEEDED", message, 504)


def _retrieve(task: asyncio.Task[Result]) -> None:
    if not task.cancelled():
        task.exception()
