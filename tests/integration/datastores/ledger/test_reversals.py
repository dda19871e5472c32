"""Reversals on a real replica set: each kind that moves money, once, with its fees, and never more than is left."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.errors import ConflictError, ExpectedError, InsufficientFundsError, LimitExceededError
from datastores.ledger import AccountKind, Entry, EntryKind, Outcome, Party, Rate, WalletStatus
from datastores.mongo import Database, Document

from . import town

ANN, BEN = ledger.wallet_id("ann", "EUR"), ledger.wallet_id("ben", "EUR")
FEES = ledger.fees_account_id("EUR")
NOON = datetime(2026, 1, 1, 12)


async def reverse(commits: CommitLoop, original: Entry, reason: str = "It was a mistake") -> Outcome:
    return await commits.submit(ledger.reversal(original, reason))


async def posted(database: Database, *ids: str) -> tuple[int, ...]:
    """What these accounts hold; all is verified on the way."""
    assert (await ledger.verify(database)).problems == []
    return tuple([(await town.account(database, id))["posted"] for id in ids])


async def transfer_of(database: Database, entry: Entry) -> ledger.TransferDocument:
    (found,) = await ledger.transfers_by_ids(database, [ledger.sibling_id(entry["_id"], "trf")])
    assert found is not None
    return found


def costly(amount: int, fee: int, **more: Any) -> ledger.Transfer:
    """A transfer from Ann to Ben with a fee on top."""
    given = {"fee": Party(FEES, AccountKind.FEES), "fee_amount": fee, **more}
    return replace(town.transfer("ann", "ben", amount), **given)


class TestTransfers:
    async def test_the_amount_and_its_fee_come_back(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        act = ledger.PostTransfer(town.command("ann"), costly(60, 5, merchants=("mer_1",)))
        original = (await commits.submit(act)).accepted()
        assert await posted(database, ANN, BEN, FEES) == (35, 60, 5)

        entry = (await reverse(commits, original, "Stolen card")).accepted()

        assert await posted(database, ANN, BEN, FEES) == (100, 0, 0)
        assert (entry["kind"], entry["reverses"], entry["amount"]) == ("REVERSAL", original["_id"], 60)
        assert (entry["caller"], entry["key"]) == ("system", f"reverse:{original['_id']}")
        assert (entry["sender_id"], entry["recipient_id"]) == ("ben", "ann")
        assert (entry["event_type"], entry["merchants"]) == ("payment.reversed", ["mer_1"])
        assert entry["details"] == {"reason": "Stolen card"}
        first = await transfer_of(database, original)
        assert (first["state"], first["refunded_amount"]) == ("REFUNDED", ledger.money(60, "EUR"))
        second = await transfer_of(database, entry)
        assert (second["from_id"], second["to_id"], second["fee"]) == (BEN, ANN, None)
        assert ledger.takes_part(entry, "ann")
        assert [leg["amount"]["minor_units"] for leg in ledger.leg_documents(entry)] == [-60, 65, -5]
        feed = await ledger.events_after(database, ["mer_1"], 0, ["payment.reversed"], 10)
        assert [event["_id"] for event in feed] == [entry["_id"]]

    async def test_what_was_refunded_stays_refunded(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await commits.submit(ledger.PostTransfer(town.command("ann"), costly(60, 5)))).accepted()
        (await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 25))).accepted()
        assert await posted(database, ANN, BEN, FEES) == (60, 35, 5)

        entry = (await reverse(commits, original)).accepted()

        assert entry["amount"] == 35
        assert await posted(database, ANN, BEN, FEES) == (100, 0, 0)
        late = await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 1))
        assert late.entry["code"] == "CONFLICT"

    async def test_all_refunded_leaves_nothing_and_not_even_the_fee(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await commits.submit(ledger.PostTransfer(town.command("ann"), costly(60, 5)))).accepted()
        (await commits.submit(ledger.RefundTransfer(town.command("ben"), original))).accepted()

        with pytest.raises(ConflictError, match="Nothing is left"):
            await reverse(commits, original)

        assert await posted(database, ANN, BEN, FEES) == (95, 0, 5)

    async def test_fifty_at_once_and_later_are_one(self, database: Database) -> None:
        loops = [town.loop(database) for _ in range(3)]
        await town.fill(loops[0], "ann", 100)
        original = (await town.pay(loops[0], "ann", "ben", 60)).accepted()

        outcomes = await asyncio.gather(*(reverse(loops[n % 3], original, f"Reason {n}") for n in range(50)))
        again = await reverse(loops[0], original)

        assert len({outcome.accepted()["_id"] for outcome in [*outcomes, again]}) == 1
        assert sum(not outcome.replayed for outcome in outcomes) == 1
        assert again.replayed
        assert await posted(database, ANN, BEN) == (100, 0)

    async def test_refunds_and_reversal_at_once_never_give_back_too_much(self, database: Database) -> None:
        loops = [town.loop(database) for _ in range(2)]
        await town.fill(loops[0], "ann", 100)
        await town.fill(loops[0], "ben", 1_000)
        original = (await town.pay(loops[0], "ann", "ben", 60)).accepted()
        refunds = [ledger.RefundTransfer(town.command("ben"), original, 7) for _ in range(12)]

        tries = (loops[n % 2].submit(refund) for n, refund in enumerate(refunds))
        await asyncio.gather(*tries, reverse(loops[1], original), return_exceptions=True)

        assert await posted(database, ANN, BEN) in {(100, 1_000), (96, 1_004)}
        assert (await transfer_of(database, original))["state"] in ("REFUNDED", "POSTED")


class TestRefusals:
    async def test_where_the_money_is_gone_it_can_be_tried_again(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await town.pay(commits, "ann", "ben", 60)).accepted()
        (await town.pay(commits, "ben", "cid", 20)).accepted()

        with pytest.raises(InsufficientFundsError) as refused:
            await reverse(commits, original)

        assert refused.value.details["available"] == ledger.money(40, "EUR")
        assert await posted(database, ANN, BEN) == (40, 40)
        await town.fill(commits, "ben", 20)
        assert (await reverse(commits, original)).posted
        assert await posted(database, ANN, BEN) == (100, 0)

    async def test_what_is_held_is_gone_as_well(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await town.pay(commits, "ann", "ben", 60)).accepted()
        await commits.submit(ledger.PlaceHold(town.command("ben"), town.transfer("ben", "cid", 1)))

        with pytest.raises(InsufficientFundsError):
            await reverse(commits, original)

    async def test_a_fee_that_was_paid_out_is_gone(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await commits.submit(ledger.PostTransfer(town.command("ann"), costly(60, 5)))).accepted()
        spent = replace(town.transfer("ann", "cid", 5), source=Party(FEES, AccountKind.FEES), sender_id=None)
        (await commits.submit(ledger.PostTransfer(ledger.system_command("spend", "fees"), spent))).accepted()

        with pytest.raises(InsufficientFundsError):
            await reverse(commits, original)

        assert await posted(database, ANN, BEN, FEES) == (35, 60, 0)

    async def test_frozen_wallets_are_no_obstacle_and_closed_ones_are(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await town.pay(commits, "ann", "ben", 60)).accepted()

        async def becomes(wallet: str, status: WalletStatus) -> None:
            command = ledger.system_command(f"set-{status}", wallet)
            await commits.submit(ledger.SetStatus(command, wallet, status))

        await becomes(ANN, WalletStatus.CLOSED)
        with pytest.raises(ExpectedError) as refused:
            await reverse(commits, original)
        assert refused.value.code == "ACCOUNT_FROZEN"
        await becomes(ANN, WalletStatus.FROZEN)
        await becomes(BEN, WalletStatus.FROZEN)

        assert (await reverse(commits, original)).posted
        assert await posted(database, ANN, BEN) == (100, 0)

    async def test_a_balance_that_would_pass_64_bits(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await town.pay(commits, "ann", "ben", 60)).accepted()
        other = Party(ledger.rail_account_id("other", "EUR"), AccountKind.RAIL)
        much = replace(town.transfer("cid", "ann", ledger.MAX_MINOR_UNITS - 50), source=other)
        (await commits.submit(ledger.PostTransfer(town.command("ann"), much))).accepted()

        with pytest.raises(LimitExceededError):
            await reverse(commits, original)

    async def test_what_has_moved_nothing_or_undoes_something_cannot_be_undone(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        original = (await town.pay(commits, "ann", "ben", 60)).accepted()
        refund = (await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 10))).accepted()
        reversal = (await reverse(commits, original)).accepted()
        refused = (await town.pay(commits, "ann", "ben", 1_000)).entry
        hold = (await commits.submit(ledger.PlaceHold(town.command("ann"), town.transfer("ann", "ben", 5)))).accepted()
        void = (await commits.submit(ledger.VoidHold(town.command("ben"), hold))).accepted()
        command = ledger.system_command("freeze", ANN)
        status = (await commits.submit(ledger.SetStatus(command, ANN, WalletStatus.FROZEN))).accepted()

        for entry in (refund, reversal, refused, hold, void, status):
            with pytest.raises(ConflictError):
                await reverse(commits, entry)

        assert await posted(database, ANN, BEN) == (100, 0)

    async def test_the_money_of_an_order_is_not_taken_from_under_it(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        escrow = Party(ledger.escrow_account_id("ord_1"), AccountKind.ESCROW)
        paid = replace(town.transfer("ann", "ben", 60), target=escrow, order_id="ord_1")
        released = replace(town.transfer("ann", "ben", 60), source=escrow, order_id="ord_1")
        entries = [
            (await commits.submit(ledger.PostTransfer(town.command("ann"), each))).accepted()
            for each in (paid, released)
        ]

        for entry in entries:
            with pytest.raises(ConflictError, match="order"):
                await reverse(commits, entry)


class TestOtherKinds:
    async def test_an_exchange_is_undone_to_the_last_unit(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        rate = Rate(Decimal("183.5"), NOON, "test")
        swap = ledger.swapped(rate.value, "EUR", "JPY", sold=9)
        in_time = datetime(9000, 1, 1)
        quote = await ledger.add_quote(database, "ann", "EUR", "JPY", rate=rate, swap=swap, fee=2, now=in_time)
        original = (await commits.submit(ledger.ExchangeFunds(town.command("ann"), quote))).accepted()
        yen = ledger.wallet_id("ann", "JPY")
        accounts = (ANN, yen, FEES, "acct_exchange_EUR", "acct_exchange_JPY")
        assert await posted(database, *accounts, "acct_rounding_JPY") == (89, 16, 2, 9, -17, 1)

        entry = (await reverse(commits, original)).accepted()

        assert await posted(database, *accounts, "acct_rounding_JPY") == (100, 0, 0, 0, 0, 0)
        shown = await transfer_of(database, entry)
        assert (shown["from_id"], shown["to_id"], shown["exchange"]) == (yen, ANN, None)

    @pytest.mark.parametrize("kind", [EntryKind.TOP_UP, EntryKind.WITHDRAWAL])
    async def test_what_went_through_a_rail_by_the_entry_that_settled_it(
        self, database: Database, kind: EntryKind
    ) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        rail = Party(ledger.rail_account_id("sandbox", "EUR"), AccountKind.RAIL)
        moved = (
            costly(30, 5, target=rail)
            if kind is EntryKind.WITHDRAWAL
            else replace(town.transfer("ben", "ann", 30), source=rail)
        )
        act = ledger.ReserveTransfer(town.command("ann"), replace(moved, kind=kind))
        pending = (await commits.submit(act)).accepted()
        with pytest.raises(ConflictError, match="reverse the one that settles"):
            await reverse(commits, pending)
        settle = ledger.ResolveReserve(ledger.system_command("settle", pending["_id"]), pending)
        settled = (await commits.submit(settle)).accepted()

        entry = (await reverse(commits, settled)).accepted()

        assert await posted(database, ANN, rail.account_id) == (100, -100)
        shown = await transfer_of(database, pending)
        assert (shown["state"], shown["refunded_amount"]) == ("REFUNDED", ledger.money(30, "EUR"))
        assert entry["reverses"] == settled["_id"]

    async def test_captures_each_and_never_more_than_refunds_have_left(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        act = ledger.PlaceHold(town.command("ann"), town.transfer("ann", "ben", 60))
        hold = (await commits.submit(act)).accepted()
        captures = [
            (await commits.submit(ledger.CaptureHold(town.command("ben"), hold, part))).accepted() for part in (20, 30)
        ]
        (await commits.submit(ledger.RefundTransfer(town.command("ben"), hold, 35))).accepted()

        first = (await reverse(commits, captures[0])).accepted()
        with pytest.raises(ConflictError):
            await reverse(commits, captures[1])

        assert first["amount"] == 15
        assert await posted(database, ANN, BEN) == (100, 0)
        (await commits.submit(ledger.CaptureHold(town.command("ben"), hold, 10))).accepted()
        second = (await reverse(commits, captures[1])).accepted()
        assert second["amount"] == 10
        assert await posted(database, ANN, BEN) == (100, 0)

    async def test_a_fee_by_itself(self, database: Database) -> None:
        commits = town.loop(database)
        await town.fill(commits, "ann", 100)
        fees = Party(FEES, AccountKind.FEES)
        charged = replace(town.transfer("ann", "ann", 8), target=fees, recipient_id=None, kind=EntryKind.FEE)
        original = (
            await commits.submit(ledger.PostTransfer(ledger.system_command("fee", "ord_1"), charged))
        ).accepted()

        entry = (await reverse(commits, original)).accepted()

        assert await posted(database, ANN, FEES) == (100, 0)
        assert (entry["sender_id"], entry["recipient_id"]) == (None, "ann")


async def rewrite(database: Database, entry: Entry, changes: dict[str, Any]) -> None:
    """Change the last entry behind the ledger's back, and its hash with it."""
    body: Document = {**entry, **changes}
    hash = ledger.chain.chained(entry["previous_hash"], ledger.chain.body(body))
    await database.update_one("entries", {"_id": entry["_id"]}, {"$set": {**changes, "hash": hash}})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"amount": 59}, "opposite legs"),
        ({"amount": 61}, "more was refunded"),
        ({"reverses": "ent_01JD0000000000000000000000"}, "more was refunded"),
    ],
)
async def test_a_reversal_that_is_not_the_opposite_is_found(
    database: Database, changes: dict[str, Any], problem: str
) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 100)
    original = (await town.pay(commits, "ann", "ben", 60)).accepted()
    entry = (await reverse(commits, original)).accepted()
    await rewrite(database, entry, changes)

    problems = ledger.problem_lines((await ledger.verify(database)).problems)

    assert any(problem in line for line in problems), problems


async def test_a_reversal_of_what_cannot_be_reversed_is_found(database: Database) -> None:
    commits = town.loop(database)
    await town.fill(commits, "ann", 100)
    original = (await town.pay(commits, "ann", "ben", 60)).accepted()
    refund = (await commits.submit(ledger.RefundTransfer(town.command("ben"), original, 30))).accepted()
    entry = (await reverse(commits, original)).accepted()
    await rewrite(database, entry, {"reverses": refund["_id"]})

    problems = ledger.problem_lines((await ledger.verify(database)).problems)

    assert any("cannot be" in line for line in problems), problems
