"""Who looks: what passes between people and is not kept is told only while somebody, in any process, looks at it.

Whoever looks says so at once and every 20 s, by a signal to all processes; what was said holds for 50 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from datastores.mongo import Database, Document
from datastores.signals import publish
from datastores.tasks import cancelled

CALLS: Final = "attention"
EVERYWHERE: Final = "everywhere"
CALL_EVERY_S: Final = 20.0
CALL_HOLDS_S: Final = 50.0

_log: Final = logging.getLogger(__name__)
People = Callable[[], Awaitable[Sequence[str]]]


class Renewals:
    """Looks that are renewed: one for each topic, however many look at it here, for as long as any of them does."""

    def __init__(self, every_s: float = CALL_EVERY_S) -> None:
        self._every_s = every_s
        self._held: dict[tuple[str, str], tuple[int, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._held)

    @asynccontextmanager
    async def hold(self, channel: str, topic: str, renew: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Call `renew` every so often while the block runs, unless somebody else's is called already."""
        key = (channel, topic)
        count, task = self._held.get(key) or (
            0,
            asyncio.create_task(_every(self._every_s, renew), name=f"look at {channel}"),
        )
        self._held[key] = (count + 1, task)
        try:
            yield
        finally:
            count, task = self._held.pop(key)
            if count > 1:
                self._held[key] = (count - 1, task)
            else:
                await cancelled([task])


class Attention(Protocol):
    """What somebody looks at, in any process; see `gateway/live/attention.py`."""

    @property
    def renewals(self) -> Renewals:
        """The looks of this process."""
        ...

    def is_wanted(self, channel: str, topic: str) -> bool:
        """Whether somebody looks at this, or it is not known yet."""
        ...

    async def until_wanted(self, channel: str, topic: str) -> None:
        """Return once this process knows that somebody looks at this, or after 5 s."""
        ...


class Always:
    """An attention that never ends, for contexts of no process in particular."""

    def __init__(self) -> None:
        self.renewals = Renewals()

    def is_wanted(self, channel: str, topic: str) -> bool:
        return True

    async def until_wanted(self, channel: str, topic: str) -> None:
        return None


async def call(database: Database, channel: str, topic: str, *, people: Sequence[str] = (), is_first: bool) -> None:
    """Tell every process that somebody looks at this; the `people` are those whom it is about, at most 250."""
    message: Document = {"channel": channel, "topic": topic, "people": list(people), "is_first": is_first}
    await publish(database, CALLS, EVERYWHERE, message)


async def nobody() -> Sequence[str]:
    """No people in particular."""
    return ()


@asynccontextmanager
async def looking(
    database: Database, attention: Attention, channel: str, topic: str, people: People = nobody
) -> AsyncIterator[None]:
    """For as long as the block runs every process knows that somebody looks at this; this one from the beginning.

    `people` says whom it is about, at the beginning and at each renewal, of which there is one for all who look here.
    """

    async def renew() -> None:
        await call(database, channel, topic, people=await people(), is_first=False)

    await call(database, channel, topic, people=await people(), is_first=True)
    await attention.until_wanted(channel, topic)
    async with attention.renewals.hold(channel, topic, renew):
        yield


async def _every(seconds: float, renew: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await renew()
        except Exception as error:
            # The database is away; what was said holds for another while.
            _log.warning("attention was not renewed: %s", type(error).__name__)
