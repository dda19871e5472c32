"""Playing many trials at once, each worker with a cast of its own, since one after the other would take minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tests.contract.acts import key
from tests.contract.ledger.cast import Cast, gather_cast
from tests.contract.ledger.outcomes import Outcome
from tests.contract.ledger.provocations import PROVOCATIONS
from tests.contract.ledger.trials import Answer, begin
from tests.contract.town import Town

WORKERS: Final = 12
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Alone:
    """One outcome by itself: asked twice with one key, then once more with that key and nothing in the way.

    `kept` is whether the ledger had an entry under the key before the last. Where it had, the last had the same input
    as the first; else the input that is acceptable.
    """

    first: Answer
    again: Answer
    kept: bool
    after: Answer


@dataclass(frozen=True, slots=True)
class Below:
    """One outcome below others: by their names what was answered while both held; and when it alone was left."""

    both: Mapping[str, Answer]
    left: Answer


async def play_alone(cast: Cast, mutation: str, outcome: Outcome) -> Alone:
    """What is answered while this one condition holds, and afterwards."""
    trial, used = await begin(cast, mutation), key()
    async with PROVOCATIONS[outcome.name](trial):
        first, again = await trial.answer(used), await trial.answer(used)
        kept, given = await cast.is_kept(used), dict(trial.input)
    if kept:
        with trial.given(**given):
            return Alone(first, again, kept, await trial.answer(used))
    return Alone(first, again, kept, await trial.answer(used))


async def play_below(cast: Cast, mutation: str, lower: Outcome, highers: Iterable[Outcome]) -> Below:
    """What is answered while one condition holds, beside each of the others and by itself; a new key each time."""
    trial = await begin(cast, mutation)
    both: dict[str, Answer] = {}
    async with PROVOCATIONS[lower.name](trial):
        for higher in highers:
            async with PROVOCATIONS[higher.name](trial):
                both[higher.name] = await trial.answer()
        return Below(both, await trial.answer())


async def play_all(town: Town, plays: Sequence[P], play: Callable[[Cast, P], Awaitable[R]]) -> dict[P, R | Exception]:
    """What became of each; an exception where one failed, so that it fails its own test."""
    waiting = list(reversed(plays))
    results: dict[P, R | Exception] = {}

    async def work() -> None:
        cast: Cast | None = None
        while waiting:
            cast = cast or await gather_cast(town)
            next_one = waiting.pop()
            try:
                results[next_one] = await play(cast, next_one)
            except Exception as error:
                results[next_one], cast = error, None

    await asyncio.gather(*(work() for _ in range(min(WORKERS, len(plays)))))
    return results
