"""One listener's bounded queue of rows, and what happens when it is full."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from datastores.errors import GoingAwayError
from resolvers.context import MissedRowsError

MAX_QUEUED: Final = 100
Row = TypeVar("Row")


class Feed(Generic[Row]):
    """At most 100 rows for one reader.

    A row that finds the queue full first lets `coalesce` keep the newest row of each key. Where that makes no room, the
    queue is emptied and takes no more until the reader has been told: it will read the log, so holding rows is no use.

    While the reader waits, `deal` is asked first: it answers True where it has dealt with a row, which the reader then
    never sees. Nobody is woken for such a row.
    """

    __slots__ = ("_coalesce", "_deal", "_ending", "_missed", "_rows", "_waiter", "coalesced", "overflows")

    def __init__(
        self, coalesce: Callable[[Row], Hashable] | None = None, deal: Callable[[Row], bool] | None = None
    ) -> None:
        self._coalesce = coalesce
        self._deal = deal
        self._rows: deque[Row] = deque()
        self._missed: MissedRowsError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ending: Exception | None = None
        self.overflows = 0
        self.coalesced = 0

    @property
    def is_ending(self) -> bool:
        """Whether the process stops: what is queued can still be taken."""
        return self._ending is not None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to take now, not even the news that rows were left out."""
        return not self._rows and self._missed is None

    @property
    def overflowed_at(self) -> float | None:
        """Since when (of `time.monotonic`) the queue has been full and its reader not told; None where it is not."""
        return None if self._missed is None else self._missed.overflowed_at

    def __len__(self) -> int:
        return len(self._rows)

    async def take(self) -> Row:
        """The next row; see `resolvers.context.Feed`."""
        while not self._rows:
            if self._ending is not None:
                raise self._ending
            if self._missed is not None:
                missed, self._missed = self._missed, None
                raise missed
            if self._waiter is not None:
                raise RuntimeError("a feed has one reader")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._rows.popleft()

    def offer(self, row: Row) -> None:
        """Queue a row."""
        if self._missed is not None or self._ending is not None:
            return
        # A reader that is cancelled waits no more, though it may not know yet.
        is_awaited = self._waiter is not None and not self._waiter.done()
        if is_awaited and self._deal is not None and self._deal(row):
            return
        if len(self._rows) >= MAX_QUEUED and not self._make_room():
            self.overflows += 1
            self.miss(MissedRowsError(time.monotonic()))
            return
        self._rows.append(row)
        self._wake()

    def miss(self, missed: MissedRowsError | None = None) -> None:
        """Say that rows were left out; what is queued will be read from the log with them."""
        if self._missed is None:
            self._rows.clear()
            self._missed = missed or MissedRowsError()
            self._wake()

    def end(self, why: Exception | None = None) -> None:
        """Take no more rows; `why` (GoingAwayError) is raised to the reader once the queue is empty."""
        self._ending = why or GoingAwayError("The server is restarting: connect again with the last cursor")
        self._wake()

    def _make_room(self) -> bool:
        if self._coalesce is None:
            return False
        newest: dict[Hashable, Row] = {}
        for row in self._rows:
            key = self._coalesce(row)
            newest.pop(key, None)
            newest[key] = row
        self.coalesced += len(self._rows) - len(newest)
        self._rows = deque(newest.values())
        return len(self._rows) < MAX_QUEUED

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
