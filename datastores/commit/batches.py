"""A batch: acts on their way together, what of their reads is known already, and what they decide."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from datastores.errors import ExpectedError, OutcomeUnknownError

from .memory import Memory
from .work import Act, Kind, NotReadError, Read, Values, Work

MAX_ROUNDS: Final = 8

Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class Waiting(Generic[Outcome]):
    """An act on its way. Its caller may leave or lose patience, which is nothing to the act itself."""

    act: Act[Outcome]
    weight: int
    caller: asyncio.Future[Outcome]
    is_settled: bool = False

    def settle(self, outcome: Outcome | Exception) -> None:
        """Tell the caller, where there still is one."""
        self.is_settled = True
        if self.caller.done():
            return
        if isinstance(outcome, Exception):
            self.caller.set_exception(outcome)
        else:
            self.caller.set_result(outcome)

    def give_up(self) -> None:
        """Tell the caller that its time is over."""
        if not self.caller.done():
            text = "The database has not answered in time: the change may have happened"
            self.caller.set_exception(OutcomeUnknownError(text))


@dataclass(slots=True)
class Batch:
    """Acts to be committed together; the first of them may be decided already, with `outcomes` by place in `work`."""

    waiting: list[Waiting[Any]]
    work: Work
    outcomes: list[Any] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """About how many documents it writes."""
        return sum(each.weight for each in self.waiting)

    @property
    def undecided(self) -> list[Act[Any]]:
        """The acts that come after those that are decided."""
        return [each.act for each in self.waiting[len(self.outcomes) :]]

    def settle(self) -> None:
        """Tell those whose acts have an outcome."""
        for waiting, outcome in zip(self.waiting, self.outcomes, strict=False):
            waiting.settle(outcome)


def decide(work: Work, acts: Sequence[Act[Any]]) -> list[Any]:
    """The outcomes (or ExpectedErrors) of the first acts, in order; the rest asked for what was not read.

    Raises NotReadError where the first one did: then nothing was decided.
    """
    outcomes: list[Any] = []
    for act in acts:
        overlay = work.overlay()
        try:
            outcomes.append(act.decide(overlay))
            overlay.merge()
        except ExpectedError as refusal:
            outcomes.append(refusal)
        except NotReadError:
            if not outcomes:
                raise
            break
    return outcomes


def missing(work: Work, memory: Memory, reads: Sequence[Read]) -> list[Read]:
    """What the database must be asked, each collection once; the rest is taken as new or recalled, at a first try."""
    together: dict[Kind, dict[Values, None]] = {}
    for read in reads:
        if read.expected_new and work.attempt == 1:
            work.assume_absent(read)
        else:
            together.setdefault(read.kind, {}).update(dict.fromkeys(read.values))
    wanted = (work.has_read(Read.of(kind, values)) for kind, values in together.items())
    unread = [read for read in wanted if read is not None]
    if work.attempt > 1:
        return unread
    return [unknown for read in unread if (unknown := memory.recall(work, read)) is not None]


def recalled(work: Work, memory: Memory, acts: Sequence[Act[Any]]) -> list[bool]:
    """For each act whether memory has all that it reads, which `work` then has as well."""
    known = [True] * len(acts)
    rounds: list[tuple[int, Iterator[Sequence[Read]]]] = [(at, act.reads(work)) for at, act in enumerate(acts)]
    for _ in range(MAX_ROUNDS):
        wanted = [(at, iterator, reads) for at, iterator in rounds if (reads := next(iterator, None)) is not None]
        if not wanted:
            return known
        unknown = missing(work, memory, [read for _, _, reads in wanted for read in reads])
        lacking = {read.kind: frozenset(read.values) for read in unknown}
        for at, _, reads in wanted if lacking else ():
            known[at] = not any(lacking[read.kind].intersection(read.values) for read in reads if read.kind in lacking)
        rounds = [(at, iterator) for at, iterator, _ in wanted if known[at]]
    return [is_known and all(at != other for other, _ in rounds) for at, is_known in enumerate(known)]
