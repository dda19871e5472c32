"""Frozen and closed wallets: what they refuse, what still works, and how they open again."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from datastores import ledger
from datastores.commit import Act, CommitLoop
from datastores.errors import ConflictError, NotFoundError, TransferRefusedError
from datastores.ledger import EntryKind, Outcome, Party, Tier, Transfer, WalletStatus
from datastores.mongo import Database

from . import town

ANN, BEN = ledger.wallet_id("ann", "EUR"), ledger.wallet_id("ben", "EUR")
RAIL = Party(ledger.rail_account_id("sandbox", "EUR"), ledger.AccountKind.RAIL)
OUT_OF_USE = [WalletStatus.FROZEN, WalletStatus.CLOSED]


async def set_status(commits: CommitLoop, wallet: str, status: WalletStatus, **more: Any) -> Outcome:
    return await commits.submit(ledger.SetStatus(town.command("system"), wallet, status, **more))


def code(outcome: Outcome) -> str:
    with pytest.raises(TransferRefusedError) as caught:
        outcome.accepted()
    return caught.value.code


@pytest.fixture
async def commits(database: Database) -> CommitLoop:
    """A loop; Ann and Ben have 100 EUR each."""
    loop = town.loop(database)
    await town.fill(loop, "ann", 100_00)
    await town.fill(loop, "ben", 100_00)
    return loop


def through(kind: EntryKind, source: Party, target: Party) -> Transfer:
    return Transfer(source, target, 5_00, "EUR", sender_id="ann", recipient_id="ben", kind=kind)


WALLET_OF_ANN, WALLET_OF_BEN = Party(ANN, owner_id="ann"), Party(BEN, owner_id="ben")
ESCROW = Party("acct_escrow_1", ledger.AccountKind.ESCROW)
PAID = through(EntryKind.TRANSFER, WALLET_OF_ANN, WALLET_OF_BEN)


def transfer() -> Act[Outcome]:
    return ledger.PostTransfer(town.command("ann"), PAID)


def hold() -> Act[Outcome]:
    return ledger.PlaceHold(town.command("ann"), PAID)


def withdrawal() -> Act[Outcome]:
    return ledger.ReserveTransfer(town.command("ann"), through(EntryKind.WITHDRAWAL, WALLET_OF_ANN, RAIL))


def top_up() -> Act[Outcome]:
    return ledger.ReserveTransfer(town.command("ann"), through(EntryKind.TOP_UP, RAIL, WALLET_OF_ANN))


def payment_into_escrow() -> Act[Outcome]:
    return ledger.PostTransfer(town.command("ann"), through(EntryKind.TRANSFER, WALLET_OF_ANN, ESCROW))


@pytest.mark.parametrize("status", OUT_OF_USE)
@pytest.mark.parametrize("move", [transfer, hold, withdrawal, top_up, payment_into_escrow])
async def test_no_kind_of_entry_moves_money_of_a_wallet_out_of_use(
    database: Database, commits: CommitLoop, move: Callable[[], Act[Outcome]], status: WalletStatus
) -> None:
    await set_status(commits, ANN, status)
    before = await town.account(database, ANN)
    act = move()

    outcome = await commits.submit(act)
    await set_status(commits, ANN, WalletStatus.OPEN)
    again = await commits.submit(act)

    assert (code(outcome), code(again), again.replayed) == ("ACCOUNT_FROZEN", "ACCOUNT_FROZEN", True)
    after = await town.account(database, ANN)
    assert {**after, "version": 0} == {**before, "version": 0, "status": "OPEN"}
    assert (await ledger.verify(database)).problems == []


@pytest.mark.parametrize("status", OUT_OF_USE)
async def test_nobody_is_paid_or_refunded_into_a_wallet_out_of_use(commits: CommitLoop, status: WalletStatus) -> None:
    paid = (await town.pay(commits, "ann", "ben", 10_00)).accepted()
    await set_status(commits, ANN, status)

    refund = await commits.submit(ledger.RefundTransfer(town.command("ben"), paid))

    assert code(refund) == "ACCOUNT_FROZEN"
    assert code(await town.pay(commits, "ben", "ann", 1)) == "ACCOUNT_FROZEN"


async def test_what_only_gives_back_works_on_frozen_wallets(database: Database, commits: CommitLoop) -> None:
    voided = (await commits.submit(hold())).accepted()
    captured = (await commits.submit(hold())).accepted()
    out = (await commits.submit(withdrawal())).accepted()
    settled = (await commits.submit(withdrawal())).accepted()
    for wallet in (ANN, BEN):
        await set_status(commits, wallet, WalletStatus.FROZEN)

    capture = await commits.submit(ledger.CaptureHold(town.command("ben"), captured))
    assert code(capture) == "ACCOUNT_FROZEN"
    for held in (voided, captured):
        assert (await commits.submit(ledger.VoidHold(town.command("ben"), held))).posted
    error = TransferRefusedError("The rail refused")
    await commits.submit(ledger.ResolveReserve(ledger.system_command("release", out["_id"]), out, error))
    # The rail has moved it already: what is so outside is written down whatever the wallet's status.
    await commits.submit(ledger.ResolveReserve(ledger.system_command("settle", settled["_id"]), settled))

    account = await town.account(database, ANN)
    assert (account["posted"], account["pending_out"], account["status"]) == (95_00, 0, "FROZEN")
    assert sum(account["spent"].values()) == 5_00
    assert (await ledger.verify(database)).problems == []


async def test_a_reason_is_kept_with_the_entry_and_sealed(database: Database, commits: CommitLoop) -> None:
    outcome = await set_status(commits, ANN, WalletStatus.FROZEN, reason="A court says so")

    entry = outcome.entry
    assert entry["details"] == {"reason": "A court says so"}
    assert "court" not in str(ledger.leg_documents(entry))
    head = await ledger.head(database)
    assert head is not None
    assert "court" not in ledger.receipt(entry, "ann", head, ledger.SigningKey.generate())["body"]


async def test_a_status_is_set_only_where_the_wallet_has_one_of_these(database: Database, commits: CommitLoop) -> None:
    with pytest.raises(ConflictError):
        await set_status(commits, ANN, WalletStatus.OPEN, of=[WalletStatus.FROZEN])
    with pytest.raises(NotFoundError):
        await set_status(commits, ledger.wallet_id("nobody", "EUR"), WalletStatus.FROZEN)

    assert (await town.account(database, ANN))["status"] == "OPEN"


async def empty(commits: CommitLoop, owner: str = "ann") -> str:
    wallet = ledger.wallet_id(owner, "EUR")
    out = dataclasses.replace(town.transfer(owner, "ben", 100_00))
    (await commits.submit(ledger.PostTransfer(town.command(owner), out))).accepted()
    return wallet


async def test_an_empty_wallet_is_closed_once_and_opened_again(database: Database, commits: CommitLoop) -> None:
    wallet = await empty(commits)
    close = ledger.CloseWallet("ann", wallet)

    closed = await asyncio.gather(*(commits.submit(close) for _ in range(8)))
    before = await database.count("entries", {"kind": "STATUS"})
    opened = await asyncio.gather(*(commits.submit(ledger.OpenWallet("ann", "EUR")) for _ in range(8)))
    closed_again = await commits.submit(close)

    assert {account["status"] for account in closed} == {"CLOSED"}
    assert {account["status"] for account in opened} == {"OPEN"}
    assert (before, closed_again["status"]) == (1, "CLOSED")
    assert await database.count("entries", {"kind": "STATUS"}) == 3
    assert (await ledger.verify(database)).problems == []


async def test_what_a_process_remembers_of_a_wallet_follows_its_status(database: Database, commits: CommitLoop) -> None:
    wallet = await empty(commits)
    await commits.submit(ledger.CloseWallet("ann", wallet))
    assert code(await town.pay(commits, "ben", "ann", 1)) == "ACCOUNT_FROZEN"

    await commits.submit(ledger.OpenWallet("ann", "EUR"))

    assert (await town.pay(commits, "ben", "ann", 1)).posted
    await set_status(commits, wallet, WalletStatus.FROZEN)
    assert code(await town.pay(commits, "ben", "ann", 1)) == "ACCOUNT_FROZEN"
    await set_status(commits, wallet, WalletStatus.OPEN)
    assert (await town.pay(commits, "ben", "ann", 1)).posted
    assert (await ledger.verify(database)).problems == []


async def test_a_wallet_is_closed_by_its_owner_alone_and_only_when_nothing_is_in_it(
    database: Database, commits: CommitLoop
) -> None:
    with pytest.raises(ConflictError, match="money in the wallet"):
        await commits.submit(ledger.CloseWallet("ann", ANN))
    incoming = await commits.submit(top_up())
    assert incoming.posted
    await empty(commits)
    with pytest.raises(ConflictError, match="on its way"):
        await commits.submit(ledger.CloseWallet("ann", ANN))
    for owner, wallet in (("ben", ANN), ("ann", ledger.wallet_id("ann", "JPY"))):
        with pytest.raises(NotFoundError):
            await commits.submit(ledger.CloseWallet(owner, wallet))
    await set_status(commits, ANN, WalletStatus.FROZEN)
    with pytest.raises(ConflictError, match="frozen"):
        await commits.submit(ledger.CloseWallet("ann", ANN))
    assert (await commits.submit(ledger.OpenWallet("ann", "EUR")))["status"] == "FROZEN"

    assert (await town.account(database, ANN))["status"] == "FROZEN"


async def test_closing_and_being_paid_at_once_never_closes_a_wallet_with_money(database: Database) -> None:
    loops = [town.loop(database) for _ in range(3)]
    await town.fill(loops[0], "ben", 100_00)
    for n in range(8):
        owner = f"friend{n}"
        await loops[0].submit(ledger.OpenWallet(owner, "EUR"))
        wallet = ledger.wallet_id(owner, "EUR")

        async def close(loop: CommitLoop, owner: str = owner, wallet: str = wallet) -> bool:
            try:
                await loop.submit(ledger.CloseWallet(owner, wallet))
            except ConflictError:
                return False
            return True

        closed, paid = await asyncio.gather(close(loops[1]), town.pay(loops[2], "ben", owner, 1_00))

        account = await town.account(database, wallet)
        assert closed is not paid.posted
        assert (account["status"], account["posted"]) == (("CLOSED", 0) if closed else ("OPEN", 1_00))


async def test_a_wallet_that_a_payment_opens_gets_the_tier_of_others(database: Database, commits: CommitLoop) -> None:
    await town.fill(commits, "ben", 10_000, "JPY")
    await commits.submit(ledger.SetTier(town.command("system"), ANN, Tier.UNVERIFIED))
    yen = ledger.wallet_id("ann", "JPY")

    refused = await town.pay(commits, "ben", "ann", 9_999_999, currency="JPY")
    much = dataclasses.replace(town.transfer("ben", "ann", 10_000, "JPY"), kind=EntryKind.TRANSFER)
    held, paid = await asyncio.gather(
        commits.submit(ledger.PlaceHold(town.command("ben"), dataclasses.replace(much, amount=4_000))),
        town.pay(commits, "ben", "ann", 5_000, currency="JPY"),
    )

    assert refused.entry["code"] == "INSUFFICIENT_FUNDS"
    assert (held.posted, paid.posted) == (True, True)
    account = await town.account(database, yen)
    assert (account["tier"], account["posted"], account["version"]) == ("UNVERIFIED", 5_000, 3)
    statuses = [entry for entry in await town.entries(database) if entry["kind"] == "STATUS"]
    assert [entry["legs"][0]["account_id"] for entry in statuses] == [ANN, yen]
    await town.fill(commits, "ben", 1_000_000, "KRW")
    beyond = await town.pay(commits, "ben", "ann", 200_000, currency="KRW")
    assert beyond.entry["code"] == "LIMIT_EXCEEDED"
    assert await database.find_one("accounts", {"_id": ledger.wallet_id("ann", "KRW")}) is None
    assert (await ledger.verify(database)).problems == []


async def test_a_wallet_that_is_opened_later_gets_the_tier_of_others(database: Database, commits: CommitLoop) -> None:
    await commits.submit(ledger.SetTier(town.command("system"), ANN, Tier.BASIC))

    opened = await commits.submit(ledger.OpenWallet("ann", "JPY"))
    again = await commits.submit(ledger.OpenWallet("ann", "JPY"))

    assert (opened["tier"], again) == ("BASIC", opened)
    assert (await commits.submit(ledger.OpenWallet("ben", "JPY")))["tier"] is None
    assert (await ledger.verify(database)).problems == []
