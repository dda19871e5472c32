"""The live end of the logs: one change stream a log, resumed over whatever happens to the database, with gaps told."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from .declarations import declared
from .errors import UnavailableError
from .mongo import Database, Document

Topics = Callable[[Document], Sequence[str]]
Token = Any
T = TypeVar("T")

BACKOFF_S: Final = 0.05
MAX_BACKOFF_S: Final = 2.0
MAX_OUTAGE_S: Final = 30.0
MAX_BUFFERED: Final = 2_000
MAX_REFUSALS: Final = 5
ROWS_A_TURN: Final = 32
# ChangeStreamFatalError, ChangeStreamHistoryLost, InvalidResumeToken.
HISTORY_LOST: Final = frozenset({280, 286, 260})
PIPELINE: Final[tuple[Document, ...]] = (
    {"$match": {"operationType": "insert"}},
    {"$project": {"fullDocument": 1, "wallTime": 1}},
)

_log: Final = logging.getLogger(__name__)


class Listener(Protocol):
    """Who is told what happens to a log. Called in the event loop, in order; must return at once."""

    def opened(self) -> None:
        """The stream is open, for the first time or again: every row from here on will come."""

    def row(self, row: Document, inserted_at: datetime | None) -> None:
        """The next row, and when the database took it (naive UTC; None before MongoDB 6)."""

    def gap(self) -> None:
        """Rows may have been left out before this moment: read them from the log."""

    def interrupted(self) -> None:
        """The stream broke off; it will be opened again."""


class _EndedError(Exception):
    """The stream cannot go on from its last token: its history is gone, or the collection was dropped."""


def declared_logs() -> dict[str, Topics]:
    """Log collection → the topics of one of its rows, from each datastore's `LOGS`."""
    return declared("LOGS")


@dataclass(slots=True)
class _Place:
    """Where a tail stands: the token of what was told last, and whether what came before now was all told."""

    token: Token = None
    was_open: bool = False
    has_gap: bool = False
    failures: int = 0
    refusals: int = 0


async def tail(
    database: Database, collection: str, listener: Listener, *, jitter: Callable[[], float] = random.random
) -> None:
    """Tell `listener` of every row inserted into `collection` from now on, until cancelled.

    After a break the stream goes on from its last token, so nothing is lost or told twice. Where the database refuses
    that, it starts anew and `gap` is called once it is open. Tries again after 0.05 to 2 s.
    """
    place = _Place()
    while True:
        try:
            await _listen(database, collection, listener, place)
        except Exception as error:
            _note(place, collection, error)
            listener.interrupted()
        pause_s = min(BACKOFF_S * 2 ** min(place.failures, 8), MAX_BACKOFF_S)
        await asyncio.sleep(pause_s * (0.5 + jitter() / 2))


async def _listen(database: Database, collection: str, listener: Listener, place: _Place) -> None:
    rows = 0
    async with _batches(database, collection, place.token) as (opened_at, batches):
        place.token = opened_at or place.token
        place.was_open = True
        listener.opened()
        if place.has_gap:
            place.has_gap = False
            listener.gap()
        async for batch in batches:
            place.failures = place.refusals = 0
            for token, change in batch:
                if change is not None:
                    listener.row(change["fullDocument"], change.get("wallTime"))
                    rows += 1
                place.token = token
                # Those who listen must come to take before their bounded queues are full.
                if rows % ROWS_A_TURN == 0:
                    await asyncio.sleep(0)


def _note(place: _Place, collection: str, error: Exception) -> None:
    place.failures += 1
    place.refusals += isinstance(error, OperationFailure)
    has_place = place.token is not None or not place.was_open
    if has_place and _may_resume(error) and place.refusals <= MAX_REFUSALS:
        _log.info("the change stream of %s broke off: %s", collection, error)
        return
    _log.warning("the change stream of %s lost its place: %s", collection, error)
    place.token, place.has_gap, place.refusals = None, place.was_open, 0


async def outlast(read: Callable[[], Awaitable[T]], *, limit_s: float = MAX_OUTAGE_S) -> T:
    """What `read` answers, asked again while the database cannot be reached; UnavailableError after `limit_s`."""
    give_up = time.monotonic() + limit_s
    pause_s = BACKOFF_S
    while True:
        try:
            return await read()
        except ConnectionFailure as error:
            if time.monotonic() + pause_s > give_up:
                raise UnavailableError("The database is not available now: try again") from error
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_BACKOFF_S)


Batch = list[tuple[Token, Document | None]]


@asynccontextmanager
async def _batches(
    database: Database, collection: str, token: Token
) -> AsyncIterator[tuple[Token, AsyncIterator[Batch]]]:
    """The token at which the stream opened, and what it brings: changes with their tokens, None after an idle wait."""
    async with database.watch(collection, PIPELINE, resume_after=token) as stream:
        opened_at = stream.resume_token
        if database.driver == "pymongo":
            async with aclosing(_awaited(stream)) as batches:
                yield opened_at, batches
            return
        reader = _Reader(stream.delegate, asyncio.get_running_loop())
        reader.start()
        try:
            async with aclosing(reader.batches()) as batches:
                yield opened_at, batches
        finally:
            reader.stop()


async def _awaited(stream: Any) -> AsyncGenerator[Batch, None]:
    while True:
        change = await stream.try_next()
        if not stream.alive:
            raise _EndedError("the collection was dropped or renamed")
        yield [(stream.resume_token if change is None else change["_id"], change)]


class _Reader(threading.Thread):
    """Reads a blocking change stream in a thread of its own.

    Motor has a few threads for all commands, and a stream that waits there would hold one of them for ever.
    """

    def __init__(self, stream: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="change stream", daemon=True)
        self._stream = stream
        self._loop = loop
        self._room = threading.Condition()
        self._items: deque[tuple[Token, Document | None]] = deque()
        self._error: Exception | None = None
        self._arrived = asyncio.Event()
        self._stopped = False

    def run(self) -> None:
        try:
            while not self._stopped:
                change = self._stream.try_next()
                if not self._stream.alive:
                    raise _EndedError("the collection was dropped or renamed")
                self._put((self._stream.resume_token if change is None else change["_id"], change))
        except Exception as error:
            self._error = error
        finally:
            self._tell()
            if self._stopped:
                self._close()

    def stop(self) -> None:
        """Let the thread end after the command that is under way."""
        with self._room:
            self._stopped = True
            self._room.notify()

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """What has arrived since the last batch; raises what the driver raised."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            # Before the items: those that were put before it failed are among them, and nothing follows.
            error = self._error
            with self._room:
                batch = list(self._items)
                self._items.clear()
                self._room.notify()
            if batch:
                yield batch
            if error is not None:
                raise error

    def _put(self, item: tuple[Token, Document | None]) -> None:
        with self._room:
            self._room.wait_for(lambda: len(self._items) < MAX_BUFFERED or self._stopped)
            self._items.append(item)
            is_first = len(self._items) == 1
        if is_first:
            self._tell()

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            # The loop has ended, and whoever listened with it.
            self._stopped = True

    def _close(self) -> None:
        try:
            # The driver may have opened a new cursor while the old one was being closed.
            self._stream.close()
        except PyMongoError:
            return


def _may_resume(error: Exception) -> bool:
    """Whether the stream can go on from its token. Anything unforeseen is answered by reading the log again."""
    if isinstance(error, OperationFailure):
        return error.code not in HISTORY_LOST and not error.has_error_label("NonResumableChangeStreamError")
    return isinstance(error, PyMongoError)
