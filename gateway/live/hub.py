"""The hub: which listeners of this process want which rows of which log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final

import structlog

from datastores.changes import Topics, declared_logs, tail
from datastores.clock import utc_now
from datastores.errors import GoingAwayError, UnavailableError
from datastores.mongo import Database, Document
from datastores.tasks import cancelled
from resolvers.context import Coalesce

from .feeds import Feed

OPEN_TIMEOUT_S: Final = 10.0
MAX_TOPICS: Final = 500

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LogStatistics:
    """What one log has brought since the start: rows, what was delivered of them, and what went wrong."""

    feeds: int = 0
    topics: int = 0
    rows: int = 0
    deliveries: int = 0
    overflows: int = 0
    coalesced: int = 0
    gaps: int = 0
    interruptions: int = 0
    # How long the newest row took from the database's acceptance to here.
    lag_s: float = 0.0


class _Log:
    """The listeners of one log; told by `datastores.changes.tail`."""

    def __init__(self, collection: str, topics_of: Topics) -> None:
        self.collection = collection
        self.is_open = asyncio.Event()
        self.statistics = LogStatistics()
        self.feeds: set[Feed[Document]] = set()
        self._topics_of = topics_of
        self._by_topic: dict[str, set[Feed[Document]]] = {}

    def add(self, feed: Feed[Document], topics: Sequence[str]) -> None:
        self.feeds.add(feed)
        for topic in topics:
            self._by_topic.setdefault(topic, set()).add(feed)
        self._count()

    def remove(self, feed: Feed[Document], topics: Sequence[str]) -> None:
        self.feeds.discard(feed)
        for topic in topics:
            feeds = self._by_topic.get(topic, set())
            feeds.discard(feed)
            if not feeds:
                self._by_topic.pop(topic, None)
        self.statistics.overflows += feed.overflows
        self.statistics.coalesced += feed.coalesced
        self._count()

    def opened(self) -> None:
        self.is_open.set()

    def row(self, row: Document, inserted_at: datetime | None) -> None:
        self.statistics.rows += 1
        if inserted_at is not None:
            lag = utc_now() - inserted_at
            self.statistics.lag_s = max(0.0, lag.total_seconds())
        for feed in self._listeners(row):
            self.statistics.deliveries += 1
            feed.offer(row)

    def gap(self) -> None:
        self.statistics.gaps += 1
        for feed in self.feeds:
            feed.miss()

    def interrupted(self) -> None:
        self.statistics.interruptions += 1

    def _listeners(self, row: Document) -> set[Feed[Document]]:
        found = [feeds for topic in self._topics_of(row) if (feeds := self._by_topic.get(topic))]
        # A feed that wants several topics of one row gets it once.
        return found[0] if len(found) == 1 else set().union(*found)

    def _count(self) -> None:
        self.statistics.feeds = len(self.feeds)
        self.statistics.topics = len(self._by_topic)


class Hub:
    """Live rows of the logs of one database, routed by topic; use as `async with Hub(database) as hub`.

    One change stream a log, whatever the number of listeners. Implements `resolvers.context.Hub`.
    """

    def __init__(self, database: Database, logs: Mapping[str, Topics] | None = None) -> None:
        self._database = database
        topics = declared_logs() if logs is None else logs
        self._logs = {collection: _Log(collection, topics_of) for collection, topics_of in topics.items()}
        self._tails: list[asyncio.Task[None]] = []
        self._is_ending = False

    @property
    def statistics(self) -> Mapping[str, LogStatistics]:
        """By log collection. Overflows and coalesced rows are counted when a feed closes."""
        return {collection: log.statistics for collection, log in self._logs.items()}

    @property
    def is_open(self) -> bool:
        """Whether every log is watched."""
        return not self._is_ending and all(log.is_open.is_set() for log in self._logs.values())

    async def __aenter__(self) -> Hub:
        self._tails = [
            asyncio.create_task(tail(self._database, log.collection, log), name=f"tail {log.collection}")
            for log in self._logs.values()
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        await cancelled(self._tails)
        for task in self._tails:
            if not task.cancelled() and (failure := task.exception()) is not None:
                _log.error("a change stream ended by itself", exc_info=failure)

    def end(self) -> None:
        """End every feed: each gives what is queued, then GoingAwayError. For the beginning of a graceful stop."""
        self._is_ending = True
        for log in self._logs.values():
            # Whoever waits for the stream to open is told as well.
            log.is_open.set()
            for feed in log.feeds:
                feed.end()
        for task in self._tails:
            task.cancel()

    @asynccontextmanager
    async def open(
        self, collection: str, topics: Sequence[str], *, coalesce: Coalesce | None = None
    ) -> AsyncIterator[Feed[Document]]:
        """See `resolvers.context.Hub`. Waits at most 10 s for the change stream; at most 500 topics a feed."""
        if len(topics) > MAX_TOPICS:
            raise ValueError(f"a feed may have at most {MAX_TOPICS} topics, not {len(topics)}")
        log = self._logs[collection]
        if not log.is_open.is_set():
            await _until_open(log)
        if self._is_ending:
            raise GoingAwayError("The server is restarting: connect again")
        feed: Feed[Document] = Feed(coalesce)
        log.add(feed, topics)
        try:
            yield feed
        finally:
            log.remove(feed, topics)


async def _until_open(log: _Log) -> None:
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await log.is_open.wait()
    except TimeoutError:
        raise UnavailableError("The database cannot be watched now: try again") from None
