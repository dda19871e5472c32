"""Orders reserve stock, are paid into escrow, and end in exactly one way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from datastores import merchants as store
from datastores.commit import CommitLoops
from datastores.errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    NotFoundError,
    OutOfStockError,
    PriceChangedError,
    RateLimitedError,
    TransferRefusedError,
    UnauthenticatedError,
    ValidationError,
)
from datastores.indexes import create_indexes
from datastores.ledger import COMMIT_LOOP, WalletStatus, system_command, wallet_id
from datastores.merchants import ListingState, OrderState
from datastores.mongo import Database, Document
from resolvers import conversations, merchants, notifications, wallets
from resolvers.context import Context, Viewer
from tests.integration.plans import plans_of
from tests.integration.resolvers.merchants.shops import (
    NO_LISTING,
    NO_ORDER,
    after,
    check_ledger,
    check_logs,
    escrow,
    line,
    listing_of,
    offer,
    order_of,
    paid_order,
    place,
)
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, balance, fill, freeze, key

HALF_AN_HOUR = timedelta(minutes=30, seconds=1)
TWO_WEEKS = timedelta(days=14, seconds=1)


async def town(database: Database, ask: Ask) -> tuple[str, str, Document]:
    """A buyer with 100 EUR, a seller, and a listing of 5 bowls at 10 EUR."""
    ann, carol = await people(database, "ann", "carol")
    await fill(ask, ann, "100")
    return ann, carol, dict(await offer(ask, carol, stock=5))


async def notices(ask: Ask, user_id: str) -> list[str]:
    (page,) = await notifications.notifications(ask(user_id), [{"_id": user_id}], first=100)
    assert not isinstance(page, Exception), page
    return [edge["node"]["kind"] for edge in page["edges"]]


class TestPlacing:
    async def test_an_order_reserves_stock_opens_a_conversation_and_tells_the_merchant(
        self, database: Database, ask: Ask
    ) -> None:
        ann, carol, bowl = await town(database, ask)
        mug = await offer(ask, carol, "Mug", "2.50")

        placed = await place(ask, ann, line(bowl, 2), line(mug, 3, "2.50"))

        order = placed["order"]
        assert (order["state"], order["total"]) == ("PLACED", {"minor_units": 2750, "currency": "EUR"})
        assert [(each["title"], each["quantity"]) for each in order["lines"]] == [("Bowl", 2), ("Mug", 3)]
        assert placed["replayed"] is False
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 3
        assert (await listing_of(ask, mug["_id"]))["stock"] is None
        for person in (ann, carol):
            assert await order_of(ask, person, order["_id"]) == order
            (conversation,) = await conversations.by_id(ask(person), [order["conversation_id"]])
            assert conversation is not None
            assert conversation["order_id"] == order["_id"]
        assert await notices(ask, carol) == ["order_placed"]
        assert await notices(ask, ann) == []
        assert await database.count("order_follow_ups", {}) == 0
        await check_logs(database)

    async def test_of_twenty_who_want_five_exactly_five_get_one(self, database: Database, ask: Ask) -> None:
        _, _, bowl = await town(database, ask)
        crowd = await people(database, *(f"buyer{n}" for n in range(20)))

        found = await asyncio.gather(*(place(ask, buyer, line(bowl)) for buyer in crowd), return_exceptions=True)

        refused = [each for each in found if isinstance(each, BaseException)]
        assert len(refused) == 15
        assert all(isinstance(each, OutOfStockError) for each in refused)
        listing = await listing_of(ask, bowl["_id"])
        assert (listing["stock"], listing["state"]) == (0, "SOLD_OUT")
        assert await database.count("orders", {}) == 5
        await check_logs(database)
        await check_ledger(database)

    async def test_two_processes_do_not_sell_one_thing_twice(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        elsewhere = after(database, ask, timedelta(0))
        processes = [ask, elsewhere] * 6

        placing = [place(process, ann, line(bowl)) for process in processes]
        price: dict[str, Any] = {"price": amount("12")}
        found: list[Any] = await asyncio.gather(
            *placing[:6],
            merchants.update_listing(elsewhere(carol), listing_id=bowl["_id"], changes=price),
            *placing[6:],
            return_exceptions=True,
        )

        placed = [each["order"]["_id"] for each in found if isinstance(each, dict) and "order" in each]
        refused = [each for each in found if isinstance(each, BaseException)]
        assert len(placed) + len(refused) == 12
        assert all(isinstance(each, OutOfStockError | PriceChangedError) for each in refused), refused
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 5 - len(placed)
        assert await database.count("orders", {}) == len(placed)
        await check_logs(database)
        await check_ledger(database)

    async def test_the_same_key_twenty_times_at_once_is_one_order(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)

        placed = await asyncio.gather(*(place(ask, ann, line(bowl), key_="k") for _ in range(20)))

        assert len({each["order"]["_id"] for each in placed}) == 1
        assert sorted(each["replayed"] for each in placed) == [False] + [True] * 19
        assert len({each["cursor"] for each in placed}) == 1
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 4
        assert await database.count("conversations", {}) == 1

    async def test_keys_are_their_callers_own_and_for_one_input(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        (bob,) = await people(database, "bob")
        first = await place(ask, ann, line(bowl), key_="k")

        same = await place(ask, ann, line(bowl, 1, "10.00"), key_="k")
        other = await place(ask, bob, line(bowl), key_="k")

        assert (same["order"]["_id"], same["replayed"]) == (first["order"]["_id"], True)
        assert other["order"]["_id"] != first["order"]["_id"]
        with pytest.raises(IdempotencyKeyReusedError):
            await place(ask, ann, line(bowl, 2), key_="k")
        with pytest.raises(IdempotencyKeyReusedError):
            await place(ask, ann, line({**bowl, "_id": NO_LISTING}), key_="k")

    async def test_another_price_is_refused_for_ever_under_the_key(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        price: dict[str, Any] = {"price": amount("12")}
        await merchants.update_listing(ask(carol), listing_id=bowl["_id"], changes=price)

        with pytest.raises(PriceChangedError) as refused:
            await place(ask, ann, line(bowl), key_="k")
        await merchants.update_listing(ask(carol), listing_id=bowl["_id"], changes={"price": amount("10")})
        with pytest.raises(PriceChangedError) as again:
            await place(ask, ann, line(bowl), key_="k")

        assert refused.value.details["listing"]["price"]["minor_units"] == 1200
        assert again.value.message == refused.value.message
        assert (await place(ask, ann, line(bowl)))["order"]["state"] == "PLACED"
        with pytest.raises(PriceChangedError):
            await place(ask, ann, line(bowl, 1, "10", "USD"))

    async def test_too_many_are_refused_for_ever_under_the_key(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)

        with pytest.raises(OutOfStockError) as refused:
            await place(ask, ann, line(bowl, 6), key_="k")
        await merchants.update_listing(ask(carol), listing_id=bowl["_id"], changes={"stock": 50})
        with pytest.raises(OutOfStockError):
            await place(ask, ann, line(bowl, 6), key_="k")

        assert refused.value.details["listing"]["_id"] == bowl["_id"]
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 50
        assert await database.count("orders", {}) == 0
        assert await database.count("order_events", {}) == 0

    async def test_what_is_not_offered_now_cannot_be_ordered(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        draft = await offer(ask, carol, "Draft", state=ListingState.DRAFT)
        paused = await offer(ask, carol, "Paused", state=ListingState.PAUSED)

        with pytest.raises(OutOfStockError):
            await place(ask, ann, line(paused))
        for hidden in (draft, {**draft, "_id": NO_LISTING}, {**draft, "_id": "lst_x"}, {**draft, "_id": "\ud800"}):
            with pytest.raises(NotFoundError):
                await place(ask, ann, line(bowl), line(hidden))
        with pytest.raises(ForbiddenError):
            await place(ask, carol, line(bowl))

        assert (await listing_of(ask, bowl["_id"]))["stock"] == 5

    async def test_input_that_no_order_can_have(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        (dave,) = await people(database, "dave")
        other = await offer(ask, dave)

        for lines in (
            [],
            [line(bowl, 0)],
            [line(bowl, 1_001)],
            [line(bowl), line(bowl)],
            [line(bowl), line(other)],
            [line(bowl), line({**bowl, "_id": NO_LISTING}, 1, "10", "USD")],
            [line(bowl, 1, "0")],
            [line(bowl, 1, "-1")],
            [line(bowl, 1, "0.001")],
            [line(bowl, 1_000, "92233720368547758.07")],
            [line(bowl)] * 51,
        ):
            with pytest.raises(ValidationError):
                await place(ask, ann, *lines, key_="k")
        with pytest.raises(ValidationError):
            await merchants.place_order(ask(ann), idempotency_key="", lines=[line(bowl)])
        with pytest.raises(UnauthenticatedError):
            await merchants.place_order(ask(None), idempotency_key="k", lines=[line(bowl)])

        assert (await place(ask, ann, line(bowl), key_="k"))["replayed"] is False


class TestPaying:
    async def test_the_money_waits_in_escrow_and_the_merchant_gets_it_at_the_end(
        self, database: Database, ask: Ask
    ) -> None:
        ann, carol, bowl = await town(database, ask)
        order_id = await paid_order(ask, ann, line(bowl, 2))
        assert await balance(ask, ann) == (8000, 8000)
        assert await escrow(database, order_id) == 2000

        shipped = await merchants.ship_order(ask(carol), order_id=order_id)
        completed = await merchants.complete_order(ask(ann), order_id=order_id)

        order = completed["order"]
        assert (shipped["order"]["state"], order["state"]) == ("SHIPPED", "COMPLETED")
        assert all(order[time] is not None for time in ("paid_at", "shipped_at", "completed_at"))
        assert await escrow(database, order_id) == 0
        assert await balance(ask, carol) == (2000, 2000)
        (payment,) = await wallets.transfers_by_id(ask(ann), [order["transfer_id"] or ""])
        assert payment is not None
        assert (payment["amount"]["minor_units"], payment["order_id"]) == (2000, order_id)
        assert await notices(ask, carol) == ["order_completed", "order_paid", "order_placed"]
        assert await notices(ask, ann) == ["order_shipped"]
        await check_ledger(database)
        await check_logs(database)

    async def test_the_same_key_twenty_times_at_once_is_one_payment(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        order_id = (await place(ask, ann, line(bowl)))["order"]["_id"]

        paid = await asyncio.gather(
            *(merchants.pay_order(ask(ann), idempotency_key="k", order_id=order_id) for _ in range(20))
        )

        assert sorted(each["replayed"] for each in paid) == [False] + [True] * 19
        assert len({(each["transfer_id"], each["cursor"]) for each in paid}) == 1
        assert await balance(ask, ann) == (9000, 9000)
        assert await escrow(database, order_id) == 1000

    async def test_other_keys_at_once_pay_once(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        order_id = (await place(ask, ann, line(bowl)))["order"]["_id"]

        tries = [merchants.pay_order(ask(ann), idempotency_key=f"k{n}", order_id=order_id) for n in range(10)]
        found = await asyncio.gather(*tries, return_exceptions=True)

        refused = [each for each in found if isinstance(each, BaseException)]
        assert len(refused) == 9
        assert all(isinstance(each, ConflictError) for each in refused)
        assert await escrow(database, order_id) == 1000
        await check_ledger(database)

    async def test_too_little_money_is_refused_for_ever_under_the_key(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        (bob,) = await people(database, "bob")
        order_id = (await place(ask, bob, line(bowl)))["order"]["_id"]
        with pytest.raises(NotFoundError):
            await merchants.pay_order(ask(bob), idempotency_key="k", order_id=order_id)
        await fill(ask, bob, "9.99")

        with pytest.raises(InsufficientFundsError) as refused:
            await merchants.pay_order(ask(bob), idempotency_key="k", order_id=order_id)
        await fill(ask, bob, "50")
        with pytest.raises(InsufficientFundsError) as again:
            await merchants.pay_order(ask(bob), idempotency_key="k", order_id=order_id)

        assert refused.value.details["available"]["minor_units"] == 999
        assert again.value.details == refused.value.details
        paid = await merchants.pay_order(ask(bob), idempotency_key="k2", order_id=order_id)
        assert (paid["order"]["state"], paid["replayed"]) == ("PAID", False)
        assert ann != bob

    async def test_only_its_buyer_pays_and_only_from_their_own_wallet(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        (eve,) = await people(database, "eve")
        eves = await fill(ask, eve, "100")
        dollars = await fill(ask, ann, "100", "USD")
        order_id = (await place(ask, ann, line(bowl)))["order"]["_id"]

        for person in (eve, carol):
            with pytest.raises(NotFoundError):
                await merchants.pay_order(ask(person), idempotency_key=key(), order_id=order_id)
        for wallet in (eves, "wal_x", "\ud800"):
            with pytest.raises(NotFoundError):
                await merchants.pay_order(ask(ann), idempotency_key=key(), order_id=order_id, from_wallet_id=wallet)
        with pytest.raises(TransferRefusedError):
            await merchants.pay_order(ask(ann), idempotency_key=key(), order_id=order_id, from_wallet_id=dollars)
        with pytest.raises(NotFoundError):
            await merchants.pay_order(ask(ann), idempotency_key=key(), order_id=NO_ORDER)

        assert (await order_of(ask, ann, order_id))["state"] == "PLACED"

    async def test_named_or_not_the_wallet_is_the_same_input(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        order_id = (await place(ask, ann, line(bowl)))["order"]["_id"]
        await merchants.pay_order(ask(ann), idempotency_key="k", order_id=order_id)

        again = await merchants.pay_order(
            ask(ann), idempotency_key="k", order_id=order_id, from_wallet_id=wallet_id(ann, "EUR")
        )

        assert again["replayed"] is True


class TestEnding:
    async def test_cancelled_unpaid_gives_the_stock_back(self, database: Database, ask: Ask) -> None:
        ann, _, bowl = await town(database, ask)
        order_id = (await place(ask, ann, line(bowl, 5)))["order"]["_id"]
        assert (await listing_of(ask, bowl["_id"]))["state"] == "SOLD_OUT"

        cancelled = await merchants.cancel_order(ask(ann), order_id=order_id)

        assert cancelled["order"]["state"] == "CANCELLED"
        listing = await listing_of(ask, bowl["_id"])
        assert (listing["stock"], listing["state"]) == (5, "ACTIVE")
        with pytest.raises(ConflictError):
            await merchants.pay_order(ask(ann), idempotency_key=key(), order_id=order_id)
        with pytest.raises(ConflictError):
            await merchants.cancel_order(ask(ann), order_id=order_id)

    async def test_cancelled_after_payment_gives_all_back(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        order_id = await paid_order(ask, ann, line(bowl, 2))

        refunded = await merchants.cancel_order(ask(carol), order_id=order_id)

        assert refunded["order"]["state"] == "REFUNDED"
        assert await balance(ask, ann) == (10000, 10000)
        assert await escrow(database, order_id) == 0
        (payment,) = await wallets.transfers_by_id(ask(ann), [refunded["order"]["transfer_id"] or ""])
        assert payment is not None
        assert payment["state"] == "REFUNDED"
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 5
        assert await notices(ask, ann) == ["order_cancelled"]
        await check_ledger(database)

    @pytest.mark.parametrize("attempt", range(4))
    async def test_cancel_pay_and_ship_at_once_end_in_one_way(self, database: Database, ask: Ask, attempt: int) -> None:
        ann, carol, bowl = await town(database, ask)
        order_id = (await place(ask, ann, line(bowl, 2)))["order"]["_id"]
        acts = [
            merchants.cancel_order(ask(carol), order_id=order_id),
            merchants.pay_order(ask(ann), idempotency_key=key(), order_id=order_id),
            merchants.ship_order(ask(carol), order_id=order_id),
            merchants.cancel_order(ask(ann), order_id=order_id),
        ]
        acts = acts[attempt:] + acts[:attempt]

        found = await asyncio.gather(*acts, return_exceptions=True)

        assert all(isinstance(each, dict | ConflictError) for each in found), found
        state = (await order_of(ask, ann, order_id))["state"]
        stock = (await listing_of(ask, bowl["_id"]))["stock"]
        held = await escrow(database, order_id)
        spent = 10000 - (await balance(ask, ann))[0]
        outcomes = {
            "CANCELLED": (5, None, 0),
            "REFUNDED": (5, 0, 0),
            "SHIPPED": (3, 2000, 2000),
        }
        assert (stock, held, spent) == outcomes[state]
        await check_ledger(database)
        await check_logs(database)

    async def test_who_may_ship_and_complete(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        (eve,) = await people(database, "eve")
        order_id = (await place(ask, ann, line(bowl)))["order"]["_id"]

        with pytest.raises(ConflictError):
            await merchants.ship_order(ask(carol), order_id=order_id)
        await merchants.pay_order(ask(ann), idempotency_key=key(), order_id=order_id)
        with pytest.raises(ForbiddenError):
            await merchants.ship_order(ask(ann), order_id=order_id)
        with pytest.raises(ConflictError):
            await merchants.complete_order(ask(ann), order_id=order_id)
        await merchants.ship_order(ask(carol), order_id=order_id)
        with pytest.raises(ConflictError):
            await merchants.ship_order(ask(carol), order_id=order_id)
        with pytest.raises(ForbiddenError):
            await merchants.complete_order(ask(carol), order_id=order_id)
        for act in (merchants.ship_order, merchants.complete_order, merchants.cancel_order):
            with pytest.raises(NotFoundError):
                await act(ask(eve), order_id=order_id)
            with pytest.raises(UnauthenticatedError):
                await act(ask(None), order_id=order_id)
        with pytest.raises(ConflictError):
            await merchants.cancel_order(ask(carol), order_id=order_id)

        assert (await order_of(ask, ann, order_id))["state"] == "SHIPPED"

    async def test_completing_twice_at_once_releases_once(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        order_id = await paid_order(ask, ann, line(bowl))
        await merchants.ship_order(ask(carol), order_id=order_id)

        acts = [merchants.complete_order(ask(ann), order_id=order_id) for _ in range(5)]
        found = await asyncio.gather(*acts, return_exceptions=True)

        assert sum(isinstance(each, dict) for each in found) == 1
        assert sum(isinstance(each, ConflictError) for each in found) == 4
        assert await balance(ask, carol) == (1000, 1000)

    async def test_an_act_whose_answer_was_lost_may_be_decided_again(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        order_id = await paid_order(ask, ann, line(bowl))
        order = await order_of(ask, carol, order_id)
        loop = ask(None).commits[COMMIT_LOOP]
        ship = store.ShipOrder(system_command("ship", order_id), order, carol)
        complete = store.CompleteOrder(system_command("complete", order_id), order, ann)
        act: Any

        for act in (ship, complete):
            first = await loop.submit(act)
            assert await loop.submit(act) == first
        with pytest.raises(ConflictError):
            await loop.submit(replace(complete, command=system_command("complete", order_id)))

        assert await balance(ask, carol) == (1000, 1000)
        assert await database.count("order_events", {"order_id": order_id}) == 8

    async def test_a_merchant_who_cannot_be_paid_now_is_paid_later(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        carols = await fill(ask, carol, "1")
        order_id = await paid_order(ask, ann, line(bowl))
        await merchants.ship_order(ask(carol), order_id=order_id)
        await freeze(ask, carols)
        late = after(database, ask, TWO_WEEKS)

        with pytest.raises(ConflictError):
            await merchants.complete_order(ask(ann), order_id=order_id)
        assert await merchants.complete_orders(late(None)) == 0
        assert await escrow(database, order_id) == 1000
        await freeze(late, carols, WalletStatus.OPEN)
        assert await merchants.complete_orders(late(None)) == 0  # it is tried again an hour later
        completed = await merchants.complete_orders(after(database, ask, TWO_WEEKS + timedelta(hours=2))(None))

        assert completed == 1
        assert await balance(ask, carol) == (1100, 1100)
        await check_ledger(database)


class TestChores:
    async def test_unpaid_orders_expire_and_paid_ones_do_not(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        unpaid = (await place(ask, ann, line(bowl, 2)))["order"]["_id"]
        paid = await paid_order(ask, ann, line(bowl))
        late = after(database, ask, HALF_AN_HOUR)

        assert await merchants.expire_orders(ask(None)) == 0
        with pytest.raises(ConflictError):
            await merchants.pay_order(late(ann), idempotency_key="late", order_id=unpaid)
        expired = await asyncio.gather(*(merchants.expire_orders(late(None)) for _ in range(3)))

        assert sum(expired) == 1
        assert (await order_of(ask, ann, unpaid))["state"] == "CANCELLED"
        assert (await order_of(ask, ann, paid))["state"] == "PAID"
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 4
        assert await notices(ask, ann) == ["order_cancelled"]
        assert "order_cancelled" in await notices(ask, carol)
        await check_logs(database)

    @pytest.mark.parametrize("attempt", range(3))
    async def test_expiring_and_cancelling_at_once_give_the_stock_back_once(
        self, database: Database, ask: Ask, attempt: int
    ) -> None:
        ann, _, bowl = await town(database, ask)
        order_id = (await place(ask, ann, line(bowl, 2)))["order"]["_id"]
        late = after(database, ask, HALF_AN_HOUR)

        await asyncio.gather(
            merchants.expire_orders(late(None)),
            merchants.cancel_order((ask, late, late)[attempt](ann), order_id=order_id),
            merchants.expire_orders(late(None)),
            return_exceptions=True,
        )

        assert (await order_of(ask, ann, order_id))["state"] == "CANCELLED"
        assert (await listing_of(ask, bowl["_id"]))["stock"] == 5
        assert await database.count("order_events", {"kind": "cancelled"}) == 2
        await check_logs(database)

    async def test_shipped_orders_complete_after_two_weeks(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        order_id = await paid_order(ask, ann, line(bowl))
        await merchants.ship_order(ask(carol), order_id=order_id)

        assert await merchants.complete_orders(after(database, ask, HALF_AN_HOUR)(None)) == 0
        assert await merchants.complete_orders(after(database, ask, TWO_WEEKS)(None)) == 1

        assert (await order_of(ask, ann, order_id))["state"] == "COMPLETED"
        assert await balance(ask, carol) == (1000, 1000)
        assert await escrow(database, order_id) == 0
        await check_ledger(database)

    async def test_a_conversation_that_a_crash_left_out_is_opened(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        loops = ask(ann).commits
        loops.loops["conversations"] = _Crashing()  # type: ignore[assignment]
        with pytest.raises(asyncio.CancelledError):
            await place(ask, ann, line(bowl), key_="k")
        del loops.loops["conversations"]
        assert (await database.count("orders", {}), await database.count("conversations", {})) == (1, 0)

        assert await merchants.finish_order_follow_ups(ask(None)) == 0
        late = after(database, ask, timedelta(minutes=1))
        await asyncio.gather(*(merchants.finish_order_follow_ups(late(None)) for _ in range(3)))

        placed = await place(ask, ann, line(bowl), key_="k")
        assert placed["replayed"] is True
        (conversation,) = await conversations.by_id(ask(carol), [placed["order"]["conversation_id"]])
        assert conversation is not None
        assert await notices(ask, carol) == ["order_placed"]
        assert await database.count("order_follow_ups", {}) == 0

    async def test_a_notice_that_was_refused_is_written_later(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        loops = ask(ann).commits
        loops.loops["notifications"] = _Refusing()  # type: ignore[assignment]
        placed = await place(ask, ann, line(bowl), key_="k")
        del loops.loops["notifications"]
        assert (placed["replayed"], await notices(ask, carol)) == (False, [])

        late = after(database, ask, timedelta(minutes=1))
        assert await merchants.finish_order_follow_ups(late(None)) == 1

        assert await notices(ask, carol) == ["order_placed"]
        assert await database.count("order_follow_ups", {}) == 0


class _Refusing:
    """A loop that has too much to do."""

    async def submit(self, *_: object, **__: object) -> None:
        raise RateLimitedError("Too many changes are waiting: try again in a moment")

    async def drain(self) -> None:
        return None


class _Crashing:
    """A loop in whose place the process dies."""

    async def submit(self, *_: object, **__: object) -> None:
        raise asyncio.CancelledError

    async def drain(self) -> None:
        return None


class TestSeeing:
    async def test_orders_are_read_off_indexes(self, bare_database: Database, ask: Ask) -> None:
        await create_indexes(bare_database)
        loops = CommitLoops(bare_database)

        def here(user_id: str | None) -> Context:
            return replace(ask(user_id), database=bare_database, commits=loops)

        ann, carol, bowl = await town(bare_database, here)
        await merchants.update_listing(here(carol), listing_id=bowl["_id"], changes={"stock": None})
        await asyncio.gather(*(place(here, ann, line(bowl)) for _ in range(30)))
        merchant: Any = await merchants.merchant(here(None), id=bowl["merchant_id"])

        async def act() -> None:
            for state in (None, OrderState.PLACED):
                (page,) = await merchants.orders_of_merchants(here(carol), [merchant], state=state, first=3)
                assert isinstance(page, dict)
                cursor = page["page_info"]["end_cursor"]
                await merchants.orders_of_merchants(here(carol), [merchant], state=state, first=3, after=cursor)
            await merchants.orders_of_viewers(here(ann), [{"_id": ann}], first=3)
            for chore in (merchants.expire_orders, merchants.complete_orders, merchants.finish_order_follow_ups):
                await chore(here(None))
            await paid_order(here, ann, line(bowl))

        plans = await plans_of(bare_database, act)

        assert {"orders", "order_follow_ups", "order_heads", "listings"} <= {plan.collection for plan in plans}
        assert [plan for plan in plans if plan.is_scan or plan.sorts_in_memory] == []

    async def test_an_order_is_its_two_peoples_by_every_road(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        (eve,) = await people(database, "eve")
        order_id = await paid_order(ask, ann, line(bowl))
        merchant: Any = await merchants.merchant(ask(None), id=bowl["merchant_id"])

        for stranger in (eve, None):
            assert await merchants.orders_by_id(ask(stranger), [order_id]) == [None]
            assert await merchants.order(ask(stranger), id=order_id) is None
            assert await merchants.orders_of_merchants(ask(stranger), [merchant]) == [None]
        assert await merchants.orders_of_merchants(ask(ann), [merchant]) == [None]
        for id in (NO_ORDER, "ord_x", "", "\ud800"):
            assert await merchants.order(ask(ann), id=id) is None
        (mine,) = await merchants.orders_of_viewers(ask(ann), [{"_id": ann}])
        (theirs,) = await merchants.orders_of_viewers(ask(carol), [{"_id": carol}])
        (other,) = await merchants.orders_of_viewers(ask(eve), [{"_id": ann}])

        assert ids(mine) == [order_id]
        assert ids(theirs) == []
        assert isinstance(other, ForbiddenError)
        (received,) = await merchants.orders_of_merchants(ask(carol), [merchant])
        assert ids(received) == [order_id]

    async def test_a_partner_sees_the_orders_of_its_merchants_in_events_only(
        self, database: Database, ask: Ask
    ) -> None:
        ann, _, bowl = await town(database, ask)
        order_id = await paid_order(ask, ann, line(bowl))

        for merchant_ids, scopes, sees in (
            ((bowl["merchant_id"],), {"payments:read"}, True),
            ((bowl["merchant_id"],), set(), False),
            (("mer_01JD0000000000000000000000",), {"payments:read"}, False),
        ):
            viewer = Viewer("partner", None, "ptn_x", merchant_ids, frozenset(scopes))
            ctx = ask(None)
            ctx.viewer = viewer
            assert ((await merchants.orders_by_id(ctx, [order_id])) != [None]) is sees
            assert await merchants.order(ctx, id=order_id) is None
            with pytest.raises(ForbiddenError):
                await merchants.cancel_order(ctx, order_id=order_id)

    async def test_pages_of_orders_go_on_where_they_ended(self, database: Database, ask: Ask) -> None:
        ann, carol, bowl = await town(database, ask)
        await merchants.update_listing(ask(carol), listing_id=bowl["_id"], changes={"stock": None})
        placed = await asyncio.gather(*(place(ask, ann, line(bowl)) for _ in range(7)))
        await merchants.cancel_order(ask(ann), order_id=placed[3]["order"]["_id"])
        merchant: Any = await merchants.merchant(ask(None), id=bowl["merchant_id"])
        newest = sorted((each["order"] for each in placed), key=lambda o: (o["created_at"], o["_id"]), reverse=True)
        expected = [order["_id"] for order in newest]

        async def read(state: OrderState | None) -> list[str]:
            found: list[str] = []
            cursor: str | None = None
            while True:
                (page,) = await merchants.orders_of_merchants(
                    ask(carol), [merchant], state=state, first=3, after=cursor
                )
                found += ids(page)
                assert isinstance(page, dict)
                if not page["page_info"]["has_next_page"]:
                    return found
                cursor = page["page_info"]["end_cursor"]

        assert await read(None) == expected
        assert await read(OrderState.CANCELLED) == [placed[3]["order"]["_id"]]
        assert await read(OrderState.PLACED) == [id for id in expected if id != placed[3]["order"]["_id"]]


def ids(page: object) -> list[str]:
    assert isinstance(page, dict), page
    return [edge["node"]["_id"] for edge in page["edges"]]
