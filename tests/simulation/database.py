"""One process's way to the simulated database: the calls that a commit loop makes, each with a fault from the seed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from pymongo.errors import OperationFailure
from pymongo.results import UpdateResult

from datastores.mongo import MAX_LIMIT, Database, Document, Filter, Session, Sort, Write
from datastores.mongo.merging import MergedReads
from datastores.mongo.writes import updated

from .faults import (
    OF_COMMANDS,
    OF_COMMITS,
    TRANSIENT,
    UNKNOWN,
    WRITE_CONFLICT,
    Fault,
    Faults,
    InjectedError,
    Trace,
    lost_connection,
    no_such_transaction,
)
from .queries import aggregated, sort_key
from .storage import Storage, Transaction

T = TypeVar("T")


class SimulatedSession(Session):
    """A transaction of one process, as the driver shows it: open until a commit was tried."""

    def __init__(self, database: SimulatedDatabase, transaction: Transaction) -> None:
        self.transaction = transaction
        self._database = database
        self._ended = False

    async def commit(self) -> None:
        self._ended = True
        await self._database.commit(self.transaction)

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            await self._database.abort(self.transaction)


class SimulatedDatabase(Database):
    """What loops, use cases and `verify` ask of a `Database`. A process that has crashed gets no answer any more."""

    def __init__(self, storage: Storage, faults: Faults, trace: Trace, process: str) -> None:
        self.name = process
        self._storage = storage
        self._faults = faults
        self._trace = trace
        self._dead = False
        self._merged = MergedReads()

    def crash(self) -> None:
        """From now on nothing that this process sends arrives, and nothing is answered; what arrived stays."""
        self._dead = True

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
        transaction = _transaction(session)

        def read() -> list[Document]:
            found = self._storage.find(collection, filter, transaction)
            for name, direction in reversed(sort or ()):
                found.sort(key=lambda document: sort_key(document, name), reverse=direction < 0)
            return found[:limit]

        assert 0 < limit <= MAX_LIMIT
        return await self._command(f"find {collection}", read, transaction)

    async def write(self, collection: str, writes: Sequence[Write], *, session: Session) -> int:
        transaction = _transaction(session)
        assert transaction is not None, "only transactions write"
        return await self._command(
            f"write {collection} {len(writes)}",
            lambda: self._storage.write(collection, writes, transaction),
            transaction,
        )

    async def write_and_commit(self, writes: Mapping[str, Sequence[Write]], session: Session) -> None:
        for collection, each in writes.items():
            if await self.write(collection, each, session=session) != updated(each):
                raise RuntimeError(f"{collection}: documents to update have gone")
        await session.commit()

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
        assert session is None
        made = await self._change(collection, filter, update, upsert=upsert)
        return made[0][1] if made else None

    async def update_one(
        self,
        collection: str,
        filter: Filter,
        update: Filter | Sequence[Filter],
        *,
        upsert: bool = False,
        session: Session | None = None,
    ) -> UpdateResult:
        assert session is None
        return _result(await self._change(collection, filter, update, upsert=upsert))

    async def update_many(
        self, collection: str, filter: Filter, update: Filter, *, session: Session | None = None
    ) -> UpdateResult:
        assert session is None
        return _result(await self._change(collection, filter, update, many=True))

    async def insert_one(self, collection: str, document: Document, *, session: Session | None = None) -> None:
        await self.insert_many(collection, [document], session=session)

    async def insert_many(
        self, collection: str, documents: Sequence[Document], *, ordered: bool = True, session: Session | None = None
    ) -> None:
        assert session is None
        await self._command(f"insert {collection}", lambda: self._storage.insert(collection, documents))

    async def delete_one(self, collection: str, filter: Filter, *, session: Session | None = None) -> int:
        assert session is None
        return await self._command(f"delete {collection}", lambda: self._storage.delete(collection, filter, many=False))

    async def delete_many(self, collection: str, filter: Filter) -> int:
        return await self._command(f"delete {collection}", lambda: self._storage.delete(collection, filter, many=True))

    async def aggregate(self, collection: str, pipeline: Sequence[Filter], *, limit: int = MAX_LIMIT) -> list[Document]:
        def read() -> list[Document]:
            return aggregated(self._storage.find(collection, {}, None), pipeline, self._storage.now)[:limit]

        return await self._command(f"aggregate {collection}", read)

    async def _change(
        self,
        collection: str,
        filter: Filter,
        update: Filter | Sequence[Filter],
        *,
        upsert: bool = False,
        many: bool = False,
    ) -> list[tuple[Document | None, Document]]:
        return await self._command(
            f"change {collection}", lambda: self._storage.change(collection, filter, update, upsert=upsert, many=many)
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        session = SimulatedSession(self, self._storage.begin())
        try:
            yield session
        finally:
            await session.abort()

    async def commit(self, transaction: Transaction) -> None:
        """Commit, perhaps without saying so."""
        fault = self._faults.of(OF_COMMITS)
        self._note("commit", fault)
        await self._travel(fault is Fault.STALL_BEFORE, arrives=self._faults.coin())
        if fault is Fault.ERROR_BEFORE and transaction.state == "open":
            self._storage.abort(transaction)
            raise no_such_transaction()
        if fault is Fault.UNKNOWN_LOST:
            self._storage.abort(transaction)
        elif fault is Fault.UNKNOWN_LATE:
            delay_s = self._faults.delay_s(stalled=False) * 20
            asyncio.get_running_loop().call_later(delay_s, self._commit_late, transaction)
        elif fault is not Fault.UNKNOWN_OPEN:
            self._storage.commit(transaction)
        await self._travel(fault is Fault.STALL_AFTER)
        if fault.startswith("unknown"):
            raise lost_connection(UNKNOWN)
        self._note("committed", Fault.NONE)

    async def abort(self, transaction: Transaction) -> None:
        """Abort; where the message is lost, the server ends the transaction when its time is over."""
        if self._dead:
            return
        fault = self._faults.of(OF_COMMANDS)
        self._note("abort", fault)
        await self._travel(stalled=False)
        if fault in (Fault.NONE, Fault.ERROR_AFTER, Fault.STALL_AFTER):
            self._storage.abort(transaction)

    def _commit_late(self, transaction: Transaction) -> None:
        if transaction.state == "open":
            try:
                self._storage.commit(transaction)
            except Exception as error:
                self._note(f"late commit: {error}", Fault.NONE)

    async def _command(self, name: str, operation: Callable[[], T], transaction: Transaction | None = None) -> T:
        fault = self._faults.of(OF_COMMANDS)
        self._note(name, fault)
        await self._travel(fault is Fault.STALL_BEFORE)
        if fault is Fault.ERROR_BEFORE:
            raise lost_connection(TRANSIENT)
        if fault is Fault.UNLABELLED:
            raise InjectedError("an internal error of the server", 8)
        result = await self._done(operation, transaction)
        await self._travel(fault is Fault.STALL_AFTER)
        if fault is Fault.ERROR_AFTER:
            raise lost_connection(TRANSIENT)
        return result

    async def _done(self, operation: Callable[[], T], transaction: Transaction | None) -> T:
        """What the server does; outside of transactions it waits for whoever is writing the same document."""
        while True:
            try:
                return operation()
            except OperationFailure as error:
                if transaction is not None or error.code != WRITE_CONFLICT:
                    raise
                await asyncio.sleep(self._faults.delay_s(stalled=False))

    async def _travel(self, stalled: bool, *, arrives: bool = False) -> None:
        """One way to the server or back; what `arrives` was sent before a crash and is not stopped by it."""
        sent = not self._dead
        if sent:
            await asyncio.sleep(self._faults.delay_s(stalled))
        if self._dead and not (sent and arrives):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            await asyncio.get_running_loop().create_future()

    def _note(self, what: str, fault: Fault) -> None:
        said = what if fault is Fault.NONE else f"{what}: {fault.value}"
        self._trace.note(asyncio.get_running_loop().time(), self.name, said)


def _transaction(session: Session | None) -> Transaction | None:
    return session.transaction if isinstance(session, SimulatedSession) else None


def _result(made: Sequence[tuple[Document | None, Document]]) -> UpdateResult:
    found = [before is not None for before, _ in made]
    said: Document = {"n": len(made), "nModified": sum(before != after for before, after in made if before is not None)}
    if not all(found):
        said["upserted"] = made[0][1]["_id"]
    return UpdateResult(said, acknowledged=True)
