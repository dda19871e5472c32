"""A log that is a plain list, moved step by step, and what follows it: for tests of the hand-over to what is live.

Writes, deliveries, gaps and overflows fall into every point of it; the queues are the real ones, made short.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import pytest

from datastores.mongo import Document
from gateway.live import Feed, feeds
from resolvers import streams
from resolvers.context import Coalesce, Context
from resolvers.streams import follow

QUEUE = 3
PAGE = 2
STEPS = ("write", "write 3", "show", "stream", "stream all", "gap", "nothing")


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@contextmanager
def short_queues(clock: Clock) -> Iterator[None]:
    """Queues of three, pages of two, and a clock that goes on when it is told to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeds, "MAX_QUEUED", QUEUE)
        patch.setattr(streams, "PAGE", PAGE)
        patch.setattr(feeds, "time", clock)
        patch.setattr(streams, "time", clock)
        yield


class _LateFeed(Feed[Document]):
    """Takes rows only once its reader waits for one."""

    def __init__(self, feeds: list[Feed[Document]]) -> None:
        super().__init__()
        self._feeds = feeds

    async def take(self) -> Document:
        if self not in self._feeds:
            self._feeds.append(self)
        return await super().take()


class World:
    """A log that is written, reads that show it later, and a change stream that tells its listeners of it later.

    Where it `opens_late`, feeds begin when a row is waited for, after the log was read: the mistake that makes a hole.
    """

    def __init__(self, written: int = 0, script: Sequence[str] = (), *, opens_late: bool = False) -> None:
        self._opens_late = opens_late
        self.log: list[Document] = []
        self.told = 0
        self.shown = 0
        self.feeds: list[Feed[Document]] = []
        self.is_ending = False
        self.write(written)
        self.tell(written)
        self.script = list(script)

    def write(self, count: int) -> None:
        self.log += [{"_id": n, "n": n} for n in range(len(self.log) + 1, len(self.log) + count + 1)]

    async def settle(self) -> None:
        """As of the database: from now on reads show all that is written so far."""
        self.shown = len(self.log)

    def tell(self, count: int) -> None:
        for row in self.log[self.told : self.told + count]:
            for feed in self.feeds:
                feed.offer(row)
            self.told += 1
        self.shown = max(self.shown, self.told)

    def lose(self) -> None:
        """The change stream lost its place: it starts anew after the last write, shown or not, and says so."""
        self.told = len(self.log)
        for feed in self.feeds:
            feed.miss()

    def step(self) -> None:
        match self.script.pop(0) if self.script else "nothing":
            case "write":
                self.write(1)
            case "write 3":
                self.write(3)
            case "show":
                self.shown = len(self.log)
            case "stream":
                self.tell(1)
            case "stream all":
                self.tell(len(self.log))
            case "gap":
                self.lose()

    async def head(self) -> int:
        self.step()
        answer = self.shown
        self.step()
        await asyncio.sleep(0)
        return answer

    async def read(self, after: int, limit: int) -> list[Document]:
        self.step()
        answer = self.log[after : min(after + limit, self.shown)]
        self.step()
        await asyncio.sleep(0)
        return answer

    @asynccontextmanager
    async def open(
        self, collection: str, topics: Sequence[str], *, coalesce: Coalesce | None = None
    ) -> AsyncIterator[Feed[Document]]:
        self.step()
        feed: Feed[Document] = _LateFeed(self.feeds) if self._opens_late else Feed(coalesce)
        if self.is_ending:
            feed.end()
        if not self._opens_late:
            self.feeds.append(feed)
        self.step()
        try:
            yield feed
        finally:
            if feed in self.feeds:
                self.feeds.remove(feed)

    @property
    def feed(self) -> Feed[Document] | None:
        """The feed that was opened last, if it is open."""
        return self.feeds[-1] if self.feeds else None

    @property
    def context(self) -> Context:
        unused = cast(Any, None)
        return Context(cast(Any, self), unused, self)

    def follow(
        self, after: int | None, context: Context | None = None, **options: Any
    ) -> AsyncGenerator[Document, None]:
        """The rows past a number, as a use case follows them."""
        return follow(
            context or self.context,
            "journal",
            ["all"],
            after=after,
            head=self.head,
            read=self.read,
            number=lambda row: cast(int, row["n"]),
            **options,
        )


async def settle(numbers: Sequence[int] = ()) -> None:
    """Let every task go as far as it can: until nothing more was seen for a while."""
    quiet, count = 0, len(numbers)
    while quiet < 8:
        await asyncio.sleep(0)
        quiet, count = (quiet + 1, count) if len(numbers) == count else (0, len(numbers))
