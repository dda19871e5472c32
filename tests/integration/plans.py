"""How the database carried out what the product asked of it, by its own profiler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from datastores.mongo import Database, Document

MAX_COMMANDS = 1_000


@dataclass(frozen=True)
class Plan:
    """One command that read or wrote: what it examined, and how it found it."""

    collection: str
    summary: str
    keys_examined: int
    documents_examined: int
    returned: int
    sorts_in_memory: bool

    @property
    def is_scan(self) -> bool:
        return "COLLSCAN" in self.summary


async def plans_of(database: Database, act: Callable[[], Awaitable[object]]) -> list[Plan]:
    """The plans of all commands of `act`; the database must be the test's own (`bare_database`)."""
    await database.command("profile", profile=2)
    await act()
    await database.command("profile", profile=0)
    ours = {"ns": {"$not": {"$regex": r"system\.profile$"}}, "planSummary": {"$exists": True}}
    rows = await database.find("system.profile", ours, limit=MAX_COMMANDS, sort=[("ts", 1)])
    return [_plan(row) for row in rows]


def _plan(row: Document) -> Plan:
    return Plan(
        collection=row["ns"].partition(".")[2],
        summary=row["planSummary"],
        keys_examined=row.get("keysExamined", 0),
        documents_examined=row.get("docsExamined", 0),
        returned=row.get("nreturned", 0),
        sorts_in_memory=row.get("hasSortStage", False),
    )
