"""Quarters: what a part of a simulated town has to say, such as its ledger; a history knows nothing else of it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

from datastores.commit import Act, CommitLoop

from .processes import Process
from .shapes import MOST_SKEW_S
from .storage import START, Changes, Storage

Problems = list[str]


@dataclass(frozen=True, slots=True)
class Door:
    """How an act gets to a loop of one process: with the weight and the patience of who asks."""

    loop: CommitLoop
    weight: int
    timeout_s: float
    process: Process

    async def submit(self, act: Act[Any], **_: object) -> Any:
        """As `CommitLoop.submit`."""
        return await self.loop.submit(act, weight=self.weight, timeout_s=self.timeout_s)


@dataclass(frozen=True, slots=True)
class Asked:
    """What stood when somebody asked: the last commit, and the time by the slowest of clocks."""

    stamp: int
    earliest: datetime

    @classmethod
    def now(cls, storage: Storage, passed_s: float) -> Asked:
        """This moment; `passed_s` is what a right clock has counted."""
        return cls(storage.stamp, START + timedelta(seconds=passed_s - MOST_SKEW_S))


class Wish(Protocol):
    """What a client wants. The same wish is asked for again until it has an answer."""

    @property
    def loop(self) -> str:
        """The commit loop that is asked."""
        ...

    def ask(self, door: Door, salt: str) -> Coroutine[Any, Any, Any]:
        """Its outcome; each try has a salt of its own, as each request of a client has."""
        ...


class Quarter(Protocol):
    """A part of a town: who wants what there, and whether what came of it may be."""

    def plant(self) -> None:
        """Write what is there before anybody asks."""
        ...

    def next(self) -> Wish:
        """What the next client wants, from the seed and from what clients know by then."""
        ...

    def audit(self, changes: Changes) -> None:
        """Look at a commit, in the order in which they take effect."""
        ...

    def answered(self, wish: Any, outcome: Any, asked: Asked) -> str:
        """An outcome arrived; what it says, in short."""
        ...

    def refused(self, wish: Any, error: Exception, asked: Asked) -> None:
        """An error arrived that keeps nothing."""
        ...

    def unanswered(self, wish: Any, error: Exception, alone: bool) -> None:
        """Nothing arrived, or nothing that says what happened; `alone` where nobody has asked for it before."""
        ...

    async def finish(self, process: Process) -> None:
        """Once faults have ended, before and after all is asked for again: let what has begun come to its end."""
        ...

    async def check(self, process: Process) -> None:
        """Look at all that is left once everybody has an answer."""
        ...

    def counts(self) -> dict[str, int]:
        """How much happened, by its name."""
        ...


def chosen(random: Random, quarters: Sequence[tuple[Quarter, int]]) -> Quarter:
    """One of the quarters, by its weight."""
    (quarter,) = random.choices([each for each, _ in quarters], [weight for _, weight in quarters])
    return quarter
