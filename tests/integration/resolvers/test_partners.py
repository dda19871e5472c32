"""Partners and owners of merchants read every payment event, in order, and can prove that none is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from datastores import partners as store
from datastores.errors import ForbiddenError, UnauthenticatedError, ValidationError
from datastores.indexes import create_indexes
from datastores.mongo import Database, Document
from datastores.paging import PageDocument
from gateway.identity.errors import Unauthenticated
from gateway.identity.partners import new_partner_key, verify_partner_key
from gateway.live.hub import Hub
from resolvers import merchants, partners
from resolvers.audiences import DELIVERY
from resolvers.context import PAYMENTS_READ, Context, Viewer
from tests.integration.plans import plans_of
from tests.integration.resolvers.listening import heard, listening
from tests.integration.resolvers.merchants.shops import check_ledger, line, offer, paid_order, place
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import fill, pay

NO_PARTNER = "ptn_01JD0000000000000000000000"
NO_EVENT = "pev_01JD0000000000000000000000"


def partner(ask: Ask, *merchant_ids: str, scopes: Sequence[str] = (PAYMENTS_READ,), id: str = NO_PARTNER) -> Context:
    """The context of a partner that may see these merchants."""
    return replace(ask(None), viewer=Viewer("partner", None, id, merchant_ids, frozenset(scopes)))


def nodes(page: PageDocument) -> list[Document]:
    return [edge["node"] for edge in page["edges"]]


def follow(ctx: Context, **given: Any) -> Any:
    return cast(Any, partners.follow_payment_events(ctx, **given))


def check_chain(events: Sequence[Document], first: int | None = None) -> None:
    """Each event names the one before it."""
    assert [event["previous_seq"] for event in events] == [first, *(event["seq"] for event in events[:-1])]
    assert sorted(event["seq"] for event in events) == [event["seq"] for event in events]


async def sale(ask: Ask, database: Database) -> tuple[str, str, str]:
    """A buyer and a seller with one order, completed; and one that was cancelled after payment. The merchant's id."""
    ann, carol = await people(database, "ann", "carol")
    await fill(ask, ann, "100")
    bowl = await offer(ask, carol)
    first = await paid_order(ask, ann, line(bowl))
    await merchants.ship_order(ask(carol), order_id=first)
    await merchants.complete_order(ask(ann), order_id=first)
    second = await paid_order(ask, ann, line(bowl))
    await merchants.cancel_order(ask(ann), order_id=second)
    return ann, carol, bowl["merchant_id"]


SALE = [
    "order.placed",
    "payment.completed",
    "order.paid",
    "order.shipped",
    "transfer.posted",
    "order.completed",
    "order.placed",
    "payment.completed",
    "order.paid",
    "payment.refunded",
    "order.refunded",
]


class TestFeed:
    async def test_a_sale_is_told_step_by_step(self, database: Database, ask: Ask) -> None:
        ann, carol, merchant_id = await sale(ask, database)

        events = nodes(await partners.payment_events(partner(ask, merchant_id), first=100))
        own = nodes(await partners.payment_events(ask(carol), first=100))

        assert [event["type"] for event in events] == SALE
        check_chain(events)
        assert all(event["event_amount"] == {"minor_units": 1000, "currency": "EUR"} for event in events)
        assert all(event["order_id"] is not None and event["wallet_id"] is None for event in events)
        assert [event["_id"] for event in own] == [event["_id"] for event in events]
        assert [event["type"] for event in own if event["wallet_id"]] == ["transfer.posted"]
        assert ann != carol
        await check_ledger(database)

    @pytest.mark.parametrize("types", [None, ["order.placed", "order.paid"], ["payment.refunded"], ["payment.held"]])
    @pytest.mark.parametrize("size", [1, 4])
    async def test_pages_chain_without_a_hole(
        self, database: Database, ask: Ask, types: list[str] | None, size: int
    ) -> None:
        _, _, merchant_id = await sale(ask, database)
        ctx = partner(ask, merchant_id)
        found: list[Document] = []
        cursor: str | None = None
        while True:
            page = await partners.payment_events(ctx, types=types, first=size, after=cursor)
            found += nodes(page)
            if not page["page_info"]["has_next_page"]:
                break
            cursor = page["page_info"]["end_cursor"]

        assert [event["type"] for event in found] == [each for each in SALE if types is None or each in types]
        if found:
            check_chain(found)

    async def test_other_merchants_and_private_payments_are_not_in_it(self, database: Database, ask: Ask) -> None:
        ann, _, merchant_id = await sale(ask, database)
        (dave,) = await people(database, "dave")
        wheel = await offer(ask, dave, "Wheel")
        await place(ask, ann, line(wheel))
        (bob,) = await people(database, "bob")
        await pay(ask, ann, bob, "1")

        carols = nodes(await partners.payment_events(partner(ask, merchant_id), first=100))
        daves = nodes(await partners.payment_events(partner(ask, wheel["merchant_id"]), first=100))
        both = nodes(await partners.payment_events(partner(ask, merchant_id, wheel["merchant_id"]), first=100))
        none = nodes(await partners.payment_events(partner(ask), first=100))

        assert [event["type"] for event in carols] == SALE
        assert [event["type"] for event in daves] == ["order.placed"]
        assert [event["type"] for event in both] == [*SALE, "order.placed"]
        check_chain(both)
        assert none == []

    async def test_an_event_by_its_id_is_for_those_whose_feed_it_is_in(self, database: Database, ask: Ask) -> None:
        ann, carol, merchant_id = await sale(ask, database)
        (event, *_) = nodes(await partners.payment_events(ask(carol)))
        ids = [event["_id"], NO_EVENT, "pev_x", "\ud800"]

        (seen, *others) = await partners.by_id(partner(ask, merchant_id), ids)

        assert seen is not None
        assert (seen["type"], seen["seq"], seen["previous_seq"]) == ("order.placed", event["seq"], None)
        assert others == [None] * 3
        assert (await partners.by_id(ask(carol), ids[:1]))[0] is not None
        for ctx in (
            ask(None),
            ask(ann),
            partner(ask, "mer_01JD0000000000000000000000"),
            partner(ask, merchant_id, scopes=()),
        ):
            assert await partners.by_id(ctx, ids[:1]) == [None]

    async def test_who_may_not_read_it(self, database: Database, ask: Ask) -> None:
        ann, carol, merchant_id = await sale(ask, database)

        for ctx, error in (
            (ask(None), UnauthenticatedError),
            (ask(ann), ForbiddenError),
            (partner(ask, merchant_id, scopes=()), ForbiddenError),
        ):
            with pytest.raises(error):
                await partners.payment_events(ctx)
            with pytest.raises(error):
                await anext(follow(ctx))
        mine = (await partners.payment_events(ask(carol)))["page_info"]["end_cursor"]
        given: dict[str, Any]
        for given in ({"types": ["order.eaten"]}, {"types": []}, {"after": mine}, {"after": "nonsense"}):
            with pytest.raises(ValidationError):
                await partners.payment_events(partner(ask, merchant_id), **given)
            with pytest.raises(ValidationError):
                await anext(follow(partner(ask, merchant_id), **given))
        for first in (-1, 101):
            with pytest.raises(ValidationError):
                await partners.payment_events(partner(ask, merchant_id), first=first)

    async def test_it_is_read_off_an_index(self, bare_database: Database, ask: Ask) -> None:
        await create_indexes(bare_database)
        ctx = replace(partner(ask, "mer_a", "mer_b"), database=bare_database)
        rows = [
            {
                "_id": f"ent_{n}",
                "partition": "main",
                "seq": n,
                "caller": "c",
                "key": str(n),
                "merchants": [f"mer_{'abc'[n % 3]}"],
                "event_type": "order.placed",
                "legs": [],
                "currency": None,
                "amount": 0,
                "pending_id": None,
                "order_id": None,
                "created_at": datetime(2026, 1, 1),
            }
            for n in range(1, 301)
        ]
        await bare_database.insert_many("entries", rows)

        async def act() -> None:
            page = await partners.payment_events(ctx, first=10)
            await partners.payment_events(ctx, first=10, after=page["page_info"]["end_cursor"], types=["order.placed"])

        plans = [plan for plan in await plans_of(bare_database, act) if plan.collection == "entries"]

        assert len(plans) == 4
        assert [plan for plan in plans if plan.is_scan or plan.sorts_in_memory] == []
        assert all(plan.keys_examined < 100 for plan in plans), plans


class TestFollowing:
    @pytest.mark.parametrize("types", [None, ["order.placed", "payment.completed"]])
    async def test_the_past_then_what_is_live_in_one_chain(
        self, database: Database, live: Ask, hub: Hub, types: list[str] | None
    ) -> None:
        ann, carol, merchant_id = await sale(live, database)
        ctx = partner(live, merchant_id)
        page = await partners.payment_events(ctx, first=2, types=types)
        wanted = [each for each in SALE if types is None or each in types]
        missed = len(wanted) - 2
        bowl = await offer(live, carol, "Another")

        async with listening(follow(ctx, after=page["page_info"]["end_cursor"], types=types), hub) as listener:
            events = await listener.hear(missed)
            listener.listen()
            await asyncio.gather(*(place(live, ann, line(bowl)) for _ in range(10)))
            await paid_order(live, ann, line(bowl))
            events += await listener.hear(12)

        assert [event["type"] for event in events[:missed]] == wanted[2:]
        live_types = [event["type"] for event in events[missed:]]
        assert live_types[:11] == ["order.placed"] * 11
        assert live_types[11] == "payment.completed"
        check_chain(events, first=nodes(page)[-1]["seq"])
        polled = nodes(
            await partners.payment_events(ctx, first=100, types=types, after=page["page_info"]["end_cursor"])
        )
        assert polled[: len(events)] == [{k: v for k, v in event.items() if k != DELIVERY} for event in events]

    async def test_from_now_on_the_first_names_what_was_before(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, carol, _ = await sale(live, database)
        before = nodes(await partners.payment_events(live(carol), first=100))
        bowl = await offer(live, carol, "Another")

        async with listening(follow(live(carol)), hub) as listener:
            await place(live, ann, line(bowl))
            (event,) = await listener.hear(1)

        assert event["type"] == "order.placed"
        assert event["previous_seq"] == before[-1]["seq"]

    async def test_a_partner_whose_merchants_change_hears_no_more(
        self, database: Database, live: Ask, hub: Hub
    ) -> None:
        _, _, merchant_id = await sale(live, database)
        new = new_partner_key()
        made = {"name": "watch", "key_id": new.id, "secret_hash": new.secret_hash, "scopes": [PAYMENTS_READ]}
        given: dict[str, Any] = made
        id = await store.create_partner(database, merchant_ids=[merchant_id], **given)
        start = live(None).now()
        ticks = iter(range(1_000))
        ctx = replace(partner(live, merchant_id, id=id), now=lambda: start + timedelta(seconds=next(ticks)))
        (first, *_) = nodes(await partners.payment_events(ctx))
        after = first["cursor"]

        events = await heard(follow(ctx, after=after), 3)
        await store.create_partner(database, partner_id=id, merchant_ids=[], **given)

        assert [event["type"] for event in events] == SALE[1:4]
        with pytest.raises(ForbiddenError):
            await anext(follow(ctx, after=after))


class TestPartners:
    async def test_a_key_is_recognised_until_it_is_revoked(self, database: Database) -> None:
        new = new_partner_key()
        given: dict[str, Any] = {"name": "watch", "key_id": new.id, "secret_hash": new.secret_hash, "scopes": ["a"]}

        id = await store.create_partner(database, merchant_ids=["mer_a", "mer_a"], **given)
        again = await store.create_partner(database, merchant_ids=["mer_b"], **given)
        partner = await verify_partner_key(new.text, lambda key_id: store.key_by_id(database, key_id), 0.0)

        assert (partner.partner_id, partner.scopes) == (id, frozenset({"a"}))
        assert again == id
        assert await store.merchants_of(database, id) == ["mer_b"]
        assert await store.merchants_of(database, NO_PARTNER) == []
        assert await store.key_by_id(database, "key_x") is None
        await database.update_one("partner_keys", {"_id": new.id}, {"$set": {"revoked_at": datetime(2026, 1, 1)}})
        await store.create_partner(database, merchant_ids=["mer_b"], **given)
        with pytest.raises(Unauthenticated):
            await verify_partner_key(new.text, lambda key_id: store.key_by_id(database, key_id), 0.0)
