"""One read for all who ask the same at the same moment: for the many who come back at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .mongo import Database, Document, Filter, Session, Sort


class GatheredDatabase(Database):
    """The same database, of which equal reads are gathered.

    A read always begins after it was asked for, so nobody is shown less than by a read of their own: whoever asks while
    an equal one is under way gets the next one, with all others who ask meanwhile. At most two reads are open of each
    that is asked for. Each asker gets documents of their own, though not what lies within them. Reads in transactions,
    and all that is not a read of documents or `settle`, are as those of `database`.
    """

    def __init__(self, database: Database) -> None:
        vars(self).update(vars(database))
        self._reads = Gathering()

    async def find(
        self,
        collection: str,
        filter: Filter,
        *,
        limit: int,
        sort: Sort | None = None,
        projection: Mapping[str, int] | None = None,
        hint: Sort | None = None,
        session: Session | None = None,
    ) -> list[Document]:
        """See `Database.find`."""
        read = super().find
        if session is not None:
            return await read(
                collection, filter, limit=limit, sort=sort, projection=projection, hint=hint, session=session
            )
        found = await self._reads.ask(
            repr((collection, filter, limit, sort, projection, hint)),
            lambda: read(collection, filter, limit=limit, sort=sort, projection=projection, hint=hint),
        )
        return [dict(document) for document in found]

    async def by_ids(
        self, collection: str, ids: Sequence[str], *, projection: Mapping[str, int] | None = None, key: str = "_id"
    ) -> list[Document | None]:
        """See `Database.by_ids`; not merged with others, which would make unequal what is equal, and let them wait."""
        if not ids:
            return []
        found = await self._by_key(collection, list(dict.fromkeys(ids)), projection, key)
        return [found.get(id) for id in ids]

    async def settle(self) -> None:
        """See `Database.settle`."""
        await self._reads.ask("settle", super().settle)


class Gathering:
    """Calls by a key that says what they do: those of one key are made one at a time, each for all who wait for it."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._waiting: dict[str, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    async def ask(self, key: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """What a call answers that begins from now on, or the exception that it raises."""
        if (task := self._waiting.get(key)) is None:
            task = self._waiting[key] = asyncio.create_task(self._call(key, call))
            task.add_done_callback(_retrieve)
        # The others wait on where one of them is cancelled.
        return await asyncio.shield(task)

    async def _call(self, key: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if (earlier := self._running.get(key)) is not None:
            await asyncio.wait([earlier])
        self._running[key] = self._waiting.pop(key)
        try:
            return await call()
        finally:
            del self._running[key]


def _retrieve(task: asyncio.Task[Any]) -> None:
    # All who asked may have gone.
    if not task.cancelled():
        task.exception()
