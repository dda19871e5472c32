"""All collections and their indexes, gathered from the `INDEXES` of every module of this package."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

from pymongo import IndexModel

from .mongo import Database


def declared() -> dict[str, Sequence[IndexModel]]:
    """Collection name → indexes, from each datastore's `INDEXES`; a collection declared twice is a TypeError."""
    package = import_module(__package__)
    out: dict[str, Sequence[IndexModel]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        found: dict[str, Sequence[IndexModel]] = getattr(import_module(f"{__package__}.{module.name}"), "INDEXES", {})
        if twice := out.keys() & found.keys():
            raise TypeError(f"collections declared twice: {', '.join(sorted(twice))}")
        out |= found
    return out


async def create_indexes(database: Database) -> None:
    """Create every declared collection and index that is not there yet."""
    await database.create_collections(declared())
