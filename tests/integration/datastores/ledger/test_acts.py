"""Acts of the ledger on a real replica set: definite outcomes, one effect a key, numbers without a hole."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from datetime import datetime

import pytest

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.errors import (
    ConflictError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    LimitExceededError,
    NotFoundError,
    TransferRefusedError,
)
from datastores.ledger import WalletStatus
from datastores.mongo import Database

from . import town


def assert_whole(journal: list[dict[str, object]]) -> None:
    assert [entry["seq"] for entry in journal] == list(range(1, len(journal) + 1))


async def test_wallet_opens_once_however_often_it_is_opened(database: Database) -> None:
    commits, others = town.loop(database), town.loop(database)
    act = ledger.OpenWallet("usr_ann", "EUR")

    opened = await asyncio.gather(*(loop.submit(act) for loop in (commits, others) * 10))

    assert {account["_id"] for account in opened} == {ledger.wallet_id("usr_ann", "EUR")}
    assert await database.count("accounts", {}) == 1


async def test_transfer_moves_money_and_opens_the_recipients_wallet(database: Database) -> None:
    commits = town.loop(database)
    source = await town.fill(commits, "ann", 1_000)

    entry = (await town.pay(commits, "ann", "ben", 300)).accepted()

    assert (await town.account(database, source))["posted"] == 700
    assert (await town.account(database, ledger.wallet_id("ben", "EUR")))["posted"] == 300
    assert [(leg["delta"], leg["posted_after"]) for leg in entry["legs"]] == [(-300, 700), (300, 300)]


async def test_sixty_four_at_once_from_one_wallet_with_funds_for_forty(database: Database) -> None:
    commits = town.loop(database)
    source = await town.fill(commits, "ann", 40)

    outcomes = await asyncio.gather(*(town.pay(commits, "ann", f"friend{n}", 1) for n in range(64)))

    assert sum(outcome.posted for outcome in outcomes) == 40
    refused = [outcome.entry for outcome in outcomes if not outcome.posted]
    assert len(refused) == 24
    assert {entry["code"] for entry in refused} == {"INSUFFICIENT_FUNDS"}
    journal = await town.entries(database)
    assert len(journal) == 65
    assert_whole(journal)
    assert (await town.account(database, source))["posted"] == 0
    assert sum(a["posted"] for a in await database.find("accounts", {}, limit=1_000)) == 0


async def test_two_loops_on_one_database_keep_every_promise(database: Database) -> None:
    commits, others = town.loop(database), town.loop(database)
    await town.fill(commits, "ann", 40)

    outcomes = await asyncio.gather(
        *(town.pay(loop, "ann", f"friend{n}", 1) for n in range(32) for loop in (commits, others))
    )

    assert sum(outcome.posted for outcome in outcomes) == 40
    journal = await town.entries(database)
    assert len(journal) == 65
    assert_whole(journal)
    assert all(a["hash"] == b["previous_hash"] for a, b in itertools.pairwise(journal))


async def test_one_key_fifty_times_at_once_moves_money_once(database: Database) -> None:
    commits, others = town.loop(database), town.loop(database)
    source = await town.fill(commits, "ann", 1_000)

    outcomes = await asyncio.gather(
        *(town.pay(loop, "ann", "ben", 10, key="rent") for _ in range(25) for loop in (commits, others))
    )

    assert len({outcome.entry["_id"] for outcome in outcomes}) == 1
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert (await town.account(database, source))["posted"] == 990


async def test_key_with_other_input_is_refused_also_at_the_same_time(database: Database) -> None:
    commits, others = town.loop(database), town.loop(database)
    source = await town.fill(commits, "ann", 1_000)

    outcomes = await asyncio.gather(
        *(town.pay(loop, "ann", "ben", amount, key="rent") for loop in (commits, others) for amount in (10, 20) * 5),
        return_exceptions=True,
    )

    posted = [outcome for outcome in outcomes if isinstance(outcome, ledger.Outcome)]
    assert len({outcome.entry["_id"] for outcome in posted}) == 1
    assert len(posted) == 10
    assert sum(isinstance(outcome, IdempotencyKeyReusedError) for outcome in outcomes) == 10
    assert (await town.account(database, source))["posted"] == 1_000 - posted[0].entry["amount"]


async def test_two_callers_may_use_the_same_key(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 100)
    await town.fill(commits, "ben", 100)

    first = await town.pay(commits, "ann", "ben", 10, key="same")
    second = await town.pay(commits, "ben", "ann", 10, key="same")

    assert first.entry["_id"] != second.entry["_id"]
    assert not second.replayed


async def test_refusal_stays_after_the_money_has_come(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 5)
    first = await town.pay(commits, "ann", "ben", 10, key="rent")

    await town.fill(commits, "ann", 1_000)
    again = await town.pay(commits, "ann", "ben", 10, key="rent")

    assert again.replayed
    for outcome in (first, again):
        with pytest.raises(InsufficientFundsError) as caught:
            outcome.accepted()
        assert caught.value.details == {"available": {"minor_units": 5, "currency": "EUR"}}
    assert (await town.pay(commits, "ann", "ben", 10)).posted


async def test_refused_transfer_opens_no_wallet(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 5)

    await town.pay(commits, "ann", "ben", 10)

    assert await database.count("accounts", {"owner_id": "ben"}) == 0


async def test_unknown_payer_wallet_writes_nothing(database: Database) -> None:
    commits = town.loop(database)

    with pytest.raises(NotFoundError):
        await town.pay(commits, "ann", "ben", 10)

    assert await database.count("entries", {}) == 0


@pytest.mark.parametrize("frozen", ["ann", "ben"])
async def test_frozen_account_neither_pays_nor_is_paid(database: Database, frozen: str) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 5)
    await town.fill(commits, "ben", 5)
    wallet = ledger.wallet_id(frozen, "EUR")
    await commits.submit(ledger.SetStatus(ledger.system_command("freeze", wallet), wallet, WalletStatus.FROZEN))

    outcome = await town.pay(commits, "ann", "ben", 1_000)

    with pytest.raises(TransferRefusedError) as caught:
        outcome.accepted()
    assert caught.value.code == "ACCOUNT_FROZEN"
    await commits.submit(ledger.SetStatus(ledger.system_command("thaw", wallet), wallet, WalletStatus.OPEN))
    assert (await town.pay(commits, "ann", "ben", 1)).posted


async def test_balance_cannot_pass_sixty_four_bits(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", ledger.MAX_MINOR_UNITS - 15, "JPY")

    with pytest.raises(LimitExceededError) as caught:
        await town.fill(commits, "ann", 16, "JPY")

    assert caught.value.details["window"] == "balance"
    await town.fill(commits, "ann", 15, "JPY")


async def test_refunds_never_pass_the_original(database: Database) -> None:
    commits, others = town.loop(database), town.loop(database)
    await town.fill(commits, "ann", 100)
    original = (await town.pay(commits, "ann", "ben", 100)).accepted()

    outcomes = await asyncio.gather(
        *(
            loop.submit(ledger.RefundTransfer(town.command("ben"), original, 30))
            for loop in (commits, others)
            for _ in range(4)
        )
    )

    assert sum(outcome.posted for outcome in outcomes) == 3
    with pytest.raises(ConflictError):
        next(outcome for outcome in outcomes if not outcome.posted).accepted()
    rest = (await commits.submit(ledger.RefundTransfer(town.command("ben"), original))).accepted()
    assert rest["amount"] == 10
    shown = (await ledger.transfers_by_ids(database, [ledger.sibling_id(original["_id"], "trf")]))[0]
    assert shown is not None
    assert (shown["state"], shown["refunded_amount"]) == ("REFUNDED", ledger.money(100, "EUR"))


async def test_reserve_is_settled_or_released_once(database: Database) -> None:
    commits, others = town.loop(database), town.loop(database)
    wallet = await town.fill(commits, "ann", 100)
    held = (
        await commits.submit(ledger.ReserveTransfer(town.command("ann"), town.transfer("ann", "ben", 60)))
    ).accepted()
    assert ledger.available(await town.account(database, wallet)) == 40
    refusal = TransferRefusedError("The rail refused")

    outcomes = await asyncio.gather(
        commits.submit(ledger.ResolveReserve(ledger.system_command("settle", held["_id"]), held)),
        others.submit(ledger.ResolveReserve(ledger.system_command("release", held["_id"]), held, refusal)),
        return_exceptions=True,
    )

    errors = [outcome for outcome in outcomes if isinstance(outcome, TransferRefusedError)]
    assert [error.code for error in errors] == ["HOLD_RESOLVED"]
    account = await town.account(database, wallet)
    assert (account["pending_out"], account["posted"]) in {(0, 40), (0, 100)}
    other = await town.account(database, ledger.wallet_id("ben", "EUR"))
    assert (other["pending_in"], other["posted"]) == (0, 100 - account["posted"])


async def test_fee_is_paid_on_top_and_shown(database: Database) -> None:
    commits = town.loop(database)
    wallet = await town.fill(commits, "ann", 100)
    fees = ledger.Party(ledger.fees_account_id("EUR"), ledger.AccountKind.FEES)
    transfer = dataclasses.replace(town.transfer("ann", "ben", 90), fee=fees, fee_amount=10)

    entry = (await commits.submit(ledger.PostTransfer(town.command("ann"), transfer))).accepted()
    refused = await commits.submit(ledger.PostTransfer(town.command("ann"), dataclasses.replace(transfer, amount=1)))

    (shown,) = await ledger.transfers_by_ids(database, [ledger.sibling_id(entry["_id"], "trf")])
    assert shown is not None
    assert (shown["amount"], shown["fee"]) == (ledger.money(90, "EUR"), ledger.money(10, "EUR"))
    assert (await town.account(database, wallet))["posted"] == 0
    assert (await town.account(database, fees.account_id))["posted"] == 10
    assert refused.entry["code"] == "INSUFFICIENT_FUNDS"
    assert (await ledger.verify(database)).problems == []


async def test_time_in_the_ledger_never_goes_back(database: Database) -> None:
    day = 0
    commits = CommitLoop(database, "ledger", lambda: datetime(2026, 1, day))

    for day in (2, 1, 3):  # noqa: B007  # the loop's clock reads it
        await town.fill(commits, "ann", 1)

    journal = await town.entries(database)
    assert [entry["created_at"].day for entry in journal] == [2, 2, 3]
