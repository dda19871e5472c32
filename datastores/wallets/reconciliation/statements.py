"""Statements: what a rail says of a day, taken into the database line by line, so that it can be looked up and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from pymongo import ASCENDING, IndexModel

from datastores.mongo import Database, Document
from datastores.wallets.rails import MAX_STATEMENT_PAGE, LineKind, RailDirection, StatementLine

from .movements import Totals

STATEMENTS: Final = "rail_statements"
LINES: Final = "rail_lines"
MAX_LINES: Final = 5_000_000
KEPT: Final = timedelta(days=100)
MAX_STATEMENTS: Final = 1_000
MAX_IDS: Final = 1_000

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    STATEMENTS: [IndexModel([("kept_until", ASCENDING)], expireAfterSeconds=0, name="kept_until")],
    LINES: [
        IndexModel([("rail", ASCENDING), ("day", ASCENDING), ("instruction_id", ASCENDING)], name="rail_day"),
        IndexModel([("instruction_id", ASCENDING)], name="instruction"),
        IndexModel([("kept_until", ASCENDING)], expireAfterSeconds=0, name="kept_until"),
    ],
}

OnPage = Callable[[int], Awaitable[None]]


class StatementError(Exception):
    """A statement that cannot be used: too long, or in pages that are."""


@dataclass(frozen=True, slots=True)
class LineSum:
    """Lines of one instruction that say the same: so many times `minor_units`; `reference` is that of one of them."""

    day: str
    kind: LineKind
    direction: RailDirection
    currency: str
    minor_units: int
    count: int
    reference: str


async def take_statement(
    database: Database,
    rail: str,
    day: str,
    pages: AsyncIterator[Sequence[StatementLine]],
    now: datetime,
    on_page: OnPage,
) -> Totals:
    """Keep the statement in place of any earlier one of that day, for 100 days; what came and went by it.

    Only one may do so at a time. Raises StatementError past 5,000,000 lines, and for a page of more than 1,000.
    """
    id, kept_until = f"{rail}/{day}", now + KEPT
    await database.delete_one(STATEMENTS, {"_id": id})
    await database.delete_many(LINES, {"rail": rail, "day": day})
    totals, taken = Totals(), 0
    async for page in pages:
        if len(page) > MAX_STATEMENT_PAGE or taken + len(page) > MAX_LINES:
            raise StatementError(f"the statement of {rail} for {day} is too long")
        documents = [_document(line, f"{id}/{taken + n}", rail, day, kept_until) for n, line in enumerate(page)]
        for line in page:
            way_back = line.kind is LineKind.RETURNED
            totals.add(
                line.amount["currency"],
                line.direction.opposite if way_back else line.direction,
                1,
                line.amount["minor_units"],
            )
        if documents:
            await database.insert_many(LINES, documents, ordered=False)
        taken += len(page)
        await on_page(taken)
    head = {"rail": rail, "day": day, "lines": taken, "taken_at": now, "kept_until": kept_until}
    await database.update_one(STATEMENTS, {"_id": id}, {"$set": head}, upsert=True)
    return totals


async def taken_days(database: Database, rail: str) -> set[str]:
    """The days whose statement of this rail is kept."""
    filter = {"_id": {"$gte": f"{rail}/", "$lt": f"{rail}0"}}
    found = await database.find(STATEMENTS, filter, limit=MAX_STATEMENTS, projection={"day": 1})
    return {statement["day"] for statement in found}


async def ids_after(database: Database, rail: str, day: str, last: str, limit: int) -> tuple[list[str], int]:
    """The ids above `last`, in order, of the day's next lines, and how many lines those are; at most `limit`."""
    filter = {"rail": rail, "day": day, "instruction_id": {"$gt": last}}
    shown = {"instruction_id": 1, "_id": 0}
    found = await database.find(
        LINES, filter, sort=[("rail", 1), ("day", 1), ("instruction_id", 1)], limit=limit, projection=shown
    )
    return list(dict.fromkeys(line["instruction_id"] for line in found)), len(found)


async def ids_with_lines(database: Database, rail: str, day: str, ids: Sequence[str]) -> set[str]:
    """Those of at most 1,000 ids that the day's statement has lines of."""
    filter = {"rail": rail, "day": day, "instruction_id": {"$in": list(ids)}}
    distinct: list[Document] = [{"$match": filter}, {"$group": {"_id": "$instruction_id"}}]
    return {row["_id"] for row in await database.aggregate(LINES, distinct)}


async def line_sums(database: Database, rail: str, ids: Sequence[str]) -> dict[str, list[LineSum]]:
    """By id what the kept statements of all days say of it; for at most 1,000 ids."""
    names = ("day", "kind", "direction", "currency", "minor_units")
    key = {"id": "$instruction_id", **{name: f"${name}" for name in names}}
    group = {"_id": key, "count": {"$sum": 1}, "reference": {"$first": "$reference"}}
    match = {"instruction_id": {"$in": list(ids)}, "rail": rail}
    found: dict[str, list[LineSum]] = {}
    for row in await database.aggregate(LINES, [{"$match": match}, {"$group": group}]):
        said = cast("dict[str, Any]", row["_id"])
        line = LineSum(
            said["day"],
            LineKind(said["kind"]),
            RailDirection(said["direction"]),
            said["currency"],
            said["minor_units"],
            row["count"],
            row["reference"],
        )
        found.setdefault(said["id"], []).append(line)
    return found


def _document(line: StatementLine, id: str, rail: str, day: str, kept_until: datetime) -> Document:
    return {
        "_id": id,
        "rail": rail,
        "day": day,
        # A line without an id of ours is a case of its own, which no id of ours can be.
        "instruction_id": line.id or f"?{line.reference}",
        "reference": line.reference,
        "kind": line.kind.value,
        "direction": line.direction.value,
        "minor_units": line.amount["minor_units"],
        "currency": line.amount["currency"],
        "value_at": line.value_at,
        "kept_until": kept_until,
    }
