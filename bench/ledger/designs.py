"""The candidates: a correct naive transaction, the ledger, and a bulk insert of the entries that the ledger makes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast
from uuid import uuid4

from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern

from datastores import ledger
from datastores.clock import utc_now
from datastores.commit import MAX_ACTS, CommitLoops, Work, by_id
from datastores.ledger import Entry
from datastores.ledger.accounts import ACCOUNTS, AccountKind, new_account
from datastores.ledger.entries import ENTRIES, LAST
from datastores.mongo import MAJORITY, Database

from .people import CURRENCY, FUNDS, Request, person_id, transfer, wallet_id

NAIVE_ACCOUNTS: Final = "naive_accounts"
NAIVE_ENTRIES: Final = "naive_entries"
BULK_ENTRIES: Final = "bulk_entries"
NAIVE_CONNECTIONS: Final = 200
SUBMIT_TIMEOUT_S: Final = 120.0


class Design(Protocol):
    """One way to make transfers durable; `prepare` is outside the clock, `post` returns when it is acknowledged."""

    async def prepare(self, requests: Sequence[Request]) -> None: ...

    async def post(self, request: Request) -> None: ...

    async def close(self) -> None: ...


class Naive:
    """One transaction a transfer by `with_transaction`: guarded debit, credit, entry; run again after a conflict."""

    def __init__(self, uri: str, name: str) -> None:
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, maxPoolSize=NAIVE_CONNECTIONS)
        self._accounts = self._client[name][NAIVE_ACCOUNTS]
        self._entries = self._client[name][NAIVE_ENTRIES]

    async def prepare(self, requests: Sequence[Request]) -> None:
        return None

    async def post(self, request: Request) -> None:
        source, target, amount = wallet_id(request.payer), wallet_id(request.payee), request.amount
        entry = _entry(request)

        async def move(session: Any) -> None:
            guard = {"_id": source, "status": "OPEN", "posted": {"$gte": amount}}
            debited = await self._accounts.update_one(
                guard, {"$inc": {"posted": -amount, "version": 1}}, session=session
            )
            credit = {"$inc": {"posted": amount, "version": 1}}
            credited = await self._accounts.update_one({"_id": target, "status": "OPEN"}, credit, session=session)
            if not debited.matched_count or not credited.matched_count:
                raise RuntimeError("the load asks for more than there is")
            await self._entries.insert_one(entry, session=session)

        async with self._client.start_session() as session:
            await session.with_transaction(move, read_concern=ReadConcern("snapshot"), write_concern=MAJORITY)

    async def close(self) -> None:
        await self._client.close()


class Ledger:
    """The ledger as a gateway has it: its own act through a commit loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loops = CommitLoops(database)
        self._is_open = False
        self.commits = self._loops[ledger.COMMIT_LOOP]

    async def prepare(self, requests: Sequence[Request]) -> None:
        if not self._is_open:
            self._is_open = True
            await self._loops.__aenter__()

    async def post(self, request: Request) -> None:
        outcome = await self.commits.submit(transfer(request), timeout_s=SUBMIT_TIMEOUT_S)
        outcome.accepted()

    async def close(self) -> None:
        await self._loops.__aexit__()
        await self._database.close()


class Bulk:
    """The entries alone, made before the clock runs: what waits is inserted at once, at most 512 together.

    There are no balances, no decisions and no transaction: the most that a journal in this database could do.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: dict[str, Entry] = {}
        self._waiting: deque[tuple[Entry, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def prepare(self, requests: Sequence[Request]) -> None:
        self._entries = decided(requests)

    async def post(self, request: Request) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._entries[request.key], future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await future

    async def _run(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_ACTS, len(self._waiting)))]
            documents = [cast("dict[str, Any]", entry) for entry, _ in batch]
            await self._database.insert_many(BULK_ENTRIES, documents, ordered=False)
            for _, future in batch:
                future.set_result(None)

    async def close(self) -> None:
        await self._database.close()


def decided(requests: Sequence[Request]) -> dict[str, Entry]:
    """The entries that the ledger's own evaluator makes of these requests, by key, numbered from 1 in a partition."""
    work = Work(utc_now())
    work.add_read(LAST, [])
    acts = {request.key: transfer(request) for request in requests}
    people = {number for request in requests for number in (request.payer, request.payee)}
    accounts = [funded_account(number) for number in people]
    work.add_read(by_id(ACCOUNTS, *(account["_id"] for account in accounts)), accounts)
    work.add_read(by_id(ENTRIES, *(act.command.entry_id for act in acts.values())), [])
    partition = uuid4().hex
    entries = {key: act.decide(work).accepted() for key, act in acts.items()}
    for entry in entries.values():
        entry["partition"] = partition
    return entries


def funded_account(number: int) -> dict[str, Any]:
    """A wallet with the money that everybody begins with."""
    owner = person_id(number)
    account = new_account(wallet_id(number), AccountKind.WALLET, CURRENCY, utc_now(), owner)
    return {**account, "posted": FUNDS, "version": 1}


def _entry(request: Request) -> dict[str, Any]:
    """What a naive journal keeps of a transfer: the same facts, without balances, number and chain."""
    act = transfer(request)
    legs = [{"account_id": account, "delta": delta} for account, delta in act.transfer.legs]
    return {
        "_id": act.command.entry_id,
        "caller": act.command.caller,
        "key": act.command.key,
        "request_hash": act.command.request_hash,
        "kind": act.transfer.kind.value,
        "state": "POSTED",
        "currency": CURRENCY,
        "amount": request.amount,
        "legs": legs,
        "sender_id": act.transfer.sender_id,
        "recipient_id": act.transfer.recipient_id,
        "created_at": utc_now(),
    }
