"""The documents that runs read by id: each once, and those that are asked for at one moment together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from resolvers.context import Context
from schema.composition.domains import Load


class EntityLoads:
    """The documents of one entity; without `load`, stubs of those that another subgraph owns."""

    __slots__ = ("_context", "_done", "_load", "_open", "_reading")

    def __init__(self, context: Context, load: Load | None) -> None:
        self._context = context
        self._load = load
        self._done: dict[str, Any] = {}
        self._reading: dict[str, asyncio.Future[None]] = {}
        self._open: list[str] | None = None

    async def get(self, ids: Iterable[str]) -> dict[str, Any]:
        """By id the document, None, or the exception that reading it raised; an id is left out if it got no answer."""
        wanted = dict.fromkeys(ids)
        if self._load is None:
            return {id: {"_id": id} for id in wanted}
        done = self._done
        if missing := [id for id in wanted if id not in done]:
            await self._wait_for(missing)
        return {id: done[id] for id in wanted if id in done}

    async def _wait_for(self, missing: list[str]) -> None:
        reading = self._reading
        new = [id for id in missing if id not in reading]
        if new and self._open is None:
            await self._lead(new)
        elif new and self._open is not None:
            batch = reading[self._open[0]]
            self._open += new
            reading.update(dict.fromkeys(new, batch))
        for batch in {id: reading[id] for id in missing}.values():
            if not batch.done():
                # Whoever is cancelled here leaves the others waiting.
                await asyncio.shield(batch)

    async def _lead(self, new: list[str]) -> None:
        batch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading.update(dict.fromkeys(new, batch))
        self._open = new
        try:
            # Others who are about to ask at this moment get their turn first.
            await asyncio.sleep(0)
            self._open = None
            await self._read(new)
        finally:
            self._open = None
            if not batch.done():
                batch.set_result(None)

    async def _read(self, ids: list[str]) -> None:
        if self._load is None:
            return
        try:
            documents = list(await self._load(self._context, ids))
        except Exception as error:
            self._done.update(dict.fromkeys(ids, error))
            return
        if len(documents) == len(ids):
            self._done.update(zip(ids, documents, strict=True))


# By entity, for all runs of one event: of entities that are the same whoever asks.
CommonLoads = dict[type, EntityLoads]
