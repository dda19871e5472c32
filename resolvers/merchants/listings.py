"""Listings: what merchants may offer, and how everybody finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from datastores import ledger
from datastores import merchants as store
from datastores.errors import NotFoundError, ValidationError
from datastores.ids import is_id
from datastores.ledger import COMMIT_LOOP, Money
from datastores.merchants import (
    MAX_STOCK,
    ListingChanges,
    ListingDocument,
    ListingKind,
    ListingSort,
    ListingState,
    Search,
    UpdateListing,
)
from datastores.mongo import Document
from datastores.paging import PageDocument, Window, page, window
from datastores.words import MAX_QUERY_LENGTH, folded, query_words
from resolvers.connections import HasId, connections
from resolvers.context import Context
from resolvers.media import checked_media
from resolvers.texts import trimmed
from resolvers.wallets import AmountInput

from .shops import merchant_of_viewer

MAX_TITLE: Final = 140
MAX_DESCRIPTION: Final = 10_000
MAX_CATEGORY: Final = 50
FIRST_STATES: Final = (ListingState.DRAFT, ListingState.ACTIVE, ListingState.PAUSED)
_KEY: Final[Mapping[str, type]] = {"created_at": datetime, "_id": str}


async def listings_by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the listing, or None where there is none, or it is a draft or archived and not the viewer's own."""
    found = await store.listings_by_ids(ctx.database, ids)
    viewer_id = ctx.viewer.user_id
    return [each if each is not None and (each["public"] or each["seller_id"] == viewer_id) else None for each in found]


async def listing(ctx: Context, *, id: str) -> Document | None:
    """The listing with this id as `listings_by_id` has it."""
    return (await listings_by_id(ctx, [id]))[0]


async def listings(
    ctx: Context,
    *,
    search: str | None = None,
    category: str | None = None,
    min_price: AmountInput | None = None,
    max_price: AmountInput | None = None,
    sort: ListingSort | None = None,
    first: int | None = None,
    after: str | None = None,
) -> PageDocument:
    """The listings that can be ordered now and have all words of `search` (at most 8, whole words) in their texts.

    `category` is compared in any case. A price implies its currency; without one, PRICE_ASC and PRICE_DESC sort by
    currency first. RELEVANCE, which is meant where `sort` is None, has those first that have all words in the title.
    A search without words finds nothing. Raises ValidationError for prices in two currencies or below zero, and for
    texts that are too long.
    """
    words = None if search is None else query_words(trimmed(search, "search", most=MAX_QUERY_LENGTH, least=0))
    least, most = _bound(min_price, "minPrice"), _bound(max_price, "maxPrice")
    if least and most and least["currency"] != most["currency"]:
        raise ValidationError("`minPrice` and `maxPrice` must be in one currency", "maxPrice", "currency")
    bound = least or most
    wanted = Search(
        words=tuple(words or ()),
        category=None if category is None else folded(trimmed(category, "category", most=MAX_CATEGORY, least=0)),
        currency=bound["currency"] if bound else None,
        least=least["minor_units"] if least else None,
        most=most["minor_units"] if most else None,
        sort=sort or ListingSort.RELEVANCE,
    )
    asked = window(wanted.scope, *wanted.key_types, first=first, after=after)
    if words == []:
        return page([], asked, lambda listing: (listing["created_at"], listing["_id"]))
    return await store.search(ctx.database, wanted, asked)


async def listings_of_users(
    ctx: Context, users: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """For each user a page of what they offer, newest first; drafts and archived ones for themselves alone."""
    own = _own_merchant_id(ctx)

    async def read(user_ids: Sequence[str], w: Window) -> list[list[Document]]:
        return await store.listings_of(ctx.database, [store.merchant_id(id) for id in user_ids], own, w)

    return await connections(users, "user_listings", read, _KEY, first=first, after=after)


async def listings_of_merchants(
    ctx: Context, merchants: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """For each merchant a page of what it offers, newest first; drafts and archived ones for its owner alone."""
    own = _own_merchant_id(ctx)
    return await connections(
        merchants,
        "merchant_listings",
        lambda ids, w: store.listings_of(ctx.database, ids, own, w),
        _KEY,
        first=first,
        after=after,
    )


async def create_listing(
    ctx: Context,
    *,
    title: str,
    description: str,
    category: str,
    kind: ListingKind,
    price: AmountInput,
    stock: int | None = None,
    photos: Sequence[Document] = (),
    state: ListingState | None = None,
) -> ListingDocument:
    """A new listing of the viewer's merchant, ACTIVE unless `state` says DRAFT or PAUSED; without stock, SOLD_OUT.

    Raises ForbiddenError without a merchant, ValidationError for texts that are empty or too long (title 140,
    category 50, description 10,000 characters), a price that is not more than zero, a stock that is not 0 to
    1,000,000,000, more than 10 photos, or another state.
    """
    merchant = await merchant_of_viewer(ctx)
    if state is not None and state not in FIRST_STATES:
        raise ValidationError(f"A new listing is {', '.join(FIRST_STATES)}", "state")
    made = store.listing_document(
        merchant_id=merchant["_id"],
        seller_id=merchant["owner_id"],
        title=trimmed(title, "title", most=MAX_TITLE),
        description=trimmed(description, "description", most=MAX_DESCRIPTION),
        category=trimmed(category, "category", most=MAX_CATEGORY),
        kind=kind,
        price=_price(price),
        photos=checked_media(photos, "photos"),
        stock=_stock(stock),
        state=state or ListingState.ACTIVE,
        created_at=ctx.now(),
    )
    await store.insert_listings(ctx.database, [made])
    return made


async def update_listing(ctx: Context, *, listing_id: str, changes: Mapping[str, Any]) -> ListingDocument:
    """The viewer's listing with what `changes` has; an absent key is unchanged, None is cleared.

    `stock` None is without limit, `photos` None are none; the others cannot be cleared. SOLD_OUT comes and goes with
    the stock by itself. Raises ValidationError as `create_listing`; NotFoundError; ForbiddenError for another's
    listing; ConflictError for an archived one, or to make a draft of a published one.
    """
    seller_id = ctx.viewer.person()
    accepted = _accepted(changes)
    if not is_id("lst", listing_id):
        raise NotFoundError("There is no such listing")
    return await ctx.commits[COMMIT_LOOP].submit(UpdateListing(listing_id, seller_id, accepted))


def price_of(given: AmountInput, *path: str) -> Money:
    """The price; raises ValidationError unless it is more than zero and exact in its currency."""
    return ledger.positive(given["amount"], given["currency"], *path)


def _accepted(changes: Mapping[str, Any]) -> ListingChanges:
    accepted: ListingChanges = {}
    if cleared := [name for name, value in changes.items() if value is None and name not in ("stock", "photos")]:
        raise ValidationError("This cannot be cleared: leave it out to keep it", cleared[0])
    if "title" in changes:
        accepted["title"] = trimmed(changes["title"], "title", most=MAX_TITLE)
    if "description" in changes:
        accepted["description"] = trimmed(changes["description"], "description", most=MAX_DESCRIPTION)
    if "category" in changes:
        accepted["category"] = trimmed(changes["category"], "category", most=MAX_CATEGORY)
    if "price" in changes:
        accepted["price"] = _price(changes["price"])
    if "photos" in changes:
        accepted["photos"] = checked_media(changes["photos"] or (), "photos")
    if "stock" in changes:
        accepted["stock"] = _stock(changes["stock"])
    if "state" in changes:
        accepted["state"] = _next_state(changes["state"])
    return accepted


def _next_state(state: ListingState) -> ListingState:
    if state is ListingState.SOLD_OUT:
        raise ValidationError("SOLD_OUT comes by itself: set the stock to 0", "state")
    return state


def _price(given: AmountInput) -> Money:
    return price_of(given, "price")


def _stock(stock: int | None) -> int | None:
    if stock is not None and not 0 <= stock <= MAX_STOCK:
        raise ValidationError(f"The stock must be 0 to {MAX_STOCK:,}, not {stock:,}", "stock")
    return stock


def _bound(given: AmountInput | None, name: str) -> Money | None:
    if given is None:
        return None
    units = ledger.minor_units(given["amount"], given["currency"], name)
    if units < 0:
        raise ValidationError("A price is not below zero", name, "amount")
    return ledger.money(units, given["currency"])


def _own_merchant_id(ctx: Context) -> str | None:
    return None if ctx.viewer.user_id is None else store.merchant_id(ctx.viewer.user_id)
