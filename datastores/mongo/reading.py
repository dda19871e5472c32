"""Reads of a `Database`: a command where one message holds the answer, else a cursor of the driver's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

from pymongo.errors import AutoReconnect, OperationFailure

from .gates import Gate
from .merging import MergedReads
from .sessions import Session
from .types import Document, Driver, Filter, Sort
from .wire import Wire

MAX_LIMIT: Final = 100_000
# Where a node is stepping down, stopping or cut off: the codes of MongoDB's specification of retryable reads.
RETRYABLE_READS: Final = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
_READ_CONCERN: Final = {"level": "majority"}


class Reader:
    """The reading half of `Database`; `raw` is the driver's database.

    Reads return lists of plain documents with naive UTC datetimes. Those that one message answers go over `wire`, all
    others through the gate.
    """

    def __init__(self, raw: Any, driver: Driver, wire: Wire) -> None:
        self._raw = raw
        self._gate = Gate()
        self._wire = wire
        self._merged = MergedReads()
        self.driver: Driver = driver

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
        """At most `limit` documents (1 to 100,000) that match, in the order of `sort`."""
        if not 0 < limit <= MAX_LIMIT:
            raise ValueError(f"limit must be 1 to {MAX_LIMIT}, not {limit}")

        async def read() -> list[Document]:
            cursor = self._raw[collection].find(
                filter,
                projection,
                limit=limit,
                batch_size=limit,  # the server's default of 101 would cost a second command
                sort=sort,
                hint=hint,
            )
            return cast(list[Document], await cursor.to_list(limit))

        asked = {"projection": projection, "sort": sort and dict(sort), "hint": hint and dict(hint)}
        command: Document = {"find": collection, "filter": filter, "limit": limit, "batchSize": limit + 1}
        command |= {name: value for name, value in asked.items() if value is not None}
        if session is not None:
            return await session.read(command)
        return await self._at_once(command, read)

    async def find_one(
        self, collection: str, filter: Filter, *, sort: Sort | None = None, session: Session | None = None
    ) -> Document | None:
        """The first document that matches in the order of `sort`, or None."""
        return next(iter(await self.find(collection, filter, limit=1, sort=sort, session=session)), None)

    async def by_ids(
        self, collection: str, ids: Sequence[str], *, projection: Mapping[str, int] | None = None, key: str = "_id"
    ) -> list[Document | None]:
        """For each id its document or None, in the order of the ids; one read, whatever their number.

        Reads that are asked for at the same moment, with the same projection, are one command.
        """
        if not ids:
            return []
        shown = None if projection is None else frozenset(projection.items())
        kind = (collection, key, shown)
        return await self._merged.by_ids(kind, ids, lambda wanted: self._by_key(collection, wanted, projection, key))

    async def _by_key(
        self, collection: str, ids: list[str], projection: Mapping[str, int] | None, key: str
    ) -> dict[str, Document]:
        found = await self.find(collection, {key: {"$in": ids}}, limit=MAX_LIMIT, projection=projection)
        return {document[key]: document for document in found}

    async def aggregate(self, collection: str, pipeline: Sequence[Filter], *, limit: int = MAX_LIMIT) -> list[Document]:
        """What the pipeline gives, at most `limit` documents."""

        async def read() -> list[Document]:
            cursor = self._raw[collection].aggregate(list(pipeline), batchSize=limit)
            if self.driver == "pymongo":
                cursor = await cursor
            return cast(list[Document], await cursor.to_list(limit))

        command: Document = {"aggregate": collection, "pipeline": list(pipeline), "cursor": {"batchSize": limit}}
        return await self._at_once(command, read)

    async def count(self, collection: str, filter: Filter, *, limit: int = MAX_LIMIT) -> int:
        """How many match, counted no further than `limit`."""
        return await self._gate.shielded(lambda: self._raw[collection].count_documents(filter, limit=limit))

    async def _at_once(self, command: Document, read: Callable[[], Awaitable[list[Document]]]) -> list[Document]:
        """What a command finds, where one message holds it all.

        Else `read` is called, by which the driver reads from a cursor, and where the connection is lost: the driver
        waits for a primary and tries twice.
        """
        command["readConcern"] = _READ_CONCERN
        try:
            answer = await self._wire.command(command)
        except AutoReconnect:
            return await self._gate.shielded(read)
        except OperationFailure as error:
            if error.code in RETRYABLE_READS:
                return await self._gate.shielded(read)
            raise
        cursor = answer["cursor"]
        if cursor["id"]:
            return await self._gate.shielded(lambda: self._from_the_beginning(cursor, read))
        return cast(list[Document], cursor["firstBatch"])

    async def _from_the_beginning(
        self, cursor: Document, read: Callable[[], Awaitable[list[Document]]]
    ) -> list[Document]:
        collection = cursor["ns"].partition(".")[2]
        await self._raw.command({"killCursors": collection, "cursors": [cursor["id"]]})
        return await read()
