"""Processes: each has the real commit loop of the ledger, a clock of its own, and may crash."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from datastores import ledger
from datastores.commit import Act, CommitLoop, Turns

from .database import SimulatedDatabase
from .storage import START

MOST_SKEW_S: Final = 2.0


class CrashedError(Exception):
    """The process that was asked is gone, or who asked is; what was asked may have happened."""


@dataclass(eq=False)
class Process:
    """One process with its loop of commits; without turns, all contend as hard as they can."""

    name: str
    database: SimulatedDatabase
    random: Random
    takes_turns: bool
    loop: CommitLoop = field(init=False)
    _requests: dict[asyncio.Task[Any], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        skew_ms = int(self.random.uniform(-MOST_SKEW_S, MOST_SKEW_S) * 1_000)
        clock = asyncio.get_running_loop().time

        def now() -> datetime:
            return START + timedelta(milliseconds=skew_ms + int(clock() * 1_000))

        jitter = self.random.random
        turns = Turns(self.database, ledger.COMMIT_LOOP, clock, jitter, self.name) if self.takes_turns else None
        self.loop = CommitLoop(self.database, ledger.COMMIT_LOOP, now, jitter, clock=clock, turns=turns)

    async def submit(self, act: Act[Any], weight: int, timeout_s: float) -> Any:
        """The act's outcome; raises CrashedError where the process crashes, or the caller leaves, before it answers."""
        task = asyncio.create_task(self.loop.submit(act, weight=weight, timeout_s=timeout_s))
        self._requests[task] = None
        try:
            return await task
        except asyncio.CancelledError:
            raise CrashedError(self.name) from None
        finally:
            del self._requests[task]

    def crash(self) -> None:
        """Be gone: nobody gets an answer, the loop never goes on, transactions stay open until the server ends them."""
        self.database.crash()
        for task in self._requests:
            task.cancel()
