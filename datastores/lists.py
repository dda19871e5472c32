"""Reads the same window of the lists of several parents at once: the number of commands does not grow with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .mongo import Database, Document, Filter, Sort
from .paging import Window, keyset

MAX_PARENTS: Final = 100


async def windows(
    database: Database,
    collection: str,
    parent: str,
    ids: Sequence[str],
    order: Sequence[tuple[str, int]],
    window: Window,
    *,
    projection: Mapping[str, int] | None = None,
    where: Mapping[str, Filter] | None = None,
) -> list[list[Document]]:
    """For each id up to `window.limit` documents whose `parent` key is that id, in the order of reading.

    One command for up to 100 ids. Needs an index on `parent` and then `order`, whose last key must be unique; a
    projection must keep `parent`. `where` says for ids what else must be so; the index must have it before `order`.
    """
    past, sort = keyset(order, window)
    once = list(dict.fromkeys(ids))
    filters = {id: {parent: id, **(where or {}).get(id, {}), **past} for id in once}
    if len(once) == 1:
        filter = filters[once[0]]
        found = await database.find(collection, filter, sort=sort, limit=window.limit, projection=projection)
    else:
        each = list(filters.values())
        chunks = [each[at : at + MAX_PARENTS] for at in range(0, len(each), MAX_PARENTS)]
        pipelines = [_union(collection, chunk, sort, window.limit, projection) for chunk in chunks]
        answers = await asyncio.gather(*(database.aggregate(collection, pipeline) for pipeline in pipelines))
        found = [document for answer in answers for document in answer]
    by_parent: dict[str, list[Document]] = {id: [] for id in once}
    for document in found:
        by_parent[document[parent]].append(document)
    return [by_parent[id] for id in ids]


def _union(
    collection: str,
    filters: Sequence[Filter],
    sort: Sort,
    limit: int,
    projection: Mapping[str, int] | None,
) -> list[dict[str, Any]]:
    def pipeline(filter: Filter) -> list[dict[str, Any]]:
        stages: list[dict[str, Any]] = [{"$match": dict(filter)}, {"$sort": dict(sort)}, {"$limit": limit}]
        return [*stages, {"$project": dict(projection)}] if projection else stages

    others = [{"$unionWith": {"coll": collection, "pipeline": pipeline(filter)}} for filter in filters[1:]]
    return pipeline(filters[0]) + others
