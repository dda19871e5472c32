"""Processes: each has the real commit loops, a clock of its own, and may crash."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from datastores.commit import CommitLoop, Turns
from datastores.commit.handover import Acts
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey

from .database import SimulatedDatabase
from .faults import Faults
from .machines import SimulatedHandover
from .shapes import MOST_SKEW_S
from .storage import START

MASTER: Final = SealingKey(b"the master key of a simulation..")


class CrashedError(Exception):
    """The process that was asked is gone, or who asked is; what was asked may have happened."""


@dataclass(eq=False)
class Process:
    """One process with its loops of commits; without turns, all contend as hard as they can.

    `machine` is where it finds the others that it can hand acts over to, None where it is on a machine of its own.
    """

    name: str
    database: SimulatedDatabase
    random: Random
    takes_turns: bool
    time_scale: float
    machine: dict[str, SimulatedHandover] | None
    faults: Faults
    _loops: dict[str, CommitLoop] = field(default_factory=dict)
    _requests: dict[asyncio.Task[Any], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._skew_ms = int(self.random.uniform(-MOST_SKEW_S, MOST_SKEW_S) * 1_000)
        self._clock = asyncio.get_running_loop().time
        self.keys = PersonKeys(MASTER, clock=lambda: self._clock() * self.time_scale)
        self._handover: SimulatedHandover | None = None
        if self.machine is not None:
            self._handover = SimulatedHandover(self.name, self.machine, self.faults, self._take_over)

    def now(self) -> datetime:
        """What its clock says."""
        return START + timedelta(milliseconds=self._skew_ms + int(self._clock() * self.time_scale * 1_000))

    def loop(self, name: str) -> CommitLoop:
        """Its commit loop of this name, made when first asked for."""
        if name not in self._loops:
            jitter, clock = self.random.random, self._clock
            turns = Turns(self.database, name, self._handover, clock, jitter, self.name) if self.takes_turns else None
            self._loops[name] = CommitLoop(self.database, name, self.now, jitter, clock=clock, turns=turns)
        return self._loops[name]

    def _take_over(self, name: str, batch: Acts) -> Sequence[asyncio.Future[Any]]:
        return self.loop(name).take_over(batch)

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
        if self._handover is not None:
            self._handover.crash()
        for task in self._requests:
            task.cancel()
