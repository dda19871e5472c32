"""Orders as buyers, merchants and partners may rely on them: stock, escrow, time, and the feed of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from datastores.commit import CommitLoops
from datastores.mongo import Driver
from gateway.demo.script import PARTNER
from resolvers import merchants
from resolvers.context import Context
from tests.contract.acts import attempt, codes, done, eur, key, newcomer, refused
from tests.contract.town import Town, open_town

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORDER = """order { id state total { amount currency } createdAt paidAt shippedAt completedAt
  transfer { id state amount { amount } sender { handle } recipient { handle } }
  conversation { id kind members { user { handle } } } lines { title quantity unitPrice { amount } } }"""


async def shop(town: Town, price: str = "3.00", stock: int | None = 5, **more: Any) -> tuple[str, str]:
    """A new merchant, and a listing of theirs."""
    who = await newcomer(town)
    await done(town, who, "openMerchant", name="Corner shop")
    return who, await offer(town, who, price, stock, **more)


async def offer(town: Town, who: str, price: str = "3.00", stock: int | None = 5, currency: str = "EUR") -> str:
    about = {"title": "Thing", "description": "D", "category": "things", "kind": "GOOD", "state": "ACTIVE"}
    money = {"amount": price, "currency": currency}
    made = await done(town, who, "createListing", "listing { id }", **about, price=money, stock=stock)
    return str(made["listing"]["id"])


def line(listing: str, quantity: int = 1, price: str = "3.00", currency: str = "EUR") -> dict[str, Any]:
    money = {"amount": price, "currency": currency}
    return {"listingId": listing, "quantity": quantity, "expectedUnitPrice": money}


async def place(town: Town, who: str, *lines: dict[str, Any]) -> str:
    made = await done(town, who, "placeOrder", "order { id }", idempotencyKey=key(), lines=list(lines))
    return str(made["order"]["id"])


async def bought(town: Town, who: str, *lines: dict[str, Any]) -> str:
    """The id of an order that is paid."""
    id = await place(town, who, *lines)
    await done(town, who, "payOrder", idempotencyKey=key(), orderId=id)
    return id


async def stock_of(town: Town, listing: str) -> int:
    shown = await town.ask(None, "query ($id: ID!) { listing(id: $id) { stock } }", id=listing)
    return int(shown["listing"]["stock"])


async def order_of(town: Town, who: str, id: str) -> Any:
    return (await town.ask(who, f"query ($id: ID!) {{ {ORDER.replace('order', 'order(id: $id)', 1)} }}", id=id))[
        "order"
    ]


async def posted(town: Town, who: str) -> str | None:
    found = (await town.ask(who, '{ viewer { wallet(currency: "EUR") { posted { amount } } } }'))["viewer"]["wallet"]
    return None if found is None else str(found["posted"]["amount"])


async def test_placing_reserves_the_stock_and_cancelling_gives_it_back(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town)

    id = await place(town, buyer, line(ware, 4))

    assert await stock_of(town, ware) == 1
    assert await refused(town, buyer, "placeOrder", idempotencyKey=key(), lines=[line(ware, 2)]) == "OutOfStock"
    await done(town, buyer, "cancelOrder", orderId=id)
    assert await stock_of(town, ware) == 5
    assert (await order_of(town, buyer, id))["state"] == "CANCELLED"
    assert (await order_of(town, seller, id))["state"] == "CANCELLED"


async def test_the_last_piece_is_sold_once(town: Town) -> None:
    _, ware = await shop(town, stock=3)
    buyers = [await newcomer(town) for _ in range(6)]

    answers = await asyncio.gather(
        *(attempt(town, who, "placeOrder", idempotencyKey=key(), lines=[line(ware)]) for who in buyers)
    )

    kinds = sorted(answer["__typename"] for answer in answers)
    assert kinds == ["OutOfStock"] * 3 + ["PlaceOrderSuccess"] * 3
    assert await stock_of(town, ware) == 0


async def test_an_order_has_1_to_50_lines_of_one_merchant_in_one_currency(town: Town) -> None:
    seller, ware = await shop(town)
    _, elsewhere = await shop(town)
    dollars = await offer(town, seller, currency="USD")
    many = [await offer(town, seller) for _ in range(51)]
    buyer = await newcomer(town)

    for lines in (
        [],
        [line(each) for each in many],
        [line(ware), line(elsewhere)],
        [line(ware), line(dollars, currency="USD")],
        [line(ware, 0)],
        [line(ware, -1)],
        [line(ware), line(ware)],
    ):
        assert await refused(town, buyer, "placeOrder", idempotencyKey="k", lines=lines) == "ValidationError"
    placed = await done(town, buyer, "placeOrder", ORDER, idempotencyKey="k", lines=[line(each) for each in many[:50]])
    assert (len(placed["order"]["lines"]), placed["order"]["total"]["amount"]) == (50, "150.00")


async def test_the_money_waits_in_escrow_until_the_buyer_completes(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town, funds="10.00")

    id = await bought(town, buyer, line(ware, 2))

    paid = await order_of(town, buyer, id)
    assert (paid["state"], paid["paidAt"] is not None) == ("PAID", True)
    assert (paid["transfer"]["state"], paid["transfer"]["amount"]) == ("POSTED", {"amount": "6.00"})
    assert (await posted(town, buyer), await posted(town, seller)) == ("4.00", None)
    assert await refused(town, buyer, "completeOrder", orderId=id) == "ConflictError"
    assert await refused(town, buyer, "shipOrder", orderId=id) == "ForbiddenError"
    await done(town, seller, "shipOrder", orderId=id)
    assert await refused(town, seller, "completeOrder", orderId=id) == "ForbiddenError"
    assert await posted(town, seller) is None
    await done(town, buyer, "completeOrder", orderId=id)
    assert (await posted(town, buyer), await posted(town, seller)) == ("4.00", "6.00")
    assert (await order_of(town, seller, id))["state"] == "COMPLETED"


async def test_the_transfer_of_an_order_is_the_buyers(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town, funds="10.00")
    id = await place(town, buyer, line(ware))
    paid = await done(town, buyer, "payOrder", "transfer { id }", idempotencyKey=key(), orderId=id)
    await done(town, seller, "shipOrder", orderId=id)
    await done(town, buyer, "completeOrder", orderId=id)

    mine, theirs = await order_of(town, buyer, id), await order_of(town, seller, id)

    assert mine["transfer"]["id"] == paid["transfer"]["id"]
    assert mine["transfer"]["sender"] == {"handle": buyer}
    assert theirs["transfer"] is None or theirs["transfer"]["id"] == paid["transfer"]["id"]


@pytest.mark.parametrize("who", ["buyer", "seller"])
async def test_either_side_cancels_a_paid_order_and_all_of_it_comes_back(town: Town, who: str) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town, funds="10.00")
    id = await bought(town, buyer, line(ware, 2))
    assert await posted(town, buyer) == "4.00"

    await done(town, {"buyer": buyer, "seller": seller}[who], "cancelOrder", orderId=id)

    order = await order_of(town, buyer, id)
    assert (order["state"], order["transfer"]["state"]) == ("REFUNDED", "REFUNDED")
    assert (await posted(town, buyer), await stock_of(town, ware)) == ("10.00", 5)
    assert await refused(town, seller, "shipOrder", orderId=id) == "ConflictError"


async def test_what_was_shipped_cannot_be_cancelled(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town, funds="10.00")
    id = await bought(town, buyer, line(ware))
    await done(town, seller, "shipOrder", orderId=id)

    for who in (buyer, seller):
        assert await refused(town, who, "cancelOrder", orderId=id) == "ConflictError"


async def test_nobody_buys_from_themselves(town: Town) -> None:
    seller, ware = await shop(town)

    assert await refused(town, seller, "placeOrder", idempotencyKey=key(), lines=[line(ware)]) == "ForbiddenError"


async def test_another_price_is_refused_and_so_is_its_replay(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town)
    dear: dict[str, Any] = {"idempotencyKey": "k", "lines": [line(ware, price="2.00")]}

    first = await attempt(town, buyer, "placeOrder", **dear)
    await done(town, seller, "updateListing", listingId=ware, price=eur("2.00"))
    again = await attempt(town, buyer, "placeOrder", **dear)

    assert first["__typename"] == "PriceChanged"
    assert again == first
    assert await stock_of(town, ware) == 5


async def test_a_line_keeps_the_price_it_was_bought_at(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town)
    id = await place(town, buyer, line(ware))

    await done(town, seller, "updateListing", listingId=ware, price=eur("99.00"), title="Another thing")

    assert (await order_of(town, buyer, id))["lines"] == [
        {"title": "Thing", "quantity": 1, "unitPrice": {"amount": "3.00"}}
    ]


async def test_an_order_opens_a_conversation_of_its_two_people(town: Town) -> None:
    seller, ware = await shop(town)
    buyer = await newcomer(town)

    chat = (await order_of(town, buyer, await place(town, buyer, line(ware))))["conversation"]

    assert chat["kind"] == "ORDER"
    assert {member["user"]["handle"] for member in chat["members"]} == {buyer, seller}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def early(
    mongodb_uri: str, mongo_driver: Driver, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncIterator[Town]:
    """A town of its own, since putting the clock forward ends everybody's orders."""
    folder, topology = tmp_path_factory.mktemp("clock"), pytestconfig.getoption("topology")
    async with open_town(mongodb_uri, mongo_driver, folder, topology) as town:
        yield town


def later(town: Town, moment: str, time: timedelta) -> Context:
    """The context of the system's chores so long after a moment that the graph has shown.

    Not after this moment: the ledger's clock never goes back, so after another test it may be ahead.
    """
    gateway = town.gateway

    def now() -> datetime:
        return datetime.fromisoformat(moment).replace(tzinfo=None) + time

    return Context(gateway.database, CommitLoops(gateway.database, now), gateway.hub, now=now)


class TestTime:
    async def test_what_nobody_paid_for_in_30_minutes_is_given_back(self, early: Town) -> None:
        _, ware = await shop(early)
        buyer = await newcomer(early, funds="10.00")
        unpaid, paid = await place(early, buyer, line(ware)), await bought(early, buyer, line(ware))

        placed_at = (await order_of(early, buyer, unpaid))["createdAt"]

        await merchants.expire_orders(later(early, placed_at, timedelta(minutes=29)))
        assert (await order_of(early, buyer, unpaid))["state"] == "PLACED"
        await merchants.expire_orders(later(early, placed_at, timedelta(minutes=31)))

        assert (await order_of(early, buyer, unpaid))["state"] == "CANCELLED"
        assert (await order_of(early, buyer, paid))["state"] == "PAID"
        assert await stock_of(early, ware) == 4
        assert await refused(early, buyer, "payOrder", idempotencyKey=key(), orderId=unpaid) == "ConflictError"

    async def test_what_was_shipped_is_complete_after_14_days(self, early: Town) -> None:
        seller, ware = await shop(early)
        buyer = await newcomer(early, funds="10.00")
        id = await bought(early, buyer, line(ware))
        await done(early, seller, "shipOrder", orderId=id)

        shipped_at = (await order_of(early, buyer, id))["shippedAt"]

        await merchants.complete_orders(later(early, shipped_at, timedelta(days=13, hours=23)))
        assert (await order_of(early, buyer, id))["state"] == "SHIPPED"
        await merchants.complete_orders(later(early, shipped_at, timedelta(days=14, minutes=1)))

        order = await order_of(early, buyer, id)
        assert (order["state"], order["completedAt"] is not None) == ("COMPLETED", True)
        assert await posted(early, seller) == "3.00"


FEED = """query ($after: Cursor, $types: [String!], $first: Int) {
  paymentEvents(after: $after, types: $types, first: $first) {
    nodes { id type seq previousSeq cursor eventAmount { amount } order { id } }
    pageInfo { hasNextPage endCursor }
} }"""
LIVE = """subscription ($after: Cursor, $types: [String!]) {
  paymentEvents(after: $after, types: $types) { id type seq previousSeq cursor }
}"""


class TestPartners:
    async def feed(self, town: Town, who: str, **given: Any) -> list[Any]:
        """All events of a feed, page by page."""
        events: list[Any] = []
        after = given.pop("after", None)
        while True:
            page = (await town.ask(who, FEED, first=7, after=after, **given))["paymentEvents"]
            events += page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return events
            after = page["pageInfo"]["endCursor"]

    async def sold(self, town: Town) -> str:
        """A merchant who has sold, shipped, and been paid."""
        seller, ware = await shop(town)
        buyer = await newcomer(town, funds="50.00")
        orders = [await bought(town, buyer, line(ware)) for _ in range(3)]
        await done(town, seller, "shipOrder", orderId=orders[0])
        await done(town, buyer, "completeOrder", orderId=orders[0])
        return seller

    async def test_an_event_names_the_one_before_it_in_the_feed_that_was_asked_for(self, town: Town) -> None:
        seller = await self.sold(town)

        everything = await self.feed(town, seller)
        for types in (None, ["order.placed"], ["order.shipped", "order.placed"]):
            events = await self.feed(town, seller, types=types)
            assert [event["previousSeq"] for event in events] == [None, *(event["seq"] for event in events[:-1])]
            assert events
            expected = [event["id"] for event in everything if types is None or event["type"] in types]
            assert [event["id"] for event in events] == expected

        assert len({event["type"] for event in everything}) >= 4

    async def test_query_and_subscription_share_cursors_and_numbers(self, town: Town) -> None:
        seller = await self.sold(town)
        types = ["order.placed"]
        events = await self.feed(town, seller, types=types)
        shown = ("id", "type", "seq", "previousSeq", "cursor")

        async with town.subscribed(seller, LIVE, after=events[0]["cursor"], types=types) as live:
            heard = [(await live.next())["paymentEvents"] for _ in events[1:]]
        rest = await self.feed(town, seller, after=heard[0]["cursor"], types=types)

        assert heard == [{name: event[name] for name in shown} for event in events[1:]]
        assert rest == events[2:]

    async def test_a_live_event_names_the_one_before_it(self, town: Town) -> None:
        seller, ware = await shop(town)
        buyer = await newcomer(town, funds="50.00")
        await bought(town, buyer, line(ware))
        before = await self.feed(town, seller, types=["order.placed"])

        async with town.subscribed(seller, LIVE, types=["order.placed"]) as live:
            await bought(town, buyer, line(ware))
            await bought(town, buyer, line(ware))
            heard = [(await live.next())["paymentEvents"] for _ in range(2)]

        assert [event["previousSeq"] for event in heard] == [before[-1]["seq"], heard[0]["seq"]]

    async def test_the_demo_partner_sees_what_carol_sees(self, town: Town) -> None:
        seen, own = await self.feed(town, PARTNER), await self.feed(town, "carol")

        without_cursor = [{name: value for name, value in each.items() if name != "cursor"} for each in seen]
        assert without_cursor == [{name: value for name, value in each.items() if name != "cursor"} for each in own]
        assert seen

    async def test_a_person_without_a_merchant_is_forbidden(self, town: Town) -> None:
        who = await newcomer(town)

        assert await codes(town, who, FEED) == ["FORBIDDEN"]
        async with town.subscribed(who, LIVE) as live:
            message = await live.message()
        assert [error["extensions"]["code"] for error in message["payload"]] == ["FORBIDDEN"]

    async def test_a_type_that_there_is_not_is_invalid(self, town: Town) -> None:
        assert await codes(town, "carol", FEED, types=["order.eaten"]) == ["INVALID_INPUT"]
        assert await codes(town, "carol", FEED, types=[]) == ["INVALID_INPUT"]
