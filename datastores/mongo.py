"""The seam to MongoDB: one `Database` over Motor or PyMongo's asyncio client, with a fair gate and stated limits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeVar, cast

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession
from pymongo import AsyncMongoClient, IndexModel, ReturnDocument, UpdateOne
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.read_concern import ReadConcern
from pymongo.results import UpdateResult
from pymongo.write_concern import WriteConcern

from .errors import ExpectedError, UnavailableError
from .sessions import Session
from .wire import Changes, Wire
from .writes import Write, WriteCommand, updated, write_commands

Document = dict[str, Any]
Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]
Driver = Literal["motor", "pymongo"]
OnCommand = Callable[[str, str, float, bool], None]
NAMESPACE_EXISTS: Final = 48
T = TypeVar("T")

POOL_SIZE: Final = 32
GATE_SIZE: Final = 24
MAX_LIMIT: Final = 100_000
CONNECT_TIMEOUT_MS: Final = 5_000
HEARTBEAT_MS: Final = 2_000
HEARTBEAT_TIMEOUT_MS: Final = 3_000
COMMIT_TIMEOUT_MS: Final = 20_000
MAJORITY: Final = WriteConcern("majority", j=True, wtimeout=COMMIT_TIMEOUT_MS)
SNAPSHOT: Final = ReadConcern("snapshot")
# Where a node is stepping down, stopping or cut off: the codes of MongoDB's specification of retryable reads.
RETRYABLE_READS: Final = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
_READ_CONCERN: Final = {"level": "majority"}
_NOTHING: Final = "nothing"


class WrongDatabaseError(ExpectedError):
    """The URI is malformed, or no usable replica set answers there."""


class _Listener(CommandListener):
    """Reports each command as (name, collection, seconds, succeeded)."""

    def __init__(self, on_command: OnCommand) -> None:
        self._on_command = on_command
        self._collections: dict[int, str] = {}

    def started(self, event: CommandStartedEvent) -> None:
        key = "collection" if event.command_name == "getMore" else event.command_name
        name = event.command.get(key)
        self._collections[event.request_id] = name if isinstance(name, str) else ""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._end(event.request_id, event.command_name, event.duration_micros, True)

    def failed(self, event: CommandFailedEvent) -> None:
        self._end(event.request_id, event.command_name, event.duration_micros, False)

    def _end(self, request_id: int, command: str, micros: int, ok: bool) -> None:
        self._on_command(command, self._collections.pop(request_id, ""), micros / 1e6, ok)


class Database:
    """One MongoDB database through one driver.

    Reads return lists of plain documents with naive UTC datetimes. Those that one message answers go over `wire`, and
    so does what a commit loop does in a transaction. All other calls go through a first-in-first-out gate, which keeps
    the tail latency of the driver's pool in bounds, and reads among them are shielded from cancellation, since a
    cancelled read costs PyMongo a connection.
    """

    def __init__(self, client: Any, name: str, driver: Driver, wire: Wire) -> None:
        self._client = client
        # What a failover could take back must not be shown: a stream cannot unsay an event.
        self._raw = client.get_database(name, read_concern=ReadConcern("majority"), write_concern=MAJORITY)
        self._gate = asyncio.Semaphore(GATE_SIZE)
        self._shielded: set[asyncio.Task[Any]] = set()
        self._wire = wire
        self.name = name
        self.driver: Driver = driver

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
        commands = [*listeners, *([_Listener(on_command)] if on_command else [])]
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {
            "maxPoolSize": POOL_SIZE,
            "serverSelectionTimeoutMS": CONNECT_TIMEOUT_MS,
            # A server that has fallen silent is found within the sum of these, and then what waits for it is let go.
            # No time-out on sockets: commands may take long where the server lives.
            "heartbeatFrequencyMS": HEARTBEAT_MS,
            "connectTimeoutMS": HEARTBEAT_TIMEOUT_MS,
            "retryReads": True,
            "retryWrites": True,
            "appname": "agora",
        }
        client: Any
        try:
            opener: AsyncMongoClient[Document] = AsyncMongoClient(uri, **options)
            wire = Wire(opener, name, lambda: client.topology_description, on_command, listeners)
            options["event_listeners"] = [*commands, Changes(loop, wire.look)]
            client = AsyncIOMotorClient(uri, **options) if driver == "motor" else AsyncMongoClient(uri, **options)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise WrongDatabaseError(f"MONGODB_URI is not usable: {error}") from None
        database = cls(client, name, driver, wire)
        try:
            hello = await client.admin.command("hello")
        except PyMongoError as error:
            await database.close()
            raise WrongDatabaseError(f"MongoDB does not answer: {str(error).partition(', Timeout:')[0]}") from None
        if "setName" not in hello:
            await database.close()
            raise WrongDatabaseError("MongoDB must run as a replica set (a single node will do): transactions need one")
        return database

    async def close(self) -> None:
        """Close every connection."""
        closing = self._client.close()
        if closing is not None:
            await closing
        await self._wire.close()

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
        async with self._gate:
            return await operation

    async def _read(self, operation: Callable[[], Awaitable[T]]) -> T:
        async def gated() -> T:
            async with self._gate:
                return await operation()

        task = asyncio.ensure_future(gated())
        self._shielded.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._shielded.discard(task)
        if not task.cancelled():
            task.exception()

    async def _at_once(self, command: Document, read: Callable[[], Awaitable[list[Document]]]) -> list[Document]:
        """What a command finds, where one message holds it all.

        Else `read` is called, by which the driver reads from a cursor, and where the connection is lost: the driver
        waits for a primary and tries twice.
        """
        command["readConcern"] = _READ_CONCERN
        try:
            answer = await self._wire.command(command)
        except AutoReconnect:
            return await self._read(read)
        except OperationFailure as error:
            if error.code in RETRYABLE_READS:
                return await self._read(read)
            raise
        cursor = answer["cursor"]
        if cursor["id"]:
            return await self._read(lambda: self._from_the_beginning(cursor, read))
        return cast(list[Document], cursor["firstBatch"])

    async def _from_the_beginning(
        self, cursor: Document, read: Callable[[], Awaitable[list[Document]]]
    ) -> list[Document]:
        collection = cursor["ns"].partition(".")[2]
        await self._raw.command({"killCursors": collection, "cursors": [cursor["id"]]})
        return await read()

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
        """For each id its document or None, in the order of the ids; one read, whatever their number."""
        if not ids:
            return []
        wanted = {key: {"$in": list(dict.fromkeys(ids))}}
        found = await self.find(collection, wanted, limit=MAX_LIMIT, projection=projection)
        by_key = {document[key]: document for document in found}
        return [by_key.get(id) for id in ids]

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
        return await self._read(lambda: self._raw[collection].count_documents(filter, limit=limit))

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
