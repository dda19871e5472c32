"""Searching listings: by words, category and price, in four orders, each read off a token index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING

from datastores.mongo import Database, Document, Sort
from datastores.paging import Key, PageDocument, Window, keyset, page

from .listings import BY_PRICE, BY_TIME, EVERY, LISTINGS, SHOWN, ListingState, category_token, title_token

_IN_TITLE, _ELSEWHERE = 0, 1
_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]


class ListingSort(StrEnum):
    """RELEVANCE: those that have all words in the title first, then the newest; NEWEST without words."""

    RELEVANCE = "RELEVANCE"
    NEWEST = "NEWEST"
    PRICE_ASC = "PRICE_ASC"
    PRICE_DESC = "PRICE_DESC"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: all of `words` (folded), a category, a price from `least` to `most` in `currency`.

    Amounts are in minor units; without a currency, prices are sorted by currency first.
    """

    words: tuple[str, ...] = ()
    category: str | None = None
    currency: str | None = None
    least: int | None = None
    most: int | None = None
    sort: ListingSort = ListingSort.RELEVANCE

    @property
    def is_ranked(self) -> bool:
        """Whether some results are better than others."""
        return self.sort is ListingSort.RELEVANCE and bool(self.words)

    @property
    def is_by_price(self) -> bool:
        """Whether results are sorted by their prices."""
        return self.sort in (ListingSort.PRICE_ASC, ListingSort.PRICE_DESC)

    @property
    def scope(self) -> str:
        """The name of the list that this search makes, for its cursors."""
        parts = (" ".join(self.words), self.category, self.currency, self.least, self.most, self.sort)
        return "\x1f".join(["listings", *map(str, parts)])

    @property
    def key_types(self) -> tuple[type, ...]:
        """The types of the keys that results are sorted by, for windows."""
        if self.is_ranked:
            return (int, datetime, str)
        if self.is_by_price:
            return (int, str) if self.currency else (str, int, str)
        return (datetime, str)


async def search(database: Database, wanted: Search, window: Window) -> PageDocument:
    """A page of the ACTIVE listings that a search finds; the window has the search's `scope` and `key_types`."""
    if wanted.is_ranked:
        return page(await _ranked(database, wanted, window), window, _ranked_key)
    if wanted.is_by_price:
        order = _price_order(wanted)
        found = await _read(database, wanted, wanted.words, order, window, BY_PRICE)
        return page(found, window, _by_price_in_currency if wanted.currency else _by_price)
    return page(await _read(database, wanted, wanted.words, _NEWEST, window, BY_TIME), window, _by_time)


async def _ranked(database: Database, wanted: Search, window: Window) -> list[Document]:
    """The best first: what has all words in its title, then the others; at most two reads."""
    rank, past = (_IN_TITLE, None) if window.key is None else (window.key[0], window.key[1:])
    titles = tuple(map(title_token, wanted.words))
    found: list[Document] = []
    if rank == _IN_TITLE:
        best = Window(window.scope, window.size, False, past)
        found = [{**d, "rank": _IN_TITLE} for d in await _read(database, wanted, titles, _NEWEST, best, BY_TIME)]
        past = None
    if len(found) < window.limit:
        others = Window(window.scope, window.size - len(found), False, past)
        filter = {"tokens": {"$not": {"$all": list(titles)}}}
        rest = await _read(database, wanted, wanted.words, _NEWEST, others, BY_TIME, filter)
        found += [{**d, "rank": _ELSEWHERE} for d in rest]
    return found


async def _read(
    database: Database,
    wanted: Search,
    tokens: tuple[str, ...],
    order: Sort,
    window: Window,
    hint: Sort,
    also: dict[str, Any] | None = None,
) -> list[Document]:
    all_tokens = [*tokens, category_token(wanted.category)] if wanted.category else list(tokens)
    past, sort = keyset(order, window)
    parts: list[dict[str, Any]] = [{"tokens": {"$all": all_tokens or [EVERY]}}, also or {}, _priced(wanted), past]
    filter = {"state": ListingState.ACTIVE.value, "$and": [part for part in parts if part]}
    return await database.find(LISTINGS, filter, sort=sort, limit=window.limit, projection=SHOWN, hint=hint)


def _priced(wanted: Search) -> dict[str, Any]:
    if wanted.currency is None:
        return {}
    bounds = {"$gte": wanted.least, "$lte": wanted.most}
    given = {name: value for name, value in bounds.items() if value is not None}
    return {"price.currency": wanted.currency, **({"price.minor_units": given} if given else {})}


def _price_order(wanted: Search) -> list[tuple[str, int]]:
    way = ASCENDING if wanted.sort is ListingSort.PRICE_ASC else DESCENDING
    order = [("price.currency", way), ("price.minor_units", way), ("_id", way)]
    return order[1:] if wanted.currency else order


def _ranked_key(listing: Document) -> Key:
    return (listing["rank"], listing["created_at"], listing["_id"])


def _by_time(listing: Document) -> Key:
    return (listing["created_at"], listing["_id"])


def _by_price(listing: Document) -> Key:
    return (listing["price"]["currency"], *_by_price_in_currency(listing))


def _by_price_in_currency(listing: Document) -> Key:
    return (listing["price"]["minor_units"], listing["_id"])
