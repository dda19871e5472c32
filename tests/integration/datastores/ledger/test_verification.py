"""Replaying the journal: a whole one holds, and one flipped byte anywhere does not."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores.errors import TransferRefusedError
from datastores.ledger import Account, Checkpoint, Entry, Leg
from datastores.mongo import Database
from datastores.sealing import SealingKey

from . import town

MASTER = SealingKey.generate()
NOW = datetime(2026, 5, 1)


async def lively_ledger(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 500)
    await town.fill(commits, "ben", 500, "JPY")
    await asyncio.gather(*(town.pay(commits, "ann", f"friend{n}", 30) for n in range(20)))
    original = (await town.pay(commits, "friend0", "ben", 20)).accepted()
    await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 5))
    held = (await commits.submit(ledger.ReserveTransfer(town.command("ann"), town.transfer("ann", "ben", 5)))).entry
    await commits.submit(ledger.ResolveReserve(ledger.system_command("settle", held["_id"]), held))
    held = (await commits.submit(ledger.ReserveTransfer(town.command("ann"), town.transfer("ann", "ben", 5)))).entry
    error = TransferRefusedError("The rail refused")
    await commits.submit(ledger.ResolveReserve(ledger.system_command("release", held["_id"]), held, error))
    await commits.submit(ledger.ReserveTransfer(town.command("friend1"), town.transfer("friend1", "ben", 5)))
    wallet = ledger.wallet_id("ben", "JPY")
    frozen = ledger.SetStatus(ledger.system_command("freeze", wallet), wallet, ledger.WalletStatus.FROZEN)
    await commits.submit(frozen)


async def test_empty_ledger_holds(database: Database) -> None:
    report = await ledger.verify(database)

    assert (report.holds, report.entries) == (True, 0)


async def test_whole_ledger_holds_and_tells_how_far_it_is(database: Database) -> None:
    await lively_ledger(database)
    told: list[tuple[int, int]] = []

    report = await ledger.verify(database, lambda done, of: told.append((done, of)))

    assert report.problems == []
    assert report.entries == await database.count("entries", {})
    assert report.accounts == await database.count("accounts", {})
    assert told[-1] == (report.entries, report.entries)


FLIPS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("entries", {"seq": 5}, {"$inc": {"legs.0.delta": 1}}),
    ("entries", {"seq": 5}, {"$set": {"legs.0.currency": "JPY"}}),
    ("entries", {"seq": 5}, {"$inc": {"legs.1.posted_after": 1}}),
    ("entries", {"seq": 5}, {"$set": {"hash": "0" * 64}}),
    ("entries", {"seq": 5}, {"$set": {"legs.1.account_id": "wal_elsewhere"}}),
    ("entries", {"seq": 5}, {"$set": {"recipient_id": "mallory"}}),
    ("entries", {"seq": 5}, {"$set": {"salt": "00" * 16}}),
    ("entries", {"seq": 5}, {"$set": {"key": "another"}}),
    ("accounts", {"owner_id": "ann"}, {"$inc": {"posted": 1}}),
    ("accounts", {"owner_id": "ann"}, {"$inc": {"version": 1}}),
    ("accounts", {"owner_id": "ben"}, {"$set": {"status": "CLOSED"}}),
]


@pytest.mark.parametrize(("collection", "filter", "update"), FLIPS)
async def test_any_change_behind_the_ledgers_back_is_found(
    database: Database, collection: str, filter: dict[str, Any], update: dict[str, Any]
) -> None:
    await lively_ledger(database)
    await database.update_one(collection, filter, update)

    report = await ledger.verify(database)

    assert not report.holds
    assert ledger.problem_lines(report.problems)


FIELDS = [
    *(("entries", {"seq": 5}, name) for name in Entry.__annotations__),
    *(("entries", {"seq": 5}, f"legs.1.{name}") for name in Leg.__annotations__),
    *(("accounts", {"owner_id": "ann"}, name) for name in Account.__annotations__),
    *(("accounts", {"kind": "RAIL"}, name) for name in Account.__annotations__),
    *(("checkpoints", {"number": 1}, name) for name in Checkpoint.__annotations__),
    *(("checkpoints", {"number": 2}, name) for name in Checkpoint.__annotations__),
    *(("signing_keys", {}, name) for name in ("_id", "public_key")),
]


async def signed_ledger(database: Database) -> None:
    """Six entries, and checkpoints of the third and the last."""
    commits = town.loop(database)
    await town.fill(commits, "ann", 500)
    await town.pay(commits, "ann", "ben", 30)
    await town.pay(commits, "ben", "ann", 31)
    await ledger.make_checkpoint(database, MASTER, NOW)
    await town.pay(commits, "ann", "ben", 20)
    await town.pay(commits, "ann", "ben", 10)
    await town.pay(commits, "ben", "ann", 5)
    await ledger.make_checkpoint(database, MASTER, NOW)


def flipped(value: Any) -> Any:
    """Another value of the same kind, as near as can be; a text where there was nothing."""
    match value:
        case None:
            return "x"
        case bool():
            return not value
        case int():
            return value ^ 16
        case str():
            return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        case datetime():
            return value + timedelta(milliseconds=1)
        case list():
            return [*value, "x"]
        case dict():
            return {**value, "x": 1}
        case _:
            raise NotImplementedError(type(value))


async def change(database: Database, collection: str, filter: dict[str, Any], name: str, value: Any) -> None:
    """Give a field another value behind the ledger's back; `_id` by another document in its place."""
    if name != "_id":
        await database.update_one(collection, filter, {"$set": {name: value}})
        return
    document = await database.find_one(collection, filter)
    assert document is not None
    await database.delete_one(collection, {"_id": document["_id"]})
    await database.insert_one(collection, {**document, "_id": value})


@pytest.mark.parametrize(("collection", "filter", "name"), FIELDS, ids=str)
async def test_a_flip_of_any_field_is_found(
    database: Database, collection: str, filter: dict[str, Any], name: str
) -> None:
    await signed_ledger(database)
    assert (await ledger.verify(database)).problems == []
    before: Any = await database.find_one(collection, filter)
    for part in name.split("."):
        before = before[int(part)] if part.isdigit() else before[part]

    await change(database, collection, filter, name, flipped(before))

    report = await ledger.verify(database)
    assert not report.holds
    if collection == "entries":
        assert report.broken_at in (5, 6)


@pytest.mark.parametrize("name", [*Entry.__annotations__, *(f"legs.1.{name}" for name in Leg.__annotations__)])
async def test_a_field_of_another_type_is_found_and_ends_nothing(database: Database, name: str) -> None:
    await signed_ledger(database)
    await change(database, "entries", {"seq": 5}, name, {"wrong": 1.5})

    report = await ledger.verify(database)

    assert not report.holds


@pytest.mark.parametrize(("collection", "filter"), [("entries", {"seq": 7}), ("accounts", {"owner_id": "friend3"})])
async def test_anything_taken_away_is_found(database: Database, collection: str, filter: dict[str, Any]) -> None:
    await lively_ledger(database)
    await database.delete_one(collection, filter)

    assert not (await ledger.verify(database)).holds


async def test_more_refunds_than_payment_are_found_though_every_entry_balances(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 100)
    await town.fill(commits, "ben", 100)
    original = (await town.pay(commits, "ann", "ben", 50)).accepted()
    await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 50))
    await database.update_one("transfers", {}, {"$set": {"refunded": 0}})
    await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 1))

    report = await ledger.verify(database)

    assert [problem.subject for problem in report.problems] == [original["_id"]]


async def test_a_ledger_at_work_is_verified_without_false_alarm(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 100_000)
    done = asyncio.Event()

    async def work() -> None:
        while not done.is_set():
            await asyncio.gather(*(town.pay(commits, "ann", f"friend{n}", 1) for n in range(8)))

    worker = asyncio.create_task(work())
    reports = [await ledger.verify(database) for _ in range(5)]
    done.set()
    await worker

    assert [report.problems for report in reports] == [[]] * 5
