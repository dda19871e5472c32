"""Who listens in this process, and telling those who look: nothing is written while nobody does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from datastores.ids import new_id
from datastores.mongo import Database, Document
from datastores.signals import publish
from gateway.background import Background
from resolvers.attention import CALL_EVERY_S, CALL_HOLDS_S
from resolvers.conversations import PRESENCE

MAX_WATCHED: Final = 20_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watched:
    """A conversation that somebody looks at: its members, until when, and what was said of them last."""

    members: frozenset[str]
    until: float
    said_at: float = float("-inf")
    # None where nobody knows what was heard.
    said: frozenset[str] | None = frozenset()


class Presence(Background):
    """Counts who listens here, and tells those who look at a conversation; use as `async with Presence(database)`.

    At most 20,000 conversations are watched at once; past that the ones that were called for longest ago are left out.
    """

    task_name = "tell who is here"

    def __init__(self, database: Database, *, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._process_id = new_id("prc")
        self._here: Counter[str] = Counter()
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._of_member: dict[str, set[str]] = {}
        self._due: OrderedDict[str, None] = OrderedDict()
        self._is_due = asyncio.Event()

    @property
    def watched(self) -> int:
        """How many conversations somebody looks at."""
        return len(self._watched)

    @contextmanager
    def here(self, user_id: str | None) -> Iterator[None]:
        """This person listens for as long as the block runs."""
        if user_id is None:
            yield
            return
        self._count(user_id, 1)
        try:
            yield
        finally:
            self._count(user_id, -1)

    def called(self, message: Document) -> None:
        """Answer somebody who looks; a call that is only renewed is answered where what was said grows old."""
        if message["channel"] != PRESENCE:
            return
        now, id = self._now(), message["topic"]
        watched = self._watched.setdefault(id, _Watched(frozenset(), 0.0))
        watched.until = now + CALL_HOLDS_S
        self._watched.move_to_end(id)
        self._change_members(id, watched, frozenset(message["people"]))
        while len(self._watched) > MAX_WATCHED or next(iter(self._watched.values())).until <= now:
            old, forgotten = self._watched.popitem(last=False)
            self._change_members(old, forgotten, frozenset())
        if message["is_first"] or now - watched.said_at > CALL_EVERY_S / 2:
            watched.said_at = float("-inf")
            self._tell(id)

    def _count(self, user_id: str, by: int) -> None:
        before = self._here[user_id]
        self._here[user_id] += by
        if not self._here[user_id]:
            del self._here[user_id]
        if not (before and before + by):
            for id in self._of_member.get(user_id, ()):
                self._tell(id)

    def _change_members(self, id: str, watched: _Watched, members: frozenset[str]) -> None:
        for user_id in watched.members - members:
            self._of_member[user_id].discard(id)
            if not self._of_member[user_id]:
                del self._of_member[user_id]
        for user_id in members - watched.members:
            self._of_member.setdefault(user_id, set()).add(id)
        watched.members = members

    def _tell(self, id: str) -> None:
        self._due[id] = None
        self._is_due.set()

    async def run(self) -> None:
        """Forever tells what is due."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            while self._due:
                id, _ = self._due.popitem(last=False)
                try:
                    await self._say(id)
                except Exception as error:
                    # It is said again when whoever looks calls again.
                    _log.warning("who is here was not told", exc_info=error)

    async def _say(self, id: str) -> None:
        watched = self._watched.get(id)
        now = self._now()
        if watched is None or watched.until <= now:
            return
        here = frozenset(user_id for user_id in watched.members if user_id in self._here)
        # Whoever hears nothing takes nobody to be here.
        is_news = here != watched.said or (here and watched.said_at == float("-inf"))
        if not is_news:
            return
        # Before it is told: who calls meanwhile has not heard it, and makes it due again.
        watched.said, watched.said_at = here, now
        try:
            await publish(self._database, PRESENCE, id, {"process_id": self._process_id, "here": sorted(here)})
        except Exception:
            watched.said, watched.said_at = None, float("-inf")
            raise
