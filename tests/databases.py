"""The database that the tests of a run share: made once with all indexes, and emptied where something was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient

from datastores.declarations import declared
from datastores.indexes import create_indexes
from datastores.mongo import Database

Client = MongoClient[dict[str, Any]]


class SharedDatabase:
    """One database of one run, by a client that lives as long as the run."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client
        self._raw = client.get_database(name)
        self._declared = frozenset(declared("INDEXES"))
        self._has_indexes = False

    async def complete(self, database: Database) -> None:
        """Create what is declared, unless it is there: of collections each time, of indexes once a run."""
        if self._has_indexes and self._declared <= set(self._raw.list_collection_names()):
            return
        await create_indexes(database)
        self._has_indexes = True

    def empty(self) -> None:
        """Delete every document."""
        for name in self.written():
            self._raw[name].delete_many({})

    def written(self) -> list[str]:
        """The collections that hold a document, by one command for all of them."""
        names = self._raw.list_collection_names()
        if not names:
            return []
        others = [{"$unionWith": {"coll": name, "pipeline": _name_if_any(name)}} for name in names[1:]]
        return [row["name"] for row in self._raw[names[0]].aggregate([*_name_if_any(names[0]), *others])]

    def drop(self) -> None:
        """Remove the database and all that is in it."""
        self._client.drop_database(self.name)


def _name_if_any(collection: str) -> Sequence[dict[str, Any]]:
    return [{"$limit": 1}, {"$project": {"_id": 0, "name": {"$literal": collection}}}]
