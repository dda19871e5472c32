"""Reads by id that are asked for at one moment, by whomever: one command for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .types import Document

# A larger read has little to gain, and the others would wait for it.
MAX_MERGED_IDS: Final = 500
MAX_IDS_OF_ONE: Final = 100

ByKey = Mapping[str, Document]
Key = tuple[str, str, frozenset[tuple[str, int]] | None]
Read = Callable[[list[str]], Awaitable[ByKey]]


@dataclass(slots=True)
class _Open:
    """What is about to be read: the ids, each with whether it is asked for twice, and those who wait for the first."""

    ids: dict[str, bool] = field(default_factory=dict)
    others: list[asyncio.Future[ByKey | None]] = field(default_factory=list)

    def add(self, ids: Sequence[str]) -> None:
        for id in ids:
            self.ids[id] = id in self.ids

    async def wait(self) -> ByKey | None:
        """What the first has read; None where it was cancelled."""
        waiting: asyncio.Future[ByKey | None] = asyncio.get_running_loop().create_future()
        self.others.append(waiting)
        return await waiting


class MergedReads:
    """Merges reads of one kind that are asked for in one turn of the loop.

    A read begins after all who get its answer have asked, so nobody is shown less than by a read of their own. Who
    comes first makes it for all; where that one is cancelled, the others ask anew. Each gets documents of their own,
    though not what lies within them. At most 500 ids go into one read, and none of whoever asks for more than 100.
    """

    def __init__(self) -> None:
        self._open: dict[Key, _Open] = {}

    async def by_ids(self, kind: Key, ids: Sequence[str], read: Read) -> list[Document | None]:
        """For each id its document or None, in the order of the ids. `read` is as all others of its `kind` are.

        Raises what `read` raises.
        """
        if len(ids) > MAX_IDS_OF_ONE:
            alone = await read(list(dict.fromkeys(ids)))
            return [alone.get(id) for id in ids]
        while True:
            together = self._open.get(kind)
            if together is None or len(together.ids) + len(ids) > MAX_MERGED_IDS:
                together = self._open[kind] = _Open()
                together.add(ids)
                found: ByKey | None = await self._lead(kind, together, read)
            else:
                together.add(ids)
                found = await together.wait()
            if found is not None:
                return [_own(found.get(id), is_shared=together.ids[id]) for id in ids]

    async def _lead(self, kind: Key, together: _Open, read: Read) -> ByKey:
        found: ByKey | None = None
        failure: Exception | None = None
        try:
            # Whoever else is ready to ask now does so before this goes on.
            await asyncio.sleep(0)
            self._close(kind, together)
            found = await read(list(together.ids))
            return found
        except Exception as error:
            failure = error
            raise
        finally:
            self._close(kind, together)
            for waiting in together.others:
                if waiting.done():
                    continue
                if failure is not None:
                    waiting.set_exception(failure)
                else:
                    waiting.set_result(found)

    def _close(self, kind: Key, together: _Open) -> None:
        if self._open.get(kind) is together:
            del self._open[kind]


def _own(document: Document | None, *, is_shared: bool) -> Document | None:
    return dict(document) if is_shared and document is not None else document
