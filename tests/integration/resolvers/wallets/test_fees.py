"""What acts cost: on top of a withdrawal, and out of what a sale brought."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from datastores import ledger
from datastores.errors import ConflictError, InsufficientFundsError
from datastores.ledger import Fee, FeeSchedule, verify
from datastores.merchants import CompleteOrder
from datastores.mongo import Database
from resolvers import merchants, wallets
from resolvers.wallets import MoneyMoved
from tests.integration.resolvers.merchants.shops import after, line, offer, paid_order
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, balance, deltas, fill, journal, key, transfer

TWO_WEEKS = timedelta(days=14, seconds=1)
FEES = FeeSchedule(withdrawal=Fee(100, (("EUR", 50),)), sale=Fee(290, (("EUR", 30),)))


@pytest.fixture
def dear(ask: Ask) -> Ask:
    """As `ask`, where everything has its price."""
    return lambda user_id: replace(ask(user_id), fees=FEES)


async def collected(database: Database) -> int:
    """What the fees account holds."""
    (account,) = await ledger.accounts_by_ids(database, [ledger.fees_account_id("EUR")])
    return account["posted"] if account else 0


async def withdraw(ask: Ask, user_id: str, wallet_id: str, text: str, to: str = "sandbox:ok") -> MoneyMoved:
    given = amount(text)
    return await wallets.withdraw_from_wallet(
        ask(user_id), idempotency_key=key(), wallet_id=wallet_id, amount=given, destination=to
    )


class TestWithdrawals:
    @pytest.mark.parametrize(("text", "fee"), [("10", 50), ("50", 50), ("80", 80)])
    async def test_the_fee_is_paid_on_top_and_shown(
        self, database: Database, ask: Ask, dear: Ask, text: str, fee: int
    ) -> None:
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "100")
        moved = await withdraw(dear, ann, wallet, text)

        assert moved["transfer"]["fee"] == ledger.money(fee, "EUR")
        assert moved["transfer"]["amount"] == ledger.money(int(text) * 100, "EUR")
        assert await balance(ask, ann) == (10_000 - int(text) * 100 - fee,) * 2
        assert await collected(database) == fee
        assert (await verify(database)).problems == []

    async def test_it_comes_back_where_the_rail_refuses(self, database: Database, ask: Ask, dear: Ask) -> None:
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "100")
        with pytest.raises(Exception, match="refused"):
            await withdraw(dear, ann, wallet, "10", "sandbox:refuse")

        assert await balance(ask, ann) == (10_000, 10_000)
        assert await collected(database) == 0
        assert (await verify(database)).problems == []

    async def test_it_must_be_there_too(self, database: Database, ask: Ask, dear: Ask) -> None:
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "10.49")
        with pytest.raises(InsufficientFundsError):
            await withdraw(dear, ann, wallet, "10")

    async def test_topping_up_costs_nothing(self, database: Database, ask: Ask, dear: Ask) -> None:
        (ann,) = await people(database, "ann")

        await fill(dear, ann, "10")

        assert await balance(ask, ann) == (1_000, 1_000)


class TestSales:
    async def test_the_seller_pays_the_commission_in_the_commit_of_the_release(
        self, database: Database, ask: Ask, dear: Ask
    ) -> None:
        ann, carol = await people(database, "ann", "carol")
        await fill(ask, ann, "100")
        order_id = await paid_order(ask, ann, line(await offer(ask, carol, stock=5), 2))
        await merchants.ship_order(ask(carol), order_id=order_id)

        await merchants.complete_order(dear(ann), order_id=order_id)

        assert await balance(ask, carol) == (1_942, 1_942)
        assert await collected(database) == 58
        assert await deltas(ask, carol, ledger.wallet_id(carol, "EUR")) == [-58, 2_000]
        release, fee = (entry for entry in await journal(database) if entry["key"].split(":")[0] in ("release", "fee"))
        assert (fee["kind"], fee["key"], fee["order_id"]) == ("FEE", f"fee:{order_id}", order_id)
        assert fee["seq"] == release["seq"] + 1
        shown = await transfer(ask, carol, ledger.sibling_id(fee["_id"], "trf"))
        assert shown is not None
        assert (shown["amount"], shown["fee"], shown["kind"]) == (ledger.money(58, "EUR"), None, "FEE")
        assert await transfer(ask, ann, ledger.sibling_id(fee["_id"], "trf")) is None
        assert (await verify(database)).problems == []

    async def test_once_however_often_it_is_completed(self, database: Database, ask: Ask, dear: Ask) -> None:
        ann, carol = await people(database, "ann", "carol")
        await fill(ask, ann, "100")
        order_id = await paid_order(ask, ann, line(await offer(ask, carol, stock=5)))
        await merchants.ship_order(ask(carol), order_id=order_id)

        tries = (merchants.complete_order(dear(ann), order_id=order_id) for _ in range(10))
        found = await asyncio.gather(*tries, return_exceptions=True)

        assert sum(not isinstance(each, BaseException) for each in found) == 1
        assert {type(each) for each in found if isinstance(each, BaseException)} == {ConflictError}
        assert await balance(ask, carol) == (970, 970)
        assert await collected(database) == 30

    async def test_the_sweeper_takes_it_as_well(self, database: Database, ask: Ask, dear: Ask) -> None:
        ann, carol = await people(database, "ann", "carol")
        await fill(ask, ann, "100")
        order_id = await paid_order(ask, ann, line(await offer(ask, carol, stock=5)))
        await merchants.ship_order(ask(carol), order_id=order_id)

        assert await merchants.complete_orders(after(database, dear, TWO_WEEKS)(None)) == 1

        assert await balance(ask, carol) == (970, 970)

    async def test_it_is_never_more_than_the_sale_brought(self, database: Database, ask: Ask, dear: Ask) -> None:
        ann, carol = await people(database, "ann", "carol")
        await fill(ask, ann, "100")
        order_id = await paid_order(ask, ann, line(await offer(ask, carol, price="0.20", stock=5), price="0.20"))
        await merchants.ship_order(ask(carol), order_id=order_id)

        await merchants.complete_order(dear(ann), order_id=order_id)

        assert await balance(ask, carol) == (0, 0)
        assert await collected(database) == 20
        assert (await verify(database)).problems == []

    async def test_without_one_there_is_no_entry_of_it(self, database: Database, ask: Ask) -> None:
        ann, carol = await people(database, "ann", "carol")
        await fill(ask, ann, "100")
        order_id = await paid_order(ask, ann, line(await offer(ask, carol, stock=5)))
        await merchants.ship_order(ask(carol), order_id=order_id)

        await merchants.complete_order(ask(ann), order_id=order_id)

        assert not any(entry["kind"] == "FEE" for entry in await journal(database))

    async def test_a_sale_whose_act_is_decided_twice_takes_it_once(self, database: Database, ask: Ask) -> None:
        """As when the answer to a commit is lost, and the act is given to another batch."""
        ann, carol = await people(database, "ann", "carol")
        await fill(ask, ann, "100")
        order_id = await paid_order(ask, ann, line(await offer(ask, carol, stock=5)))
        order = (await merchants.ship_order(ask(carol), order_id=order_id))["order"]
        act = CompleteOrder(ledger.system_command("complete", order_id), order, ann, FEES.sale)

        first, again = [await ask(None).commits["ledger"].submit(act) for _ in range(2)]

        assert (first, await balance(ask, carol)) == (again, (970, 970))
