"""The commit loop: acts collected while a batch is in flight are decided in memory and written in one transaction.

What is remembered lets a batch be decided while the one before it is being written. It is written only after that one
was committed; where that one was not, nothing of it has happened, and it is decided anew.

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
from functools import partial
from typing import Any, Final, TypeVar

from pymongo.errors import PyMongoError

from datastores.clock import utc_now
from datastores.errors import ExpectedError, RateLimitedError, UnavailableError
from datastores.mongo import MAX_LIMIT, Database, Session, Write
from datastores.mongo.transactions import commit, is_duplicate, is_unknown, may_retry

from .batches import MAX_ROUNDS, Batch, Waiting, decide, missing, recalled
from .handover import Acts, Handover, NotHandedOverError, Refused, Unanswered
from .memory import Memory
from .turns import Turns
from .work import Act, NotReadError, Read, Work

MAX_ACTS: Final = 512
MAX_WEIGHT: Final = 2_000
MAX_WAITING: Final = 20_000
MAX_BATCH_S: Final = 30.0
# What was decided longer ago is decided anew: its time is that of a commit's beginning, and things may have expired.
STALE_AFTER_S: Final = 1.0
DEFAULT_TIMEOUT_S: Final = 10.0
_BACKOFF_S: Final = 0.002
_MAX_BACKOFF_S: Final = 0.25

Outcome = TypeVar("Outcome")
OnBatch = Callable[[str, int, int, float], None]


def _ignore(_name: str, _acts: int, _attempts: int, _seconds: float) -> None:
    return None


@dataclass(slots=True)
class CommitStatistics:
    """What a loop has done since it started; of its acts `ahead` were decided while another batch was written."""

    batches: int = 0
    acts: int = 0
    ahead: int = 0
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
    _queue: deque[Waiting[Any]] = field(default_factory=deque)
    _task: asyncio.Task[None] | None = None
    _arrival: asyncio.Future[None] | None = None

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

    def take_over(self, batch: Acts) -> list[asyncio.Future[Any]]:
        """What will be the outcomes of acts that another process hands over; raises RateLimitedError as `submit`."""
        return [self._enqueue(act, weight).caller for act, weight in batch]

    def _enqueue(self, act: Act[Outcome], weight: int) -> Waiting[Outcome]:
        if len(self._queue) >= MAX_WAITING:
            raise RateLimitedError("Too many changes are waiting: try again in a moment")
        waiting: Waiting[Outcome] = Waiting(act, weight, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"commit {self.name}")
        if self._arrival is not None:
            _wake(self._arrival)
        return waiting

    async def drain(self, timeout_s: float = MAX_BATCH_S) -> None:
        """Wait until nothing is queued or in flight."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout_s)

    async def _run(self) -> None:
        ahead: Batch | None = None
        while self._queue or ahead is not None:
            host = await self.turns.wait() if self.turns is not None else None
            batch = self._next_batch(ahead)
            ahead = None
            if host is not None:
                batch = Batch(await self._hand_over(batch.waiting, host), Work(batch.work.now))
            try:
                ahead = await self._commit_batch(batch, must_be_here=host is not None)
            except Exception as error:
                await self._fail(batch.waiting, error)
            if ahead is None or self._is_shared:
                # Who was just answered and asks again at once is in the next batch, beside those who came meanwhile.
                await asyncio.sleep(0)
                if self.turns is not None:
                    # In the loop: acts that come while a turn is given back must find it running, or wait for ever.
                    await self.turns.pause(lambda: bool(self._queue))

    @property
    def _is_shared(self) -> bool:
        """Whether others hand over to this process: it waits for them even if it has decided the next batch."""
        return self.turns is not None and self.turns.is_shared

    def _next_batch(self, ahead: Batch | None) -> Batch:
        """What was decided ahead, and as much of the queue as there is room for."""
        batch = ahead or Batch([], Work(self.now()))
        batch.waiting += self._collect(batch)
        return batch

    async def _hand_over(self, batch: list[Waiting[Any]], host: str) -> list[Waiting[Any]]:
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
        left: list[Waiting[Any]] = []
        for waiting, outcome in zip(batch, answer.outcomes, strict=True):
            if isinstance(outcome, Unanswered):
                left.append(waiting)
            else:
                waiting.settle(outcome.error if isinstance(outcome, Refused) else outcome)
        return left

    def _collect(self, beside: Batch) -> list[Waiting[Any]]:
        """Acts from the queue that there is room for beside those of a batch."""
        collected: list[Waiting[Any]] = []
        room, weight = MAX_ACTS - len(beside.waiting), beside.weight
        while self._queue and len(collected) < room:
            weight += self._queue[0].weight
            if weight > MAX_WEIGHT and (collected or beside.waiting):
                break
            collected.append(self._queue.popleft())
        return collected

    def _put_back(self, waiting: Sequence[Waiting[Any]]) -> None:
        self._queue.extendleft(reversed(waiting))

    async def _fail(self, batch: list[Waiting[Any]], error: Exception) -> None:
        """One bad act must not fail its neighbours: each of a failed batch is tried once more by itself."""
        open_acts = [waiting for waiting in batch if not waiting.is_settled]
        settled = isinstance(error, ExpectedError)
        if len(open_acts) > 1 and not settled:
            for waiting in open_acts:
                try:
                    ahead = await self._commit_batch(Batch([waiting], Work(self.now())), must_be_here=True)
                    self._put_back(ahead.waiting if ahead is not None else ())
                except Exception as own_error:
                    await self._fail([waiting], own_error)
            return
        self.statistics.failed += len(open_acts)
        for waiting in open_acts:
            waiting.settle(error)

    async def _commit_batch(self, batch: Batch, *, must_be_here: bool = False) -> Batch | None:
        """Commit the batch and answer its callers; what was decided ahead meanwhile, if anything.

        A batch that loses against the process that has the turn is queued again, to be handed over to it, unless that
        was tried already.
        """
        if not batch.waiting:
            return None
        started = self.clock()
        give_up = started + MAX_BATCH_S
        attempt = duplicates = 0
        ahead: Batch | None = None
        self.statistics.batches += 1
        self.statistics.largest_batch = max(self.statistics.largest_batch, len(batch.waiting))
        while True:
            attempt += 1
            self.statistics.attempts += 1
            try:
                ahead = await self._attempt(batch, give_up)
                break
            except PyMongoError as error:
                duplicates += is_duplicate(error)
                if not may_retry(error, duplicates):
                    raise
                if self.clock() > give_up:
                    raise UnavailableError("The database is not available now: try again") from error
            batch = Batch(batch.waiting, Work(self.now(), attempt + 1))
            pause = min(_BACKOFF_S * 2 ** min(attempt, 10), _MAX_BACKOFF_S)
            await asyncio.sleep(pause * self.jitter())
            if self.turns is not None:
                self.turns.lost()
                if await self.turns.wait() is not None and not must_be_here:
                    # Nothing of it has happened: who has the turn commits it with the next batch.
                    self._put_back(batch.waiting)
                    return None
        self.statistics.acts += len(batch.outcomes)
        self.on_batch(self.name, len(batch.outcomes), attempt, self.clock() - started)
        self._put_back(batch.waiting[len(batch.outcomes) :])
        if ahead is None or self._is_shared:
            batch.settle()
        else:
            # Soon, and not now: the next batch is sent before those who are answered take up this thread.
            asyncio.get_running_loop().call_soon(batch.settle)
        return ahead

    async def _attempt(self, batch: Batch, give_up: float) -> Batch | None:
        """Decide what of the batch is not decided yet, and commit; what was decided ahead meanwhile, if anything.

        Acts that have no outcome afterwards need another batch.
        """
        try:
            async with self.database.transaction() as session:
                await self._decide(batch, session)
                if not batch.work.is_proven:
                    batch.work, batch.outcomes = Work(self.now(), batch.work.attempt + 1), []
                    await self._decide(batch, session)
                if not (writes := batch.work.writes()):
                    return None
                # As they will be once this is committed; if it is not, all is forgotten.
                self.memory.keep(batch.work)
                return await self._write_and_decide_ahead(writes, session, give_up, batch.work.now)
        except BaseException:
            self.memory.forget()
            raise

    async def _write_and_decide_ahead(
        self, writes: Mapping[str, Sequence[Write]], session: Session, give_up: float, now: datetime
    ) -> Batch | None:
        began = self.clock()
        # Never `now` itself: of batches that follow one another each would hand the time of the first to the next.
        ahead = Batch([], Work(max(now, self.now())))
        writing = asyncio.ensure_future(self._write(writes, session, give_up))
        try:
            if self.memory.is_of_use:
                await self._decide_ahead(ahead, writing)
            await writing
        except BaseException:
            self._put_back(ahead.waiting)
            # The session is about to end: nothing may use it any more.
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            raise
        if not ahead.waiting:
            return None
        if not ahead.work.is_proven or self.clock() - began > STALE_AFTER_S:
            self._put_back(ahead.waiting)
            return None
        self.statistics.ahead += len(ahead.outcomes)
        return ahead

    async def _decide_ahead(self, ahead: Batch, writing: asyncio.Future[None]) -> None:
        """Decide acts as they arrive, by memory alone, until what is being written has been."""
        unknown: list[Waiting[Any]] = []
        while not writing.done():
            arrival = self._arrival = asyncio.get_running_loop().create_future()
            writing.add_done_callback(partial(_wake, arrival))
            if self._queue:
                unknown += self._decide_by_memory(ahead)
            await arrival
        self._arrival = None
        self._put_back(unknown)

    def _decide_by_memory(self, ahead: Batch) -> list[Waiting[Any]]:
        """Add what the queue holds to the batch; the acts that need to read something."""
        arrived = self._collect(ahead)
        try:
            is_known = recalled(ahead.work, self.memory, [each.act for each in arrived])
            known = [each for each, is_so in zip(arrived, is_known, strict=True) if is_so]
            unknown = [each for each, is_so in zip(arrived, is_known, strict=True) if not is_so]
            outcomes = decide(ahead.work, [each.act for each in known]) if known else []
        except NotReadError:
            return arrived
        except Exception:
            # Decided by themselves, they will fail by themselves.
            undone = [*ahead.waiting, *arrived]
            ahead.waiting, ahead.outcomes, ahead.work = [], [], Work(ahead.work.now)
            return undone
        ahead.waiting += known[: len(outcomes)]
        ahead.outcomes += outcomes
        return [*known[len(outcomes) :], *unknown]

    async def _write(self, writes: Mapping[str, Sequence[Write]], session: Session, give_up: float) -> None:
        # The shortest first: a conflict over what all write shows before the rest is sent in vain.
        shortest_first = dict(sorted(writes.items(), key=lambda item: len(item[1])))
        try:
            await self.database.write_and_commit(shortest_first, session)
        except PyMongoError as error:
            if not is_unknown(error):
                raise
            await commit(session, give_up, self.jitter, self.clock)

    async def _decide(self, batch: Batch, session: Session) -> None:
        if acts := batch.undecided:
            await self._read(batch.work, acts, session)
            batch.outcomes += decide(batch.work, acts)

    async def _read(self, work: Work, acts: Sequence[Act[Any]], session: Session) -> None:
        rounds = [act.reads(work) for act in acts]
        for _ in range(MAX_ROUNDS):
            wanted = [(iterator, next(iterator, None)) for iterator in rounds]
            rounds = [iterator for iterator, reads in wanted if reads is not None]
            if not rounds:
                return
            for read in missing(work, self.memory, [read for _, reads in wanted for read in reads or ()]):
                limit, sort = (MAX_LIMIT, None) if read.last is None else (1, [(read.last, -1)])
                filter = _filter(read)
                found = await self.database.find(read.collection, filter, limit=limit, sort=sort, session=session)
                work.add_read(read, found)
        raise RuntimeError(f"an act of {self.name} asks for more than {MAX_ROUNDS} rounds of reads")


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


def _filter(read: Read) -> Mapping[str, Any]:
    if len(read.fields) == 1:
        return {read.fields[0]: {"$in": [value for (value,) in read.values]}}
    return {"$or": [dict(zip(read.fields, values, strict=True)) for values in read.values]}


def _wake(waiter: asyncio.Future[None], _: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)
