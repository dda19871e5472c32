"""Buyer and merchant each hear everything that happens to their orders, once and in order."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from datastores.errors import NotFoundError, UnauthenticatedError, ValidationError
from datastores.mongo import Database, Document
from gateway.live.hub import Hub
from resolvers import merchants
from tests.integration.resolvers.listening import heard, listening
from tests.integration.resolvers.merchants.shops import NO_ORDER, line, offer, paid_order, place
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import fill, key


def updates(ask: Ask, user_id: str | None, **given: Any) -> Any:
    return cast(Any, merchants.order_updated(ask(user_id), **given))


def states(events: list[Document]) -> list[tuple[str, str]]:
    return [(event["order"]["_id"], event["order"]["state"]) for event in events]


async def test_what_was_missed_comes_first_then_what_is_live(database: Database, live: Ask, hub: Hub) -> None:
    ann, carol = await people(database, "ann", "carol")
    await fill(live, ann, "100")
    bowl = await offer(live, carol)
    first = await place(live, ann, line(bowl))
    second = await place(live, ann, line(bowl))
    one, other = first["order"]["_id"], second["order"]["_id"]

    async with listening(updates(live, ann, after=first["cursor"]), hub) as listener:
        missed = await listener.hear(1)
        listener.listen()
        paid = await merchants.pay_order(live(ann), idempotency_key=key(), order_id=one)
        (heard_paid,) = await listener.hear(1)
        listener.listen()
        shipped = await merchants.ship_order(live(carol), order_id=one)
        (heard_shipped,) = await listener.hear(1)

    assert states(missed) == [(other, "PLACED")]
    assert missed[0]["cursor"] == second["cursor"]
    assert states([heard_paid, heard_shipped]) == [(one, "PAID"), (one, "SHIPPED")]
    assert heard_paid["cursor"] == paid["cursor"]
    assert heard_shipped["cursor"] != shipped["cursor"]  # each of the two has a log of their own


async def test_the_merchant_hears_of_everybody_and_of_one_order_alone(database: Database, live: Ask, hub: Hub) -> None:
    ann, bob, carol = await people(database, "ann", "bob", "carol")
    bowl = await offer(live, carol)
    first = await place(live, ann, line(bowl))

    async with (
        listening(updates(live, carol), hub) as every,
        listening(updates(live, carol, order_id=first["order"]["_id"]), hub) as one,
    ):
        orders = await asyncio.gather(*(place(live, bob, line(bowl)) for _ in range(6)))
        await merchants.cancel_order(live(carol), order_id=first["order"]["_id"])
        all_heard = await every.hear(7)
        (own,) = await one.hear(1)

    assert {id for id, _ in states(all_heard)} == {first["order"]["_id"]} | {each["order"]["_id"] for each in orders}
    assert states([own]) == [(first["order"]["_id"], "CANCELLED")]


async def test_all_of_the_past_is_there_from_the_first_cursor(database: Database, live: Ask, hub: Hub) -> None:
    ann, carol = await people(database, "ann", "carol")
    await fill(live, ann, "100")
    bowl = await offer(live, carol, stock=50)
    first = await place(live, ann, line(bowl))
    paid = [await paid_order(live, ann, line(bowl)) for _ in range(3)]

    events = await heard(updates(live, ann, after=first["cursor"]), 6)

    assert states(events) == [(id, "PAID") for id in paid for _ in range(2)]


async def test_who_and_what_cannot_be_heard(database: Database, live: Ask, hub: Hub) -> None:
    ann, carol, eve = await people(database, "ann", "carol", "eve")
    bowl = await offer(live, carol)
    placed = await place(live, ann, line(bowl))

    for viewer, given, error in (
        (None, {}, UnauthenticatedError),
        (eve, {"order_id": placed["order"]["_id"]}, NotFoundError),
        (ann, {"order_id": NO_ORDER}, NotFoundError),
        (ann, {"order_id": "\ud800"}, NotFoundError),
        (ann, {"after": "nonsense"}, ValidationError),
        (carol, {"after": placed["cursor"]}, ValidationError),
    ):
        with pytest.raises(error):
            await anext(updates(live, viewer, **given))
