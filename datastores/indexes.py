"""All collections and their indexes, gathered from the `INDEXES` of every module of this package."""

from __future__ import annotations

from .declarations import declared
from .mongo import Database


async def create_indexes(database: Database) -> None:
    """Create every declared collection and index that is not there yet."""
    await database.create_collections(declared("INDEXES"))
