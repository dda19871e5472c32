"""The filters of windows on a real database: each page begins where the one before it ended, whatever is equal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from datastores.mongo import Database
from datastores.paging import Window, keyset

NOON = datetime(2026, 11, 29, 12)
# Most moments are those of several.
BOOKS = [
    {"_id": f"b{number:02}", "at": NOON + timedelta(minutes=number // 3), "price": number % 2} for number in range(12)
]


@pytest.mark.parametrize("few_ties", [False, True])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    "order",
    [
        [("_id", -1)],
        [("at", -1), ("_id", -1)],
        [("at", 1), ("_id", -1)],
        [("price", -1), ("at", 1), ("_id", -1)],
        [("price", 1), ("at", 1), ("_id", 1)],
    ],
    ids=str,
)
async def test_past_every_key_is_what_comes_after_it(
    database: Database, order: Sequence[tuple[str, int]], backward: bool, few_ties: bool
) -> None:
    await database.insert_many("books", BOOKS)
    names = [name for name, _ in order]
    _, sort = keyset(order, Window("", 99, backward, None))
    all_in_order = await database.find("books", {}, limit=99, sort=sort)
    assert len(all_in_order) == len(BOOKS)

    for place, book in enumerate(all_in_order):
        window = Window("", 99, backward, tuple(book[name] for name in names))
        past, sort = keyset(order, window, few_ties=few_ties)

        assert await database.find("books", past, limit=99, sort=sort) == all_in_order[place + 1 :]


@pytest.mark.parametrize("few_ties", [False, True])
@pytest.mark.parametrize("way", [1, -1])
async def test_a_key_of_what_is_there_no_more_keeps_its_place(database: Database, few_ties: bool, way: int) -> None:
    await database.insert_many("books", BOOKS)
    gone = BOOKS[4]
    await database.delete_many("books", {"_id": gone["_id"]})

    past, sort = keyset(
        [("at", way), ("_id", way)], Window("", 99, False, (gone["at"], gone["_id"])), few_ties=few_ties
    )
    found = await database.find("books", past, limit=99, sort=sort)

    assert [book["_id"] for book in found] == (
        [book["_id"] for book in BOOKS[5:]] if way > 0 else [book["_id"] for book in BOOKS[3::-1]]
    )
