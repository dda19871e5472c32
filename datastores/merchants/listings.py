"""Listings: what merchants offer, the rules of its state and stock, and the acts that change them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.commit import Read, Work, by_id
from datastores.errors import ConflictError, ForbiddenError, NotFoundError
from datastores.ids import derived_id, id_at, is_id
from datastores.ledger import Money
from datastores.lists import windows
from datastores.mongo import Database, Document, insert_in_batches
from datastores.paging import Window
from datastores.words import folded, words

LISTINGS: Final = "listings"
MAX_STOCK: Final = 1_000_000_000
MAX_TITLE_WORDS: Final = 30
MAX_TEXT_WORDS: Final = 100
EVERY: Final = "*"
SHOWN: Final = {"tokens": 0}
BY_TIME: Final = [("tokens", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]
BY_PRICE: Final = [
    ("tokens", ASCENDING),
    ("price.currency", ASCENDING),
    ("price.minor_units", ASCENDING),
    ("_id", ASCENDING),
]
_OF_MERCHANT: Final = [
    ("merchant_id", ASCENDING),
    ("public", ASCENDING),
    ("created_at", DESCENDING),
    ("_id", DESCENDING),
]


class ListingKind(StrEnum):
    """What is offered: a thing to send, a file, or work."""

    GOOD = "GOOD"
    DIGITAL = "DIGITAL"
    SERVICE = "SERVICE"


class ListingState(StrEnum):
    """DRAFT and ARCHIVED are their seller's alone to see; only ACTIVE ones can be ordered and are found by search."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    SOLD_OUT = "SOLD_OUT"
    ARCHIVED = "ARCHIVED"


_HIDDEN: Final = (ListingState.DRAFT, ListingState.ARCHIVED)
_ACTIVE: Final = {"state": ListingState.ACTIVE.value}

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    LISTINGS: [
        IndexModel(_OF_MERCHANT, name="of_merchant"),
        IndexModel(BY_TIME, name="by_time", partialFilterExpression=_ACTIVE),
        IndexModel(BY_PRICE, name="by_price", partialFilterExpression=_ACTIVE),
    ],
}


class ListingDocument(TypedDict):
    """An offer. `stock` is what is left to order, None without limit; `public` follows from `state`.

    `tokens` are what it is found by, and never shown.
    """

    _id: str
    merchant_id: str
    seller_id: str
    title: str
    description: str
    category: str
    kind: str
    price: Money
    photos: list[Document]
    stock: int | None
    state: str
    public: bool
    created_at: datetime
    tokens: list[str]


class ListingChanges(TypedDict, total=False):
    """What of a listing changes; a key that is absent stays as it is."""

    title: str
    description: str
    category: str
    price: Money
    photos: list[Document]
    stock: int | None
    state: ListingState


def listing_document(
    *,
    merchant_id: str,
    seller_id: str,
    title: str,
    description: str,
    category: str,
    kind: ListingKind,
    price: Money,
    photos: Sequence[Document] = (),
    stock: int | None = None,
    state: ListingState = ListingState.ACTIVE,
    created_at: datetime,
    random_bits: int | None = None,
) -> ListingDocument:
    """A new listing; the id carries `created_at` and, where given, the 80 `random_bits`."""
    settled = settled_state(state, stock)
    return {
        "_id": id_at("lst", created_at, random_bits),
        "merchant_id": merchant_id,
        "seller_id": seller_id,
        "title": title,
        "description": description,
        "category": category,
        "kind": kind.value,
        "price": price,
        "photos": list(photos),
        "stock": stock,
        "state": settled.value,
        "public": is_public(settled),
        "created_at": created_at,
        "tokens": _tokens(title, description, category),
    }


def is_public(state: str) -> bool:
    """Whether everybody may see a listing in this state."""
    return state not in _HIDDEN


def settled_state(state: ListingState, stock: int | None) -> ListingState:
    """The state that a listing has with this stock: without any left, what is ACTIVE is SOLD_OUT, and the reverse."""
    if state is ListingState.ACTIVE and stock == 0:
        return ListingState.SOLD_OUT
    if state is ListingState.SOLD_OUT and stock != 0:
        return ListingState.ACTIVE
    return state


def title_token(word: str) -> str:
    """The token of a word that stands in the title."""
    return f"={word}"


def category_token(category: str) -> str:
    """The token of a category, in any case."""
    return f"category:{folded(category)}"


def add_stock(work: Work, listing_id: str, quantity: int) -> None:
    """Take this many away (less than zero) or give them back; nothing where the stock has no limit.

    The caller has read the listing and has seen that there are enough.
    """
    listing = work.get(LISTINGS, listing_id)
    if listing is None or listing["stock"] is None:
        return
    stock = min(listing["stock"] + quantity, MAX_STOCK)
    state = settled_state(ListingState(listing["state"]), stock)
    work.update(LISTINGS, listing_id, stock=stock, state=state.value)


@dataclass(frozen=True, slots=True)
class UpdateListing:
    """Changes a listing by its seller, in one order with the orders that take from its stock.

    Raises NotFoundError, ForbiddenError for a listing of somebody else, ConflictError for one that is archived, and
    for making a draft of one that was published.
    """

    listing_id: str
    seller_id: str
    changes: ListingChanges

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(LISTINGS, self.listing_id)]

    def decide(self, work: Work) -> ListingDocument:
        listing = cast("ListingDocument | None", work.get(LISTINGS, self.listing_id))
        if listing is None or not (listing["public"] or listing["seller_id"] == self.seller_id):
            raise NotFoundError("There is no such listing")
        if listing["seller_id"] != self.seller_id:
            raise ForbiddenError("Only its seller may change a listing")
        if listing["state"] == ListingState.ARCHIVED:
            raise ConflictError("The listing is archived: make a new one")
        if not self.changes:
            return listing
        changed = cast(ListingDocument, {**listing, **self.changes})
        if changed["state"] == ListingState.DRAFT and listing["state"] != ListingState.DRAFT:
            raise ConflictError("The listing was published: pause or archive it")
        state = settled_state(ListingState(changed["state"]), changed["stock"])
        derived = {
            "state": state.value,
            "public": is_public(state),
            "tokens": _tokens(changed["title"], changed["description"], changed["category"]),
        }
        return cast(ListingDocument, work.update(LISTINGS, self.listing_id, **{**self.changes, **derived}))


async def hide_listings(database: Database, seller_id: str, state: ListingState) -> None:
    """Let none of a person's listings be ordered any more: PAUSED, or for ever ARCHIVED."""
    merchant_id = derived_id("mer", seller_id)
    orderable = [ListingState.ACTIVE.value, ListingState.SOLD_OUT.value]
    of = {"$in": orderable} if state is ListingState.PAUSED else {"$ne": state.value}
    changed = {"state": state.value, "public": is_public(state)}
    both = {"$in": [True, False]}
    await database.update_many(LISTINGS, {"merchant_id": merchant_id, "public": both, "state": of}, {"$set": changed})


async def insert_listings(database: Database, documents: Sequence[ListingDocument]) -> None:
    """Insert listings, any number; those whose ids are there already stay as they are."""
    await insert_in_batches(database, LISTINGS, cast("list[Document]", documents))


async def listings_by_ids(database: Database, ids: Sequence[str]) -> list[Document | None]:
    """For each id the listing or None, whatever its state; one read."""
    found = await database.by_ids(LISTINGS, [id for id in ids if is_id("lst", id)], projection=SHOWN)
    known = {document["_id"]: document for document in found if document is not None}
    return [known.get(id) for id in ids]


async def listings_of(
    database: Database, merchant_ids: Sequence[str], own: str | None, window: Window
) -> list[list[Document]]:
    """For each merchant what `window` reads of its listings, newest first; those that are hidden only for `own`.

    The key of the window is `(created_at, _id)`.
    """
    order = [("created_at", DESCENDING), ("_id", DESCENDING)]
    where: Mapping[str, Mapping[str, Any]] = {
        id: {"public": {"$in": [True, False]} if id == own else True} for id in merchant_ids
    }
    return await windows(database, LISTINGS, "merchant_id", merchant_ids, order, window, projection=SHOWN, where=where)


def _tokens(title: str, description: str, category: str) -> list[str]:
    titled = words(title, limit=MAX_TITLE_WORDS)
    found = dict.fromkeys([*titled, *words(category, limit=MAX_TITLE_WORDS), *words(description, limit=MAX_TEXT_WORDS)])
    return [EVERY, category_token(category), *map(title_token, titled), *found]
