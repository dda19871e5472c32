"""The commit loop: acts collected while a batch is in flight are decided in memory and written in one transaction.

It knows batching, transactions and retries, and nothing of what the acts mean. Correctness comes from the snapshot
transaction and from unique indexes alone; the loop only makes them fast under contention.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from pymongo.errors import PyMongoError

from datastores.clock import utc_now
from datastores.errors import ExpectedError, OutcomeUnknownError, RateLimitedError, UnavailableError
from datastores.mongo import MAX_LIMIT, Database, Session
from datastores.transactions import commit, is_duplicate, is_unknown, may_retry
from datastores.writes import Write

from .handover import Batch, Handover, NotHandedOverError, Refused, Unanswered
from .memory import Memory
from .turns import Turns
from .work import Act, Kind, NotReadError, Read, Values, Work

MAX_ACTS: Final = 512
MAX_WEIGHT: Final = 2_000
MAX_WAITING: Final = 20_000
MAX_BATCH_S: Final = 30.0
DEFAULT_TIMEOUT_S: Final = 10.0
_BACKOFF_S: Final = 0.002
_MAX_BACKOFF_S: Final = 0.25
_MAX_ROUNDS: Final = 8

Outcome = TypeVar("Outcome")
OnBatch = Callable[[str, int, int, float], None]


def _ignore(_name: str, _acts: int, _attempts: int, _seconds: float) -> None:
    return None


@dataclass(slots=True)
class _Waiting(Generic[Outcome]):
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
class CommitStatistics:
    """What a loop has done since it started."""

    batches: int = 0
    acts: int = 0
    attempts: int = 0
    largest_batch: int = 0
    failed: int = 0


@dataclass(slots=True)
class CommitLoop:
    """One queue of acts that are committed in batches of at most 512 acts and a weight of 2,000.

    The weight of an act is about the number of documents it writes.
    """

    database: Database
    name: str
    now: Callable[[], datetime] = utc_now
    jitter: Callable[[], float] = random.random
    on_batch: OnBatch = _ignore
    clock: Callable[[], float] = time.monotonic
    turns: Turns | None = None
    statistics: CommitStatistics = field(default_factory=CommitStatistics)
    memory: Memory = field(default_factory=Memory)
    _queue: deque[_Waiting[Any]] = field(default_factory=deque)
    _task: asyncio.Task[None] | None = None

    async def submit(self, act: Act[Outcome], *, weight: int = 1, timeout_s: float = DEFAULT_TIMEOUT_S) -> Outcome:
        """The act's outcome, after it was committed.

        Raises the ExpectedError that the act decided on, RateLimitedError where too many wait (nothing was done),
        OutcomeUnknownError after `timeout_s`. A caller that is cancelled does not cancel the act.
        """
        waiting = self._enqueue(act, weight)
        if self.turns is not None and self.turns.handover is not None:
            self.turns.handover.note_own()
        patience = asyncio.get_running_loop().call_later(timeout_s, waiting.give_up)
        try:
            return await waiting.caller
        finally:
            patience.cancel()

    def take_over(self, batch: Batch) -> list[asyncio.Future[Any]]:
        """What will be the outcomes of acts that another process hands over; raises RateLimitedError as `submit`."""
        return [self._enqueue(act, weight).caller for act, weight in batch]

    def _enqueue(self, act: Act[Outcome], weight: int) -> _Waiting[Outcome]:
        if len(self._queue) >= MAX_WAITING:
            raise RateLimitedError("Too many changes are waiting: try again in a moment")
        waiting: _Waiting[Outcome] = _Waiting(act, weight, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"commit {self.name}")
        return waiting

    async def drain(self, timeout_s: float = MAX_BATCH_S) -> None:
        """Wait until nothing is queued or in flight."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout_s)

    async def _run(self) -> None:
        while self._queue:
            host = await self.turns.wait() if self.turns is not None else None
            batch = self._collect()
            if host is not None:
                batch = await self._hand_over(batch, host)
            try:
                await self._commit_batch(batch)
            except Exception as error:
                await self._fail(batch, error)
            # Who was just answered and asks again at once is in the next batch, beside those who came meanwhile.
            await asyncio.sleep(0)
            if self.turns is not None:
                # In the loop: acts that come while a turn is given back must find it running, or they wait for ever.
                await self.turns.pause(lambda: bool(self._queue))

    async def _hand_over(self, batch: list[_Waiting[Any]], host: str) -> list[_Waiting[Any]]:
        """What is left of the batch to be committed here."""
        assert self.turns is not None
        assert self.turns.handover is not None
        acts = [(waiting.act, waiting.weight) for waiting in batch]
        try:
            answer = await self.turns.handover.hand_over(host, self.name, acts)
        except NotHandedOverError:
            self.turns.leave_host()
            return batch
        self.turns.host_answered(is_shared=answer.is_shared)
        left: list[_Waiting[Any]] = []
        for waiting, outcome in zip(batch, answer.outcomes, strict=True):
            if isinstance(outcome, Unanswered):
                left.append(waiting)
            else:
                waiting.settle(outcome.error if isinstance(outcome, Refused) else outcome)
        return left

    def _collect(self) -> list[_Waiting[Any]]:
        batch: list[_Waiting[Any]] = []
        weight = 0
        while self._queue and len(batch) < MAX_ACTS:
            weight += self._queue[0].weight
            if batch and weight > MAX_WEIGHT:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _fail(self, batch: list[_Waiting[Any]], error: Exception) -> None:
        """One bad act must not fail its neighbours: each of a failed batch is tried once more by itself."""
        open_acts = [waiting for waiting in batch if not waiting.is_settled]
        settled = isinstance(error, ExpectedError)
        if len(open_acts) > 1 and not settled:
            for waiting in open_acts:
                try:
                    await self._commit_batch([waiting])
                except Exception as own_error:
                    await self._fail([waiting], own_error)
            return
        self.statistics.failed += len(open_acts)
        for waiting in open_acts:
            waiting.settle(error)

    async def _commit_batch(self, batch: list[_Waiting[Any]]) -> None:
        if not batch:
            return
        started = self.clock()
        give_up = started + MAX_BATCH_S
        attempt = duplicates = 0
        self.statistics.batches += 1
        self.statistics.largest_batch = max(self.statistics.largest_batch, len(batch))
        settled: list[Any] | None = None
        while settled is None:
            attempt += 1
            self.statistics.attempts += 1
            try:
                settled = await self._attempt(batch, attempt, give_up)
                continue
            except PyMongoError as error:
                duplicates += is_duplicate(error)
                if not may_retry(error, duplicates):
                    raise
                if self.clock() > give_up:
                    raise UnavailableError("The database is not available now: try again") from error
            pause = min(_BACKOFF_S * 2 ** min(attempt, 10), _MAX_BACKOFF_S)
            await asyncio.sleep(pause * self.jitter())
            if self.turns is not None:
                self.turns.lost(attempt)
                await self.turns.wait()
        self.statistics.acts += len(settled)
        self.on_batch(self.name, len(settled), attempt, self.clock() - started)
        for waiting, outcome in zip(batch, settled, strict=False):
            waiting.settle(outcome)
        self._queue.extendleft(reversed(batch[len(settled) :]))

    async def _attempt(self, batch: list[_Waiting[Any]], attempt: int, give_up: float) -> list[Any]:
        """Outcomes (or ExpectedErrors) of the first acts of the batch; the rest needs another batch."""
        try:
            async with self.database.transaction() as session:
                acts = [waiting.act for waiting in batch]
                work, outcomes = await self._decided(acts, attempt, session)
                if not work.is_proven:
                    work, outcomes = await self._decided(acts, attempt + 1, session)
                if writes := work.writes():
                    await self._write(writes, session, give_up)
                    self.memory.keep(work)
                return outcomes
        except BaseException:
            self.memory.forget()
            raise

    async def _write(self, writes: Mapping[str, Sequence[Write]], session: Session, give_up: float) -> None:
        # The shortest first: a conflict over what all write shows before the rest is sent in vain.
        shortest_first = dict(sorted(writes.items(), key=lambda item: len(item[1])))
        try:
            await self.database.write_and_commit(shortest_first, session)
        except PyMongoError as error:
            if not is_unknown(error):
                raise
            await commit(session, give_up, self.jitter, self.clock)

    async def _decided(self, acts: Sequence[Act[Any]], attempt: int, session: Session) -> tuple[Work, list[Any]]:
        work = Work(self.now(), attempt)
        await self._read(work, acts, session)
        return work, _decide(work, acts)

    async def _read(self, work: Work, acts: Sequence[Act[Any]], session: Session) -> None:
        rounds = [act.reads(work) for act in acts]
        for _ in range(_MAX_ROUNDS):
            wanted = [(iterator, next(iterator, None)) for iterator in rounds]
            rounds = [iterator for iterator, reads in wanted if reads is not None]
            if not rounds:
                return
            for read in _merged(work, self.memory, [read for _, reads in wanted for read in reads or ()]):
                limit, sort = (MAX_LIMIT, None) if read.last is None else (1, [(read.last, -1)])
                filter = _filter(read)
                found = await self.database.find(read.collection, filter, limit=limit, sort=sort, session=session)
                work.add_read(read, found)
        raise RuntimeError(f"an act of {self.name} asks for more than {_MAX_ROUNDS} rounds of reads")


class CommitLoops:
    """The commit loops of one process by name, each made when first asked for.

    `on_batch` is told the loop's name, the number of acts, the attempts and the seconds of every batch. While it is
    open (`async with`) processes of one machine that contend share their batches.
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now, on_batch: OnBatch = _ignore) -> None:
        self._database = database
        self._now = now
        self._on_batch = on_batch
        self._handover = Handover(lambda name, batch: self[name].take_over(batch))
        self.loops: dict[str, CommitLoop] = {}

    async def __aenter__(self) -> CommitLoops:
        await self._handover.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._handover.__aexit__(*error)
        await self.drain()

    def __getitem__(self, name: str) -> CommitLoop:
        if name not in self.loops:
            turns = Turns(self._database, name, self._handover)
            self.loops[name] = CommitLoop(self._database, name, self._now, on_batch=self._on_batch, turns=turns)
        return self.loops[name]

    async def drain(self) -> None:
        """Wait until nothing is queued or in flight in any loop."""
        await asyncio.gather(*(loop.drain() for loop in self.loops.values()))


def _decide(work: Work, acts: Sequence[Act[Any]]) -> list[Any]:
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


def _merged(work: Work, memory: Memory, reads: Sequence[Read]) -> list[Read]:
    """What the database must be asked, each collection once; the rest is taken as new or recalled, at a first try."""
    together: dict[Kind, dict[Values, None]] = {}
    for read in reads:
        if read.expected_new and work.attempt == 1:
            work.assume_absent(read)
        else:
            together.setdefault(read.kind, {}).update(dict.fromkeys(read.values))
    wanted = (work.has_read(Read.of(kind, values)) for kind, values in together.items())
    missing = [read for read in wanted if read is not None]
    if work.attempt > 1:
        return missing
    return [unknown for read in missing if (unknown := memory.recall(work, read)) is not None]


def _filter(read: Read) -> Mapping[str, Any]:
    if len(read.fields) == 1:
        return {read.fields[0]: {"$in": [value for (value,) in read.values]}}
    return {"$or": [dict(zip(read.fields, values, strict=True)) for values in read.values]}
