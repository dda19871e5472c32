"""How a listener follows a log from any cursor on: what is written, then what is live, with no hole or duplicate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from datastores.changes import outlast
from datastores.errors import GoingAwayError, SlowConsumerError, StreamGapError, ValidationError
from datastores.mongo import Document
from datastores.paging import encode_cursor
from datastores.signals import SIGNALS, topic_of

from .context import Coalesce, Context, Feed, MissedRowsError

PAGE: Final = 500
PATIENCE_S: Final = 10.0

Head = Callable[[], Awaitable[int]]
Read = Callable[[int, int], Awaitable[list[Document]]]
Number = Callable[[Document], int]
T = TypeVar("T")


async def follow(
    ctx: Context,
    collection: str,
    topics: Sequence[str],
    *,
    after: int | None,
    head: Head,
    read: Read,
    number: Number,
    scope: str | None = None,
    contiguous: bool = False,
    coalesce: Coalesce | None = None,
    patience_s: float = PATIENCE_S,
) -> AsyncGenerator[Document, None]:
    """The rows of a log with numbers past `after`, each once and in order, then those to come; None: from now on.

    `head()` answers the newest number of these topics or of the whole log (0: none), `read(after, limit)` at most
    `limit` rows of the topics past a number, in order. Numbers must rise in the order in which rows were committed.
    With `contiguous` they rise by one for these topics, which is then checked. `coalesce` names what a live row
    supersedes while its reader is busy; what is read from the log is never coalesced.

    Raises ValidationError for an `after` that the log has not reached, SlowConsumerError where more rows wait than the
    queue holds and the reader has not taken one, or not caught up, for `patience_s` (detail `cursor`, of the list named
    `scope`, is where to go on; reading the past may take any time),
    StreamGapError where rows are gone from the log, UnavailableError where the database stays away for 30 s, and
    GoingAwayError when the process stops.
    """
    if contiguous and coalesce is not None:
        raise ValueError("a stream that leaves rows out cannot be contiguous")
    async with ctx.hub.open(collection, topics, coalesce=coalesce) as feed:
        await outlast(ctx.database.settle)
        newest = await outlast(head)
        if after is not None and after > newest:
            raise ValidationError("The cursor is past the end of this stream: pass one that the stream gave", "after")
        last = newest if after is None else after
        follower = _Follower(feed, read, number, last, contiguous, scope, patience_s, ctx.database.settle)
        async with aclosing(follower.rows(is_behind=last < newest)) as rows:
            async for row in rows:
                given_at = time.monotonic()
                yield row
                follower.check_pace(given_at)


class _Follower:
    """One reader's place in a log."""

    __slots__ = ("_contiguous", "_feed", "_late_since", "_number", "_patience_s", "_read", "_scope", "_settle", "last")

    def __init__(
        self,
        feed: Feed,
        read: Read,
        number: Number,
        last: int,
        contiguous: bool,
        scope: str | None,
        patience_s: float,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._feed = feed
        self._read = read
        self._number = number
        self._contiguous = contiguous
        self._scope = scope
        self._patience_s = patience_s
        self._settle = settle
        self._late_since: float | None = None
        self.last = last

    async def rows(self, *, is_behind: bool) -> AsyncGenerator[Document, None]:
        # A queue that overflows while the past is read is not the reader's fault.
        is_live = False
        while True:
            if is_behind:
                async with aclosing(self._written()) as written:
                    async for row in written:
                        yield row
                is_behind = False
            if self._feed.is_idle:
                is_live, self._late_since = True, None
            try:
                row = await self._feed.take()
            except MissedRowsError as missed:
                is_behind = True
                if missed.overflowed_at is None:
                    is_live, self._late_since = False, None
                elif is_live and self._late_since is None:
                    self._late_since = missed.overflowed_at
                continue
            if self._contiguous and self._number(row) > self.last + 1:
                async with aclosing(self._written()) as written:
                    async for earlier in written:
                        yield earlier
            if self._number(row) > self.last:
                self._advance(row)
                yield row

    async def _written(self) -> AsyncGenerator[Document, None]:
        # Reads must not show less than what the feed has left out, or is past.
        await outlast(self._settle)
        while True:
            if self._feed.is_ending:
                raise GoingAwayError("The server is restarting: connect again with the last cursor")
            page = await outlast(lambda: self._read(self.last, PAGE))
            for row in page:
                self._advance(row)
                yield row
            if len(page) < PAGE:
                return

    def _advance(self, row: Document) -> None:
        place = self._number(row)
        if self._contiguous and place != self.last + 1:
            raise StreamGapError("Older events are gone: read the list anew, then follow without a cursor")
        self.last = place

    def check_pace(self, given_at: float) -> None:
        """Raise SlowConsumerError where the reader, who was given a row at that time, does not keep up."""
        now = time.monotonic()
        is_stuck = self._feed.overflowed_at is not None and now - given_at > self._patience_s
        is_late = self._late_since is not None and now - self._late_since > self._patience_s
        if is_stuck or is_late:
            details = {} if self._scope is None else {"cursor": encode_cursor(self._scope, self.last)}
            raise SlowConsumerError(
                "You take events more slowly than they come: go on from your last cursor", **details
            )


async def signals(
    ctx: Context, channel: str, topic: str, *, key: Coalesce = lambda _: None
) -> AsyncGenerator[Document, None]:
    """The messages that are published to `topic` on `channel` from now on.

    Nothing is kept for a reader who is busy but the newest message of each `key` (of all, where there is no key).
    Raises UnavailableError and GoingAwayError as `follow` does.
    """

    def newest(row: Document) -> Hashable:
        return key(row["message"])

    async with ctx.hub.open(SIGNALS, [topic_of(channel, topic)], coalesce=newest) as feed:
        while True:
            try:
                row = await feed.take()
            except MissedRowsError:
                continue
            yield row["message"]


async def merged(*streams: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """What the streams bring, each in its own order, none kept waiting by another.

    At most two items of each are ahead of the reader. Raises the first error of any of them, and ends when all have;
    the streams are closed with it.
    """
    queue: asyncio.Queue[tuple[bool, T | BaseException | None]] = asyncio.Queue(maxsize=1)

    async def pump(stream: AsyncGenerator[T, None]) -> None:
        end: BaseException | None = None
        try:
            async with aclosing(stream):
                async for item in stream:
                    await queue.put((True, item))
        except Exception as error:
            end = error
        await queue.put((False, end))

    pumps = [asyncio.create_task(pump(stream)) for stream in streams]
    ended = 0
    try:
        while ended < len(pumps):
            is_item, content = await queue.get()
            if is_item:
                yield content  # type: ignore[misc]
            elif content is not None:
                raise content  # type: ignore[misc]
            else:
                ended += 1
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
