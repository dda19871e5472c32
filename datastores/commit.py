"""The commit loop: acts collected while a batch is in flight are decided in memory and written in one transaction.

It knows batching, transactions and retries, and nothing of what the acts mean. Correctness comes from the snapshot
transaction and from unique indexes alone; the loop only makes them fast under contention.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Generic, Protocol, TypeVar

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from .errors import ExpectedError, OutcomeUnknownError, RateLimitedError, UnavailableError
from .mongo import MAX_LIMIT, Database, Document, Session, Write

MAX_ACTS: Final = 512
MAX_WEIGHT: Final = 2_000
MAX_WAITING: Final = 20_000
MAX_BATCH_S: Final = 30.0
DEFAULT_TIMEOUT_S: Final = 10.0
_BACKOFF_S: Final = 0.002
_MAX_BACKOFF_S: Final = 0.25
_MAX_ROUNDS: Final = 8
_MAX_DUPLICATE_ATTEMPTS: Final = 6
_DUPLICATE_KEY: Final = 11000

Outcome_co = TypeVar("Outcome_co", covariant=True)
Outcome = TypeVar("Outcome")
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Documents that an act needs: those whose `fields` have one of the `values`, each a tuple as long as `fields`."""

    collection: str
    fields: tuple[str, ...]
    values: tuple[Values, ...]


def by_id(collection: str, *ids: str) -> Read:
    """The documents with these ids."""
    return Read(collection, ("_id",), tuple((id,) for id in ids))


def by_fields(collection: str, **fields: Any) -> Read:
    """The documents that have all these values; needs an index that starts with these fields."""
    return Read(collection, tuple(fields), (tuple(fields.values()),))


class NotReadError(Exception):
    """An act asked its batch for a document that the batch did not read: it waits for the next batch."""


class Work:
    """What a batch has read and will write. Acts see the changes of the acts before them.

    Documents got from here must not be mutated: `update` makes a changed copy.
    `now` is one naive UTC time for the batch, in whole milliseconds. `attempt` counts from 1: past 1, an earlier try
    was rolled back or met a duplicate key, so what looked new may be there by now.
    """

    def __init__(self, now: datetime, attempt: int = 1, parent: Work | None = None) -> None:
        self.now = now
        self.attempt = attempt
        self._parent = parent
        self._documents: dict[tuple[str, str], Document | None] = {}
        self._stored: set[tuple[str, str]] = set()
        self._found: dict[tuple[str, tuple[str, ...]], dict[Values, list[str]]] = {}
        self._inserted: dict[tuple[str, str], None] = {}
        self._changes: dict[tuple[str, str], dict[str, Any]] = {}
        self._deleted: dict[tuple[str, str], None] = {}

    def get(self, collection: str, id: str) -> Document | None:
        """The document as it is now in this batch, or None where there is none."""
        key = (collection, id)
        work: Work | None = self
        while work is not None:
            if key in work._documents:
                return work._documents[key]
            work = work._parent
        raise NotReadError(f"{collection} {id}")

    def find(self, collection: str, **fields: Any) -> list[Document]:
        """The documents with these values, which the act must have asked for by `by_fields` with the same names."""
        names, values = tuple(fields), tuple(fields.values())
        root = self._root()
        ids = root._found.get((collection, names), {}).get(values)
        if ids is None:
            raise NotReadError(f"{collection} {fields}")
        made: list[str] = []
        work: Work | None = self
        while work is not None:
            made[:0] = [id for name, id in work._inserted if name == collection]
            work = work._parent
        documents = (self.get(collection, id) for id in dict.fromkeys([*ids, *made]))
        return [d for d in documents if d is not None and tuple(d.get(name) for name in names) == values]

    def insert(self, collection: str, document: Document) -> Document:
        """Add a new document."""
        key = (collection, document["_id"])
        self._inserted[key] = None
        self._documents[key] = document
        return document

    def update(self, collection: str, id: str, **changes: Any) -> Document:
        """Set these keys; returns the changed document."""
        key = (collection, id)
        document = self.get(collection, id)
        if document is None:
            raise KeyError(f"{collection} {id}")
        changed = {**document, **changes}
        self._documents[key] = changed
        if key not in self._inserted:
            self._changes[key] = {**self._changes.get(key, {}), **changes}
        return changed

    def delete(self, collection: str, id: str) -> None:
        """Remove the document."""
        key = (collection, id)
        self._documents[key] = None
        self._deleted[key] = None

    def overlay(self) -> Work:
        """A copy-on-write view for one act, to be merged or thrown away."""
        return Work(self.now, self.attempt, self)

    def merge(self) -> None:
        """Put this overlay's changes into the work under it."""
        parent = self._parent
        if parent is None:
            raise ValueError("only an overlay can be merged")
        parent._documents |= self._documents
        parent._inserted |= self._inserted
        parent._deleted |= self._deleted
        for key, changes in self._changes.items():
            if key not in parent._inserted:
                parent._changes[key] = {**parent._changes.get(key, {}), **changes}

    def add_read(self, read: Read, documents: Iterable[Document]) -> None:
        """Take what the database answered to `read`; changes that this batch has made already stay."""
        found = self._found.setdefault((read.collection, read.fields), {})
        for values in read.values:
            found.setdefault(values, [])
        for document in documents:
            self._documents.setdefault((read.collection, document["_id"]), document)
            self._stored.add((read.collection, document["_id"]))
            ids = found[tuple(document.get(name) for name in read.fields)]
            if document["_id"] not in ids:
                ids.append(document["_id"])
        if read.fields == ("_id",):
            for (id,) in read.values:
                self._documents.setdefault((read.collection, id), None)

    def has_read(self, read: Read) -> Read | None:
        """What of `read` is still to be read, or None."""
        found = self._found.get((read.collection, read.fields), {})
        missing = tuple(values for values in read.values if values not in found)
        return Read(read.collection, read.fields, missing) if missing else None

    def writes(self) -> dict[str, list[Write]]:
        """The writes to make, by collection."""
        out: dict[str, list[Write]] = {}
        for key in self._inserted:
            document = self._documents[key]
            if document is not None:
                # Acts of one batch may delete a document and insert it again: a bulk may not hold both.
                again = key in self._stored
                write: Write = ReplaceOne({"_id": key[1]}, document) if again else InsertOne(document)
                out.setdefault(key[0], []).append(write)
        for key, changes in self._changes.items():
            if key not in self._deleted:
                out.setdefault(key[0], []).append(UpdateOne({"_id": key[1]}, {"$set": changes}))
        for key in self._deleted:
            if key in self._stored and self._documents[key] is None:
                out.setdefault(key[0], []).append(DeleteOne({"_id": key[1]}))
        return out

    def _root(self) -> Work:
        work = self
        while work._parent is not None:
            work = work._parent
        return work


class Act(Protocol[Outcome_co]):
    """Something to decide and write. Pure: everything it knows comes from itself and from the `Work`.

    It may run several times, so its ids are made before it is submitted, and it looks up whether it happened already.
    """

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        """The documents it needs, in rounds: a later round may look into what earlier rounds read."""
        ...

    def decide(self, work: Work) -> Outcome_co:
        """Write to `work` and return the outcome, or raise an ExpectedError: then nothing of this act is written."""
        ...


@dataclass(slots=True)
class _Waiting(Generic[Outcome]):
    act: Act[Outcome]
    weight: int
    future: asyncio.Future[Outcome]


@dataclass(slots=True)
class CommitStatistics:
    """What a loop has done since it started."""

    batches: int = 0
    acts: int = 0
    attempts: int = 0
    largest_batch: int = 0
    failed: int = 0


def _utc_now() -> datetime:
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass(slots=True)
class CommitLoop:
    """One queue of acts that are committed in batches of at most 512 acts and a weight of 2,000.

    The weight of an act is about the number of documents it writes.
    """

    database: Database
    name: str
    now: Callable[[], datetime] = _utc_now
    jitter: Callable[[], float] = random.random
    statistics: CommitStatistics = field(default_factory=CommitStatistics)
    _queue: deque[_Waiting[Any]] = field(default_factory=deque)
    _task: asyncio.Task[None] | None = None

    async def submit(self, act: Act[Outcome], *, weight: int = 1, timeout_s: float = DEFAULT_TIMEOUT_S) -> Outcome:
        """The act's outcome, after it was committed.

        Raises the ExpectedError that the act decided on, RateLimitedError where too many wait (nothing was done),
        OutcomeUnknownError after `timeout_s`. A caller that is cancelled does not cancel the act.
        """
        if len(self._queue) >= MAX_WAITING:
            raise RateLimitedError("Too many changes are waiting: try again in a moment")
        waiting: _Waiting[Outcome] = _Waiting(act, weight, asyncio.get_running_loop().create_future())
        waiting.future.add_done_callback(_retrieve)
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"commit {self.name}")
        try:
            return await asyncio.wait_for(asyncio.shield(waiting.future), timeout_s)
        except TimeoutError:
            raise OutcomeUnknownError("The database has not answered in time: the change may have happened") from None

    async def drain(self, timeout_s: float = MAX_BATCH_S) -> None:
        """Wait until nothing is queued or in flight."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout_s)

    async def _run(self) -> None:
        while self._queue:
            batch = self._collect()
            try:
                await self._commit_batch(batch)
            except Exception as error:
                await self._fail(batch, error)

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
        open_acts = [waiting for waiting in batch if not waiting.future.done()]
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
            waiting.future.set_exception(error)

    async def _commit_batch(self, batch: list[_Waiting[Any]]) -> None:
        give_up = time.monotonic() + MAX_BATCH_S
        attempt = 0
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
                if not _may_retry(error, attempt):
                    raise
                if time.monotonic() > give_up:
                    raise UnavailableError("The database is not available now: try again") from error
            pause = min(_BACKOFF_S * 2 ** min(attempt, 10), _MAX_BACKOFF_S)
            await asyncio.sleep(pause * self.jitter())
        self.statistics.acts += len(settled)
        for waiting, outcome in zip(batch, settled, strict=False):
            if waiting.future.done():
                continue
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)
        self._queue.extendleft(reversed(batch[len(settled) :]))

    async def _attempt(self, batch: list[_Waiting[Any]], attempt: int, give_up: float) -> list[Any]:
        """Outcomes (or ExpectedErrors) of the first acts of the batch; the rest needs another batch."""
        async with self.database.transaction() as session:
            work = Work(self.now(), attempt)
            await self._read(work, [waiting.act for waiting in batch], session)
            outcomes = _decide(work, [waiting.act for waiting in batch])
            writes = work.writes()
            for collection, operations in writes.items():
                updates = sum(isinstance(operation, UpdateOne | ReplaceOne) for operation in operations)
                matched = await self.database.bulk_write(collection, operations, ordered=False, session=session)
                if matched != updates:
                    raise RuntimeError(f"{collection}: {updates - matched} documents to update have gone")
            if writes:
                await self._commit(session, give_up)
            return outcomes

    async def _read(self, work: Work, acts: Sequence[Act[Any]], session: Session) -> None:
        rounds = [act.reads(work) for act in acts]
        for _ in range(_MAX_ROUNDS):
            wanted = [(iterator, next(iterator, None)) for iterator in rounds]
            rounds = [iterator for iterator, reads in wanted if reads is not None]
            if not rounds:
                return
            for read in _merged(work, [read for _, reads in wanted for read in reads or ()]):
                filter = _filter(read)
                documents = await self.database.find(read.collection, filter, limit=MAX_LIMIT, session=session)
                work.add_read(read, documents)
        raise RuntimeError(f"an act of {self.name} asks for more than {_MAX_ROUNDS} rounds of reads")

    async def _commit(self, session: Session, give_up: float) -> None:
        while True:
            try:
                await session.commit()
                return
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult"):
                    raise
                if time.monotonic() > give_up:
                    raise OutcomeUnknownError("The database did not confirm: the change may have happened") from error
            await asyncio.sleep(_MAX_BACKOFF_S * self.jitter())


class CommitLoops:
    """The commit loops of one process by name, each made when first asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.loops: dict[str, CommitLoop] = {}

    def __getitem__(self, name: str) -> CommitLoop:
        if name not in self.loops:
            self.loops[name] = CommitLoop(self._database, name)
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


def _merged(work: Work, reads: Sequence[Read]) -> list[Read]:
    together: dict[tuple[str, tuple[str, ...]], dict[Values, None]] = {}
    for read in reads:
        if (missing := work.has_read(read)) is not None:
            together.setdefault((read.collection, read.fields), {}).update(dict.fromkeys(missing.values))
    return [Read(collection, fields, tuple(values)) for (collection, fields), values in together.items()]


def _filter(read: Read) -> Mapping[str, Any]:
    if len(read.fields) == 1:
        return {read.fields[0]: {"$in": [value for (value,) in read.values]}}
    return {"$or": [dict(zip(read.fields, values, strict=True)) for values in read.values]}


def _may_retry(error: PyMongoError, attempt: int) -> bool:
    if isinstance(error, BulkWriteError):
        duplicate = any(item.get("code") == _DUPLICATE_KEY for item in (error.details or {}).get("writeErrors", ()))
    else:
        duplicate = isinstance(error, DuplicateKeyError)
    if duplicate:
        return attempt < _MAX_DUPLICATE_ATTEMPTS
    return error.has_error_label("TransientTransactionError")


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
