"""One history: clients who want things of processes that fail, from a seed, and what did not hold in it."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from pymongo import IndexModel
from structlog.testing import capture_logs

from datastores.commit import MAX_WEIGHT
from datastores.errors import OutcomeUnknownError, RateLimitedError, UnavailableError

from . import scheduler
from .database import SimulatedDatabase
from .faults import Fault, Faults, InjectedError, Trace
from .machines import SimulatedHandover
from .processes import CrashedError, Process
from .quarters import Asked, Door, Problems, Quarter, Wish, chosen
from .shapes import Shape
from .storage import Changes, Storage
from .towns import IN_TIME, INDEXES, TOWNS, town_of

MAX_TRIES: Final = 6
CALM_S: Final = 60.0
# How many things a client wants, one after the other.
STEPS: Final = (1, 1, 2, 4)
LONGEST_PATIENCE_S: Final = 0.2
# Two heavy acts fill a batch, so that small histories have full batches as well.
WEIGHTS: Final = (1, 1, 1, MAX_WEIGHT // 2)
UNANSWERED: Final = (OutcomeUnknownError, UnavailableError, RateLimitedError, InjectedError, CrashedError)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a history: what did not hold, and how much happened, by its name."""

    seed: int
    town: str
    problems: Problems
    hash: str
    lines: Sequence[str]
    happened: Mapping[str, int]
    faults: Mapping[Fault, int]

    @property
    def counts(self) -> dict[str, int]:
        """How much happened, faults included."""
        injected = {f"commands with {fault.value}": count for fault, count in sorted(self.faults.items())}
        return {f"histories of {self.town}": 1, **self.happened, **injected}


@dataclass(eq=False)
class History:
    """The world of one seed: a database, processes, clients, and the models beside it."""

    seed: int
    town: str
    trace: Trace
    indexes: Mapping[str, Sequence[IndexModel]] = field(default_factory=lambda: INDEXES)
    problems: Problems = field(default_factory=Problems)

    def __post_init__(self) -> None:
        self._random = self._stream("clients")
        shape = Shape.of(self._stream("shape"))
        self._shape = replace(shape, time_scale=1.0) if self.town in IN_TIME else shape
        self._faults = Faults(self._stream("faults"), self._shape.fault_rate)
        self._wishes: dict[Wish, Quarter] = {}
        self._asked: Counter[Wish] = Counter()
        self._open: dict[Wish, None] = {}
        self._crashed: list[Process] = []
        self._machine: dict[str, SimulatedHandover] = {}

    async def run(self) -> Result:
        """Let it happen, let it end, and check."""
        self._clock = asyncio.get_running_loop().time
        self._storage = Storage(self.indexes, self._stream("storage"), self._clock, self._audit)
        self._quarters = TOWNS[self.town](self._stream, self._shape, self._storage, self.problems)
        for quarter, _ in self._quarters:
            quarter.plant()
        self._processes = [self._process(number) for number in range(self._shape.processes)]
        starts = self._stream("starts")
        clients = [self._client(starts.random() * self._shape.span_s) for _ in range(self._shape.clients)]
        await asyncio.gather(*clients, *(self._crash_later(at_s) for at_s in self._shape.crashes_s))
        await self._settle()
        await self._check()
        happened = {"wishes": len(self._wishes), "crashes": len(self._crashed)}
        for quarter, _ in self._quarters:
            happened |= quarter.counts()
        trace = self.trace
        return Result(self.seed, self.town, self.problems, trace.hash, trace.lines, happened, self._faults.injected)

    def _stream(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def _audit(self, changes: Changes) -> None:
        for quarter, _ in self._quarters:
            quarter.audit(changes)

    def _process(self, number: int) -> Process:
        name, shape = f"process{number}", self._shape
        database = SimulatedDatabase(self._storage, self._faults, self.trace, name)
        machine = self._machine if shape.shares_machine else None
        return Process(name, database, self._stream(name), shape.takes_turns, shape.time_scale, machine, self._faults)

    async def _crash_later(self, at_s: float) -> None:
        await asyncio.sleep(at_s)
        place = self._random.randrange(len(self._processes))
        self._note(self._processes[place].name, "crashes")
        self._processes[place].crash()
        # Kept, so that what hangs in it is ended with the history and not whenever memory is tidied.
        self._crashed.append(self._processes[place])
        self._processes[place] = self._process(self._shape.processes + len(self._crashed))

    async def _client(self, at_s: float) -> None:
        await asyncio.sleep(at_s)
        for _ in range(self._random.choice(STEPS)):
            await self._want()

    async def _want(self) -> None:
        """Want something, and ask for it until there is an answer or patience ends."""
        quarter = chosen(self._random, self._quarters)
        wish = quarter.next()
        self._wishes.setdefault(wish, quarter)
        self._open[wish] = None
        for _ in range(MAX_TRIES):
            copies = 2 if self._random.random() < self._shape.duplicate_rate else 1
            tries = [self._ask_for_a_while(wish) for _ in range(copies)]
            if any(await asyncio.gather(*tries)):
                return
            await asyncio.sleep(self._random.random())

    async def _ask_for_a_while(self, wish: Wish) -> bool:
        """As `_ask`, but some clients leave before they get an answer."""
        asking = self._ask(wish, self._random.choice(self._processes))
        if self._random.random() >= self._shape.leave_rate:
            return await asking
        try:
            return await asyncio.wait_for(asking, self._random.random() * LONGEST_PATIENCE_S)
        except TimeoutError:
            return False

    async def _ask(self, wish: Wish, process: Process) -> bool:
        """Whether an answer came that will never be another."""
        self._note(process.name, f"is asked: {wish}")
        quarter = self._wishes[wish]
        asked = Asked.now(self._storage, self._clock() * self._shape.time_scale)
        self._asked[wish] += 1
        door = Door(process.loop(wish.loop), self._random.choice(WEIGHTS), self._shape.timeout_s, process)
        try:
            outcome = await process.run(wish.ask(door, f"{self._random.getrandbits(128):032x}"))
        except UNANSWERED as error:
            self._note(process.name, f"does not answer: {wish}: {type(error).__name__}")
            quarter.unanswered(wish, error, self._asked[wish] == 1)
            return False
        except Exception as error:
            self._note(process.name, f"refuses: {wish}: {type(error).__name__}")
            quarter.refused(wish, error, asked)
        else:
            self._note(process.name, f"answers: {wish}: {quarter.answered(wish, outcome, asked)}")
        self._open.pop(wish, None)
        return True

    async def _settle(self) -> None:
        """Faults end; whoever has no answer asks again and gets one, and late replays get the answer of before."""
        self._faults.rate = 0.0
        await asyncio.sleep(CALM_S)
        self._note("all", "calm")
        self._shape = replace(self._shape, timeout_s=CALM_S)
        unanswered = list(self._open)
        await asyncio.gather(*(self._ask(wish, self._random.choice(self._processes)) for wish in unanswered))
        await self._finish()
        self.problems.extend(f"never answered, also in the calm: {wish}" for wish in self._open)
        await asyncio.gather(*(self._ask(wish, self._random.choice(self._processes)) for wish in self._wishes))

        await self._finish()

    async def _finish(self) -> None:
        for quarter, _ in self._quarters:
            await quarter.finish(self._processes[0])

    async def _check(self) -> None:
        for quarter, _ in self._quarters:
            try:
                await quarter.check(self._processes[0])
            except Exception as error:
                # After a problem was found the models may have lost their way; else the error is their own.
                if not self.problems:
                    raise
                self.problems.append(f"could not be checked any further: {error!r}")

    def _note(self, who: str, what: str) -> None:
        self.trace.note(self._clock(), who, what)


def simulate(
    seed: int,
    *,
    town: str | None = None,
    keep_trace: bool = False,
    indexes: Mapping[str, Sequence[IndexModel]] = INDEXES,
) -> Result:
    """The history of this seed, always the same; in the town of the seed, or in the one asked for."""
    trace, problems = Trace(keep_trace), Problems()
    place = town or town_of(Random(f"{seed}/town"))
    try:
        with _silence():
            return scheduler.run(lambda: History(seed, place, trace, indexes, problems).run())
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        problems.append(f"did not end: {error!r} at {where.filename}:{where.lineno}")
        return Result(seed, place, problems, trace.hash, trace.lines, {}, {})


@contextmanager
def _silence() -> Iterator[None]:
    """What use cases log of the faults that are injected is nobody's to read."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with capture_logs():
            yield
    finally:
        logging.disable(before)
