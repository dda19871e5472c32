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
from datastores.tasks import cancelled

from .audiences import CaughtUpError
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
    GoingAwayError when the process stops. Where the context listens to the past alone, nothing live is waited for, and
    CaughtUpError is raised at its end.
    """
    if contiguous and coalesce is not None:
        raise ValueError("a stream that leaves rows out cannot be contiguous")
    if ctx.listening.part == "past":
        past = _past(ctx, after, head, _Follower(None, read, number, 0, contiguous, scope, patience_s, ctx))
        async with aclosing(past):
            async for row in past:
                yield row
    async with ctx.hub.open(collection, topics, coalesce=coalesce) as feed:
        newest = await _newest(ctx, after, head)
        last = newest if after is None else after
        follower = _Follower(feed, read, number, last, contiguous, scope, patience_s, ctx)
        async with aclosing(follower.rows(feed, is_behind=last < newest)) as rows:
            async for row in rows:
                given_at = time.monotonic()
                yield row
                follower.check_pace(given_at)


async def _newest(ctx: Context, after: int | None, head: Head) -> int:
    """The newest number of a log; raises ValidationError for a number that it has not reached."""
    await outlast(ctx.database.settle)
    newest = await outlast(head)
    if after is not None and after > newest:
        raise ValidationError("The cursor is past the end of this stream: pass one that the stream gave", "after")
    return newest


async def _past(ctx: Context, after: int | None, head: Head, follower: _Follower) -> AsyncGenerator[Document, None]:
    """The rows that are written past `after`, none without it; then CaughtUpError."""
    newest = await _newest(ctx, after, head)
    follower.last = newest if after is None else after
    if follower.last < newest:
        async with aclosing(follower.written(is_settled=True)) as rows:
            async for row in rows:
                yield row
    # The head may be that of the whole log, and rows may have come since.
    follower.last = max(follower.last, newest)
    raise CaughtUpError(follower.last, follower.cursor)


class _Follower:
    """One reader's place in a log."""

    __slots__ = (
        "_contiguous",
        "_feed",
        "_late_since",
        "_number",
        "_on_live",
        "_patience_s",
        "_read",
        "_scope",
        "_settle",
        "last",
    )

    def __init__(
        self,
        feed: Feed | None,
        read: Read,
        number: Number,
        last: int,
        contiguous: bool,
        scope: str | None,
        patience_s: float,
        ctx: Context,
    ) -> None:
        self._feed = feed
        self._read = read
        self._number = number
        self._contiguous = contiguous
        self._scope = scope
        self._patience_s = patience_s
        self._settle = ctx.database.settle
        self._on_live = ctx.listening.on_live
        self._late_since: float | None = None
        self.last = last

    @property
    def cursor(self) -> str | None:
        """Where a client goes on from here."""
        return None if self._scope is None else encode_cursor(self._scope, self.last)

    async def rows(self, feed: Feed, *, is_behind: bool) -> AsyncGenerator[Document, None]:
        """What is written where the reader is behind, then what is live, and again."""
        # A queue that overflows while the past is read is not the reader's fault.
        is_live = False
        while True:
            if is_behind:
                async with aclosing(self.written()) as written:
                    async for row in written:
                        yield row
                is_behind = False
            self._on_live(self.last)
            if feed.is_idle:
                is_live, self._late_since = True, None
            try:
                row = await feed.take()
            except MissedRowsError as missed:
                is_behind = True
                if missed.overflowed_at is None:
                    is_live, self._late_since = False, None
                elif is_live and self._late_since is None:
                    self._late_since = missed.overflowed_at
                continue
            if self._contiguous and self._number(row) > self.last + 1:
                async with aclosing(self.written()) as written:
                    async for earlier in written:
                        yield earlier
            if self._number(row) > self.last:
                self._advance(row)
                yield row

    async def written(self, *, is_settled: bool = False) -> AsyncGenerator[Document, None]:
        """The rows past the last one that are in the log now, page by page."""
        # Reads must not show less than what the feed has left out, or is past.
        if not is_settled:
            await outlast(self._settle)
        while True:
            if self._feed is not None and self._feed.is_ending:
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
        is_stuck = self._feed is not None and self._feed.overflowed_at is not None and now - given_at > self._patience_s
        is_late = self._late_since is not None and now - self._late_since > self._patience_s
        if is_stuck or is_late:
            raise slow_consumer(self.cursor)


def slow_consumer(cursor: str | None) -> SlowConsumerError:
    """What a reader is told who does not keep up, with where to go on."""
    details = {} if cursor is None else {"cursor": cursor}
    return SlowConsumerError("You take events more slowly than they come: go on from your last cursor", **details)


async def signals(
    ctx: Context, channel: str, topic: str, *, key: Coalesce = lambda _: None
) -> AsyncGenerator[Document, None]:
    """The messages that are published to `topic` on `channel` from now on.

    Nothing is kept for a reader who is busy but the newest message of each `key` (of all, where there is no key).
    Raises UnavailableError and GoingAwayError as `follow` does, and CaughtUpError where only the past is wanted.
    """
    if ctx.listening.part == "past":
        raise CaughtUpError

    def newest(row: Document) -> Hashable:
        return key(row["message"])

    async with ctx.hub.open(SIGNALS, [topic_of(channel, topic)], coalesce=newest) as feed:
        ctx.listening.on_live(0)
        while True:
            try:
                row = await feed.take()
            except MissedRowsError:
                continue
            yield row["message"]


async def merged(*streams: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """What the streams bring, each in its own order, none kept waiting by another.

    At most two items of each are ahead of the reader. Raises the first error of any of them, and ends when all have;
    the streams are closed with it. One that has caught up has ended, and CaughtUpError is raised once all have.
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
    caught_up: CaughtUpError | None = None
    try:
        while ended < len(pumps):
            is_item, content = await queue.get()
            if is_item:
                yield content  # type: ignore[misc]
            elif isinstance(content, CaughtUpError):
                ended += 1
                caught_up = content if caught_up is None or caught_up.place is None else caught_up
            elif content is not None:
                raise content  # type: ignore[misc]
            else:
                ended += 1
        if caught_up is not None:
            raise caught_up
    finally:
        await cancelled(pumps)
