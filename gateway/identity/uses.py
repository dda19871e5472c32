"""When the keys of partners were last used: noted at most once a minute a key, and never waited for."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

MAX_KEYS: Final = 10_000
NOTED_EVERY_S: Final = 60.0

NoteUse = Callable[[str], Awaitable[None]]
"""Writes that the key of this id was used now, unless another process has just done so."""

_log = structlog.get_logger(__name__)


class KeyUses:
    """Notes uses of keys. Remembers for at most 10,000 keys when that was; for the others it asks the database."""

    def __init__(self, note: NoteUse, clock: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._clock = clock
        self._noted: OrderedDict[str, float] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()

    def used(self, key_id: str) -> None:
        """The key was used now."""
        now = self._clock()
        if now - self._noted.get(key_id, float("-inf")) < NOTED_EVERY_S:
            return
        self._noted[key_id] = now
        self._noted.move_to_end(key_id)
        while len(self._noted) > MAX_KEYS:
            self._noted.popitem(last=False)
        task = asyncio.create_task(self._write(key_id), name="note the use of a key")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writing)

    async def _write(self, key_id: str) -> None:
        try:
            await self._note(key_id)
        except Exception as error:
            # It is noted at the next use past the minute; whoever uses the key must not notice.
            _log.info("the use of a key was not noted", exc_info=error)
