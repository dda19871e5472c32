"""Logs of one topic each, such as a person: rows numbered without a gap, appended by acts, read from any number on."""

from __future__ import annotations

from typing import Final, cast

from pymongo import ASCENDING

from .commit import Work
from .mongo import Database, Document

MAX_NUMBER: Final = 10**15 - 1


def row_id(topic: str, n: int) -> str:
    """The id of the `n`-th row of a log, 0 to 10**15 - 1: unique, and in the order of the numbers."""
    return f"{topic}/{n:015d}"


def next_number(work: Work, heads: str, topic: str) -> int:
    """The number of the topic's next row, taken; the act must have read the topic's document of `heads`."""
    head = work.get(heads, topic)
    n = 1 if head is None else cast(int, head["n"]) + 1
    if head is None:
        work.insert(heads, {"_id": topic, "n": n})
    else:
        work.update(heads, topic, n=n)
    return n


async def last_number(database: Database, heads: str, topic: str) -> int:
    """The number of the topic's newest row; 0 where there is none."""
    head = await database.find_one(heads, {"_id": topic})
    return 0 if head is None else cast(int, head["n"])


async def rows_after(database: Database, collection: str, topic: str, after: int, limit: int) -> list[Document]:
    """At most `limit` rows of the topic with numbers past `after`, in order."""
    past = {"_id": {"$gt": row_id(topic, after), "$lte": row_id(topic, MAX_NUMBER)}}
    return await database.find(collection, past, sort=[("_id", ASCENDING)], limit=limit)
