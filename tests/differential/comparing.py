"""Whether a compiled operation answers as graphql-core does: data to the byte, and errors as far as they are decided.

Where several errors null the same place, the specification lets any one of them be told, and which one graphql-core
tells depends on which of its tasks fails first. Then both must null that place, and tell errors that are there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from graphql import ExecutionResult, GraphQLError

from gateway.execution.executor import COMPILED, VIOLATION, GraphExecutor
from gateway.execution.requests import OperationRequest, PreparedOperation, RequestError, Result
from resolvers.context import Context
from schema.composition import Composed
from schema.composition.strawberry_hooks import OperationExecutor

MAX_EVENTS: Final = 20
SETTLE_S: Final = 10.0
_Error = tuple[str, str, str]


class RawExecutor(GraphExecutor):
    """Answers with errors as they were raised, before anything is hidden from clients."""

    def __init__(self, graph: Composed, *, compiles: bool, propagates: bool = True) -> None:
        self.ran: Counter[str] = Counter()
        super().__init__(graph, lambda *_: None, self._count, compiles=compiles)
        self._propagates = propagates

    def _count(self, how: str) -> None:
        self.ran[how] += 1

    def _build(
        self,
        prepared: PreparedOperation,
        context: Context,
        executor_class: type[OperationExecutor] = OperationExecutor,
    ) -> OperationExecutor:
        built = super()._build(prepared, context, executor_class)
        built.error_propagation = self._propagates
        return built

    def _answer(
        self, result: ExecutionResult, context: Context, prepared: PreparedOperation, *, failed: bool = False
    ) -> Result:
        super()._answer(result, context, prepared, failed=failed)
        return {"data": result.data, "errors": [_raw(error) for error in result.errors or ()]}


def _raw(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    message = error.message
    if message.startswith("DataLoader must be"):
        # It quotes the ids that were asked for together, which depends on who asked first.
        message = message.partition("\n")[0]
    return {**error.formatted, "message": message, "cause": type(cause).__name__}


@dataclass(frozen=True, slots=True)
class Difference:
    """What two executions of one operation do not agree on."""

    what: str
    reference: object
    compiled: object

    def __str__(self) -> str:
        return f"{self.what}\n  graphql-core: {self.reference}\n  compiled:     {self.compiled}"


async def answers(
    executor: RawExecutor, request: OperationRequest, context: Context, *, alone: bool = False
) -> list[Result]:
    """All answers to a request: one, or those of the first events of a subscription.

    Where nothing else runs in this loop, calls that nobody waits for any more come to their end first.
    """
    before = asyncio.all_tasks()
    try:
        prepared = executor.prepare(request)
        if prepared.kind != "subscription":
            return [await executor.execute(prepared, context)]
        out: list[Result] = []
        stream = executor.stream(prepared, context)
        async for answer in stream:
            out.append(answer)
            if len(out) >= MAX_EVENTS:
                break
        await stream.aclose()
        return out
    except RequestError as error:
        return [{"refused": error.result}]
    finally:
        if alone:
            await _settle(before)


async def _settle(before: set[asyncio.Task[Any]]) -> None:
    while others := asyncio.all_tasks() - before:
        await asyncio.wait(others, timeout=SETTLE_S)


def differences(
    reference: Sequence[Result], compiled: Sequence[Result], possible: Sequence[Result]
) -> list[Difference]:
    """Where the answers differ. `possible` are those of graphql-core with every error told, none propagated."""
    if len(reference) != len(compiled):
        return [Difference("number of answers", reference, compiled)]
    everything = {_key(error) for answer in possible for error in answer.get("errors", ())}
    found: list[Difference] = []
    for one, other in zip(reference, compiled, strict=True):
        if one.get("refused") != other.get("refused"):
            found.append(Difference("refusal", one, other))
        elif _json(one.get("data")) != _json(other.get("data")):
            found.append(Difference("data", _json(one.get("data")), _json(other.get("data"))))
        else:
            found += _error_differences(one, other, everything)
    return found


def _error_differences(one: Result, other: Result, everything: set[_Error]) -> list[Difference]:
    ours, theirs = other.get("errors", []), one.get("errors", [])
    if Counter(map(_key, ours)) == Counter(map(_key, theirs)):
        return []
    data = one.get("data")
    if set(map(str, _nulled(theirs, data))) != set(map(str, _nulled(ours, data))):
        return [Difference("places that errors null", theirs, ours)]
    decided = [_decided(errors, data) for errors in (theirs, ours)]
    if decided[0] != decided[1]:
        return [Difference("errors", theirs, ours)]
    unknown = [error for error in ours if _key(error) not in everything]
    return [Difference("errors that graphql-core does not know", theirs, unknown)] if unknown else []


def _decided(errors: Iterable[dict[str, Any]], data: Any) -> Counter[_Error]:
    """The errors that null their own place and no other: no timing changes whether they are told."""
    return Counter(_key(error) for error in errors if _place(error, data) == error.get("path", []))


def _nulled(errors: Iterable[dict[str, Any]], data: Any) -> list[list[Any]]:
    return [_place(error, data) for error in errors]


def _place(error: dict[str, Any], data: Any) -> list[Any]:
    """Where the data is null because of this error."""
    place: list[Any] = []
    for step in error.get("path", []):
        if data is None:
            break
        data = data[step]
        place.append(step)
    return place


def _key(error: dict[str, Any]) -> _Error:
    return (
        error["message"],
        _json(error.get("path")),
        _json([error.get("locations"), error.get("extensions"), error["cause"]]),
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, default=repr).decode()


def is_exercised(ran: Counter[str]) -> bool:
    """Whether the compiler has had its part in it."""
    return bool(ran[COMPILED] + ran[VIOLATION])
