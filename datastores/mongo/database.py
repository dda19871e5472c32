"""One `Database` over either driver: what is read of it, written to it, done in a transaction, and watched."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast

from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import IndexModel, ReturnDocument, UpdateOne
from pymongo.errors import DocumentTooLarge, ExecutionTimeout, OperationFailure
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.results import UpdateResult
from pymongo.write_concern import WriteConcern

from datastores.errors import UnavailableError

from .connecting import close_clients, open_clients
from .reading import Reader
from .sessions import Session
from .types import Document, Driver, Filter, OnCommand, Sort
from .wire import Wire
from .writes import Write, WriteCommand, updated, write_commands

COMMIT_TIMEOUT_MS: Final = 20_000
MAJORITY: Final = WriteConcern("majority", j=True, wtimeout=COMMIT_TIMEOUT_MS)
SNAPSHOT: Final = ReadConcern("snapshot")
NAMESPACE_EXISTS: Final = 48
_NOTHING: Final = "nothing"
T = TypeVar("T")


class Database(Reader):
    """One MongoDB database through one driver.

    Reads that one message answers go over `wire`, and so does what a commit loop does in a transaction. All other calls
    go through a first-in-first-out gate, and reads among them are shielded from cancellation.
    """

    def __init__(self, client: Any, name: str, driver: Driver, wire: Wire) -> None:
        # What a failover could take back must not be shown: a stream cannot unsay an event.
        raw = client.get_database(name, read_concern=ReadConcern("majority"), write_concern=MAJORITY)
        super().__init__(raw, driver, wire)
        self._client = client
        self.name = name

    @classmethod
    async def connect(
        cls,
        uri: str,
        *,
        name: str = "agora",
        driver: Driver = "motor",
        on_command: OnCommand | None = None,
        listeners: Sequence[CommandListener] = (),
    ) -> Database:
        """A connected database; raises `WrongDatabaseError` unless a writable replica set answers within 5 s.

        `on_command` is told of each command when it has ended, `listeners` are told all that the driver tells.
        """
        client, wire = await open_clients(uri, name, driver, on_command, listeners)
        return cls(client, name, driver, wire)

    async def close(self) -> None:
        """Close every connection."""
        await close_clients(self._client, self._wire)

    async def drop(self) -> None:
        """Remove the database and all that is in it."""
        await self._client.drop_database(self.name)

    async def ping(self) -> float:
        """Seconds that the database took to answer."""
        start = time.perf_counter()
        await self._raw.command("ping")
        return time.perf_counter() - start

    async def command(self, name: str, **arguments: Any) -> Document:
        """The answer to a database command."""
        return cast(Document, await self._through(self._raw.command({name: 1, **arguments})))

    async def explain(self, command: Document) -> Document:
        """How the database carries a read out, with counts of what it examined: it is carried out for that."""
        answer = self._raw.command({"explain": command, "verbosity": "executionStats"})
        return cast(Document, await self._through(answer))

    async def _through(self, operation: Awaitable[T]) -> T:
        return await self._gate.through(operation)

    async def insert_one(self, collection: str, document: Document, *, session: Session | None = None) -> None:
        """Insert; a duplicate raises pymongo's DuplicateKeyError."""
        await self._through(self._raw[collection].insert_one(document, session=session and session.raw))

    async def insert_many(
        self, collection: str, documents: Sequence[Document], *, ordered: bool = True, session: Session | None = None
    ) -> None:
        """Insert all; raises pymongo's BulkWriteError."""
        operation = self._raw[collection].insert_many(documents, ordered=ordered, session=session and session.raw)
        await self._through(operation)

    async def update_one(
        self,
        collection: str,
        filter: Filter,
        update: Filter | Sequence[Filter],
        *,
        upsert: bool = False,
        session: Session | None = None,
    ) -> UpdateResult:
        """The driver's result: `matched_count`, `modified_count`, `upserted_id`."""
        operation = self._raw[collection].update_one(filter, update, upsert=upsert, session=session and session.raw)
        return cast(UpdateResult, await self._through(operation))

    async def update_many(
        self, collection: str, filter: Filter, update: Filter, *, session: Session | None = None
    ) -> UpdateResult:
        """The driver's result: `matched_count`, `modified_count`."""
        operation = self._raw[collection].update_many(filter, update, session=session and session.raw)
        return cast(UpdateResult, await self._through(operation))

    async def find_one_and_update(
        self,
        collection: str,
        filter: Filter,
        update: Filter | Sequence[Filter],
        *,
        upsert: bool = False,
        sort: Sort | None = None,
        session: Session | None = None,
    ) -> Document | None:
        """The document as it is after the update, or None where nothing matched."""
        operation = self._raw[collection].find_one_and_update(
            filter,
            update,
            upsert=upsert,
            sort=sort,
            return_document=ReturnDocument.AFTER,
            session=session and session.raw,
        )
        return cast("Document | None", await self._through(operation))

    async def delete_one(self, collection: str, filter: Filter, *, session: Session | None = None) -> int:
        """How many were deleted: 0 or 1."""
        result = await self._through(self._raw[collection].delete_one(filter, session=session and session.raw))
        return cast(int, result.deleted_count)

    async def delete_many(self, collection: str, filter: Filter) -> int:
        """How many were deleted."""
        return cast(int, (await self._through(self._raw[collection].delete_many(filter))).deleted_count)

    async def update_by_ids(
        self,
        collection: str,
        updates: Mapping[Any, Filter | Sequence[Filter]],
        *,
        upsert: bool = False,
        session: Session | None = None,
    ) -> None:
        """Update the documents with these ids; an id without a document is passed over, or gets one by `upsert`."""
        if session is not None:
            statements = [{"q": {"_id": id}, "u": update, "upsert": upsert} for id, update in updates.items()]
            await self._send([WriteCommand("update", collection, statements)], session)
            return
        writes = [UpdateOne({"_id": id}, update, upsert=upsert) for id, update in updates.items()]
        await self._through(self._raw[collection].bulk_write(writes, ordered=False))

    async def write(self, collection: str, writes: Sequence[Write], *, session: Session) -> int:
        """How many existing documents were found, of those to update or replace; raises pymongo's BulkWriteError."""
        return await self._send(write_commands(collection, writes), session)

    async def write_and_commit(self, writes: Mapping[str, Sequence[Write]], session: Session) -> None:
        """Make these writes by collection, in their order, and commit once.

        Raises as `write` and `Session.commit` do, and RuntimeError where a document to update has gone: then nothing
        was written.
        """
        for collection, each in writes.items():
            found = await self.write(collection, each, session=session)
            if found != (wanted := updated(each)):
                raise RuntimeError(f"{collection}: {wanted - found} documents to update have gone")
        await session.commit()

    async def _send(self, commands: Iterable[WriteCommand], session: Session) -> int:
        found = 0
        waiting = deque(commands)
        while waiting:
            command = waiting.popleft()
            try:
                found += command.matched(await session.command(command.document))
            except DocumentTooLarge:
                if len(command.statements) < 2:
                    raise
                waiting.extendleft(command.halves())
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A snapshot transaction with majority and journaled commit, for the caller to commit.

        Aborted where it was not committed. No retries: `datastores/commit` and `run_transaction` own those.
        """
        if self.driver == "motor":
            # Neither the begin of a session nor its end asks the server, so there is nothing to wait for in a thread.
            raw = AsyncIOMotorClientSession(self._client.delegate.start_session(), self._client)
            raw.start_transaction(SNAPSHOT, MAJORITY, max_commit_time_ms=COMMIT_TIMEOUT_MS)
        else:
            raw = self._client.start_session()
            await raw.start_transaction(SNAPSHOT, MAJORITY, max_commit_time_ms=COMMIT_TIMEOUT_MS)
        session = Session(raw, raw.delegate if self.driver == "motor" else raw, self._wire)
        try:
            yield session
        finally:
            await session.abort()
            if self.driver == "motor":
                raw.delegate.end_session()
            else:
                await raw.end_session()

    async def settle(self) -> None:
        """Wait until reads show all that the primary has written so far; UnavailableError after 20 s.

        A change stream begins after the primary's last write, while reads show what most nodes have, and a new primary
        may at first show less than the old one did: whoever joins the two must wait for the reads.
        """
        starting = self._client.start_session(causal_consistency=True)
        session = await starting if self.driver == "motor" else starting
        try:
            await self._through(self._raw.command("ping", session=session))
            # No such collection is needed: the read waits for the time that the ping has told.
            reading = self._raw[_NOTHING].find_one({}, session=session, max_time_ms=COMMIT_TIMEOUT_MS)
            await self._through(reading)
        except ExecutionTimeout as error:
            raise UnavailableError("The database is not available now: try again") from error
        finally:
            await session.end_session()

    @asynccontextmanager
    async def watch(
        self, collection: str, pipeline: Sequence[Filter], *, resume_after: Document | None = None
    ) -> AsyncIterator[Any]:
        """The driver's change stream over one collection (`try_next`, `resume_token`), closed at the end."""
        opening = self._raw[collection].watch(
            list(pipeline), resume_after=resume_after, max_await_time_ms=1_000, batch_size=1_000
        )
        stream = await opening if self.driver == "pymongo" else opening
        async with stream:
            yield stream

    async def create_collections(self, indexes: Mapping[str, Sequence[IndexModel]]) -> None:
        """Create collections (a transaction should not have to) and their indexes; what is there already stays."""
        existing = set(await self._raw.list_collection_names())
        for collection, models in indexes.items():
            if collection not in existing:
                try:
                    await self._raw.create_collection(collection, check_exists=False)
                except OperationFailure as error:
                    # Another process that starts at the same time may have made it by now.
                    if error.code != NAMESPACE_EXISTS:
                        raise
            if models:
                await self._raw[collection].create_indexes(list(models))
