"""Processes: each has the real commit loops, a clock of its own, and may crash."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from datastores.commit import CommitLoop, Turns

from .database import SimulatedDatabase
from .shapes import MOST_SKEW_S
from .storage import START


class CrashedError(Exception):
    """The process that was asked is gone, or who asked is; what was asked may have happened."""


@dataclass(eq=False)
class Process:
    """One process with its loops of commits; without turns, all contend as hard as they can."""

    name: str
    database: SimulatedDatabase
    random: Random
    takes_turns: bool
    time_scale: float
    _loops: dict[str, CommitLoop] = field(default_factory=dict)
    _requests: dict[asyncio.Task[Any], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._skew_ms = int(self.random.uniform(-MOST_SKEW_S, MOST_SKEW_S) * 1_000)
        self._clock = asyncio.get_running_loop().time

    def now(self) -> datetime:
        """What its clock says."""
        return START + timedelta(milliseconds=self._skew_ms + int(self._clock() * self.time_scale * 1_000))

    def loop(self, name: str) -> CommitLoop:
        """Its commit loop of this name, made when first asked for."""
        if name not in self._loops:
            jitter, clock = self.random.random, self._clock
            turns = Turns(self.database, name, None, clock, jitter, self.name) if self.takes_turns else None
            self._loops[name] = CommitLoop(self.database, name, self.now, jitter, clock=clock, turns=turns)
        return self._loops[name]

    async def run(self, request: Coroutine[Any, Any, Any]) -> Any:
        """What a request gives; raises CrashedError where the process crashes, or the caller leaves, before it ends."""
        task = asyncio.create_task(request)
        self._requests[task] = None
        try:
            return await task
        except asyncio.CancelledError:
            raise CrashedError(self.name) from None
        finally:
            del self._requests[task]

    def crash(self) -> None:
        """Be gone: nobody gets an answer, the loops never go on, transactions stay open until the server ends them."""
        self.database.crash()
        for task in self._requests:
            task.cancel()
