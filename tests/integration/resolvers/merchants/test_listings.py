"""Merchants offer things; everybody finds what can be ordered, and nobody sees another's drafts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from datastores import merchants as store
from datastores.commit import CommitLoops
from datastores.errors import ConflictError, ForbiddenError, NotFoundError, UnauthenticatedError, ValidationError
from datastores.indexes import create_indexes
from datastores.ledger import money
from datastores.merchants import ListingDocument, ListingKind, ListingSort, ListingState
from datastores.mongo import Database
from datastores.paging import PageDocument
from datastores.words import query_words, words
from gateway.live.hub import Hub
from resolvers import merchants
from resolvers.context import ANONYMOUS, Context
from tests.integration.plans import plans_of
from tests.integration.resolvers.merchants.shops import NO_LISTING, listing_of, offer
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount

START = datetime(2026, 1, 1)
SORTS = (None, *ListingSort)
VOCABULARY = ("blue", "red", "bowl", "mug", "plate", "teapot", "small", "large")
CATEGORIES = ("pottery", "Lessons", "books")
SEARCHES: tuple[dict[str, Any], ...] = (
    {},
    {"search": "blue"},
    {"search": "BLUE  bowl"},
    {"search": "lessons"},
    {"search": "bowl", "category": "LESSONS"},
    {"category": "pottery"},
    {"category": "nothing"},
    {"min_price": amount("5")},
    {"max_price": amount("5"), "category": "books"},
    {"min_price": amount("2"), "max_price": amount("6"), "search": "mug"},
    {"min_price": amount("3", "USD"), "max_price": amount("7", "USD")},
)


def many(count: int) -> list[ListingDocument]:
    """Listings of three merchants, with ties in time and price."""
    chance = random.Random(7)
    owners = [f"usr_01JD000000000000000000000{n}" for n in range(3)]
    made = []
    for _ in range(count):
        owner = chance.choice(owners)
        made.append(
            store.listing_document(
                merchant_id=store.merchant_id(owner),
                seller_id=owner,
                title=" ".join(chance.sample(VOCABULARY, 2)).title(),
                description=" ".join(chance.sample(VOCABULARY, 3)),
                category=chance.choice(CATEGORIES),
                kind=ListingKind.GOOD,
                price=money(chance.randrange(100, 1000, 50), chance.choice(("EUR", "USD"))),
                stock=chance.choice((None, 0, 3)),
                state=chance.choice(list(ListingState)),
                created_at=START + timedelta(minutes=chance.randrange(20)),
                random_bits=chance.getrandbits(80),
            )
        )
    return made


def expected(listings: list[ListingDocument], sort: ListingSort | None, given: dict[str, Any]) -> list[str]:
    """What a search must find, in order, by the plainest means."""
    wanted = query_words(given.get("search", ""))
    least, most = given.get("min_price"), given.get("max_price")

    def matches(each: ListingDocument) -> bool:
        text = words(f"{each['title']} {each['description']} {each['category']}", limit=1_000)
        units, currency = each["price"]["minor_units"], each["price"]["currency"]
        return (
            each["state"] == "ACTIVE"
            and all(word in text for word in wanted)
            and given.get("category", each["category"]).lower() == each["category"].lower()
            and (least is None or (currency == least["currency"] and units >= least["amount"] * 100))
            and (most is None or (currency == most["currency"] and units <= most["amount"] * 100))
        )

    def rank(each: ListingDocument) -> tuple[Any, ...]:
        is_best = all(word in words(each["title"], limit=1_000) for word in wanted)
        ranked = sort in (None, ListingSort.RELEVANCE)
        return (is_best if ranked else True, each["created_at"], each["_id"])

    def price(each: ListingDocument) -> tuple[Any, ...]:
        return (each["price"]["currency"], each["price"]["minor_units"], each["_id"])

    found = [each for each in listings if matches(each)]
    by_price = sort in (ListingSort.PRICE_ASC, ListingSort.PRICE_DESC)
    found.sort(key=price if by_price else rank, reverse=sort is not ListingSort.PRICE_ASC)
    return [each["_id"] for each in found]


async def all_pages(read: Callable[[str | None], Awaitable[PageDocument]]) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await read(cursor)
        found += [edge["node"]["_id"] for edge in page["edges"]]
        if not page["page_info"]["has_next_page"]:
            return found
        cursor = page["page_info"]["end_cursor"]


class TestSearch:
    @pytest.mark.parametrize("size", [1, 3, 100])
    async def test_every_search_finds_what_it_must_in_order(self, database: Database, ask: Ask, size: int) -> None:
        listings = many(150)
        await store.insert_listings(database, listings)
        searches = SEARCHES if size > 1 else SEARCHES[1:4]

        for sort in SORTS:
            for given in searches:

                async def read(
                    cursor: str | None, sort: ListingSort | None = sort, given: dict[str, Any] = given
                ) -> PageDocument:
                    return await merchants.listings(ask(None), sort=sort, first=size, after=cursor, **given)

                assert await all_pages(read) == expected(listings, sort, given), (sort, given)

    async def test_searches_read_indexes_and_never_sort_in_memory(self, bare_database: Database) -> None:
        await create_indexes(bare_database)
        await store.insert_listings(bare_database, many(150))
        ctx = Context(bare_database, CommitLoops(bare_database), Hub(bare_database, {}), ANONYMOUS)
        owners: list[Any] = [{"_id": f"usr_01JD000000000000000000000{n}"} for n in range(3)]

        async def act() -> None:
            for sort in SORTS:
                for given in SEARCHES:
                    page = await merchants.listings(ctx, sort=sort, first=2, **given)
                    cursor = page["page_info"]["end_cursor"]
                    if cursor:
                        await merchants.listings(ctx, sort=sort, first=2, after=cursor, **given)
            await merchants.listings_of_users(ctx, owners[:1], first=2)
            await merchants.listings_of_users(ctx, owners, first=2)

        plans = [plan for plan in await plans_of(bare_database, act) if plan.collection == "listings"]

        assert len(plans) > 50
        assert [plan for plan in plans if plan.is_scan or plan.sorts_in_memory] == []

    async def test_searches_that_cannot_be(self, ask: Ask) -> None:
        given: dict[str, Any]
        for given in (
            {"min_price": amount("1"), "max_price": amount("2", "USD")},
            {"min_price": amount("-1")},
            {"min_price": amount("0.001")},
            {"max_price": amount("1", "XXX")},
            {"search": "x" * 201},
            {"category": "x" * 51},
            {"first": -1},
            {"first": 101},
            {"after": "nonsense"},
        ):
            with pytest.raises(ValidationError):
                await merchants.listings(ask(None), **given)

        assert (await merchants.listings(ask(None), search=" – "))["edges"] == []
        assert (await merchants.listings(ask(None), search="\\.* $where"))["edges"] == []

    async def test_a_cursor_is_of_one_search_alone(self, database: Database, ask: Ask) -> None:
        await store.insert_listings(database, many(50))
        page = await merchants.listings(ask(None), search="blue", first=1)

        for other in ({"search": "red"}, {"search": "blue", "sort": ListingSort.NEWEST}, {"category": "books"}):
            given: dict[str, Any] = other
            with pytest.raises(ValidationError):
                await merchants.listings(ask(None), after=page["page_info"]["end_cursor"], **given)


class TestOffering:
    async def test_one_merchant_a_person_however_many_ask(self, database: Database, ask: Ask) -> None:
        carol, ann = await people(database, "carol", "ann")

        opening = [merchants.open_merchant(ask(carol), name=" Kiln ", description=None) for _ in range(5)]
        found = await asyncio.gather(*opening, return_exceptions=True)

        (made,) = [each for each in found if isinstance(each, dict)]
        assert sum(isinstance(each, ConflictError) for each in found) == 4
        assert (made["name"], made["description"], made["owner_id"]) == ("Kiln", "", carol)
        assert await merchants.merchants_of_users(ask(None), [{"_id": ann}, {"_id": carol}]) == [None, made]
        assert await merchants.merchant(ask(None), id=made["_id"]) == made
        assert await merchants.merchant(ask(None), id="\ud800") is None
        with pytest.raises(UnauthenticatedError):
            await merchants.open_merchant(ask(None), name="x")
        for name in ("", "  ", "x" * 141):
            with pytest.raises(ValidationError):
                await merchants.open_merchant(ask(ann), name=name)

    async def test_what_cannot_be_offered(self, database: Database, ask: Ask) -> None:
        carol, ann = await people(database, "carol", "ann")
        await offer(ask, carol)

        changes: dict[str, Any]
        for changes in (
            {"title": ""},
            {"title": "x" * 141},
            {"description": " "},
            {"description": "x" * 10_001},
            {"category": ""},
            {"stock": -1},
            {"stock": 1_000_000_001},
            {"state": ListingState.SOLD_OUT},
            {"state": ListingState.ARCHIVED},
            {"price": "0"},
            {"price": "0.001"},
            {"photos": [{"url": "javascript:x", "kind": "IMAGE"}]},
        ):
            with pytest.raises(ValidationError):
                await offer(ask, carol, **changes)
        with pytest.raises(ForbiddenError):
            await merchants.create_listing(
                ask(ann), title="t", description="d", category="c", kind=ListingKind.GOOD, price=amount("1")
            )

        assert await database.count("listings", {}) == 1

    async def test_drafts_and_archived_ones_are_their_sellers_alone(self, database: Database, ask: Ask) -> None:
        carol, ann = await people(database, "carol", "ann")
        made = {state: await offer(ask, carol, state.value, state=state) for state in list(ListingState)[:3]}
        gone = await offer(ask, carol, "gone")
        await merchants.update_listing(ask(carol), listing_id=gone["_id"], changes={"state": ListingState.ARCHIVED})
        every = [*made.values(), gone]
        merchant: Any = {"_id": gone["merchant_id"]}

        for viewer, titles in ((carol, {"DRAFT", "ACTIVE", "PAUSED", "gone"}), (ann, {"ACTIVE", "PAUSED"})):
            found = await merchants.listings_by_id(ask(viewer), [each["_id"] for each in every])
            (of_user,) = await merchants.listings_of_users(ask(viewer), [{"_id": carol}])
            (of_merchant,) = await merchants.listings_of_merchants(ask(viewer), [merchant])
            assert {each["title"] for each in found if each is not None} == titles
            assert all("tokens" not in each for each in found if each is not None)
            assert set(titles_of(of_user)) == titles
            assert set(titles_of(of_merchant)) == titles
            assert titles_of(await merchants.listings(ask(viewer))) == ["ACTIVE"]
        with pytest.raises(NotFoundError):
            await merchants.update_listing(ask(ann), listing_id=gone["_id"], changes={"title": "x"})
        with pytest.raises(ForbiddenError):
            await merchants.update_listing(ask(ann), listing_id=every[1]["_id"], changes={"title": "x"})
        for id in (NO_LISTING, "lst_x", "\ud800"):
            with pytest.raises(NotFoundError):
                await merchants.update_listing(ask(carol), listing_id=id, changes={})
            assert await merchants.listing(ask(carol), id=id) is None

    async def test_pages_of_several_sellers_are_their_own(self, database: Database, ask: Ask) -> None:
        carol, dave = await people(database, "carol", "dave")
        for seller, count in ((carol, 5), (dave, 3)):
            for n in range(count):
                await offer(ask, seller, f"{n}")
        sellers: list[Any] = [{"_id": carol}, {"_id": dave}]

        carols, daves = await merchants.listings_of_users(ask(None), sellers, first=2)
        assert isinstance(carols, dict)
        after = carols["page_info"]["end_cursor"]
        rest, error = await merchants.listings_of_users(ask(None), sellers, after=after)

        assert (titles_of(carols), titles_of(daves)) == (["4", "3"], ["2", "1"])
        assert titles_of(rest) == ["2", "1", "0"]
        assert isinstance(error, ValidationError)


class TestChanging:
    async def test_what_is_absent_stays_and_null_clears(self, database: Database, ask: Ask) -> None:
        (carol,) = await people(database, "carol")
        photo = {"url": "https://example.com/1.jpg", "kind": "IMAGE"}
        bowl = await offer(ask, carol, stock=3, photos=[photo])

        changed = await merchants.update_listing(ask(carol), listing_id=bowl["_id"], changes={"title": "Deep bowl"})
        cleared = await merchants.update_listing(
            ask(carol), listing_id=bowl["_id"], changes={"stock": None, "photos": None}
        )

        assert (changed["title"], changed["stock"], len(changed["photos"])) == ("Deep bowl", 3, 1)
        assert (cleared["title"], cleared["stock"], cleared["photos"]) == ("Deep bowl", None, [])
        assert titles_of(await merchants.listings(ask(None), search="deep")) == ["Deep bowl"]
        for name in ("title", "description", "category", "price", "state"):
            with pytest.raises(ValidationError):
                await merchants.update_listing(ask(carol), listing_id=bowl["_id"], changes={name: None})

    async def test_sold_out_comes_and_goes_with_the_stock(self, database: Database, ask: Ask) -> None:
        (carol,) = await people(database, "carol")
        bowl = await offer(ask, carol, stock=0)
        id = bowl["_id"]

        async def change(**changes: Any) -> str:
            return (await merchants.update_listing(ask(carol), listing_id=id, changes=changes))["state"]

        assert bowl["state"] == "SOLD_OUT"
        assert titles_of(await merchants.listings(ask(None))) == []
        assert await change(state=ListingState.ACTIVE) == "SOLD_OUT"
        assert await change(stock=2) == "ACTIVE"
        assert titles_of(await merchants.listings(ask(None))) == ["Bowl"]
        assert await change(stock=0) == "SOLD_OUT"
        assert await change(state=ListingState.PAUSED, stock=1) == "PAUSED"
        assert await change(state=ListingState.ACTIVE) == "ACTIVE"
        with pytest.raises(ValidationError):
            await change(state=ListingState.SOLD_OUT)
        with pytest.raises(ConflictError):
            await change(state=ListingState.DRAFT)
        assert await change(state=ListingState.ARCHIVED) == "ARCHIVED"
        with pytest.raises(ConflictError):
            await change(state=ListingState.ACTIVE)
        assert (await listing_of(ask, id, carol))["state"] == "ARCHIVED"


def titles_of(page: object) -> list[str]:
    assert isinstance(page, dict), page
    return [edge["node"]["title"] for edge in page["edges"]]
