"""Replaying the journal: a whole one holds, and one flipped byte anywhere does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datastores import ledger
from datastores.errors import TransferRefusedError
from datastores.mongo import Database

from . import town


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
