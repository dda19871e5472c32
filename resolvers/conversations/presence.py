"""Who of a conversation is here: told by every process while a member looks, and kept by nobody.

A process answers each call with those of the members who listen to anything there. It is believed for 50 s, unless it
says something else or the call is renewed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from datastores.mongo import Document
from datastores.signals import SIGNALS, topic_of
from resolvers.attention import CALL_HOLDS_S, call, looking
from resolvers.audiences import CaughtUpError
from resolvers.context import Context, Feed, MissedRowsError

from .access import conversation_of_viewer
from .streams import member_ids

PRESENCE: Final = "presence"
# Whoever changes from one network or process to another is not said to have gone.
LINGER_S: Final = 3.0
LONG_S: Final = 3_600.0


async def presence(ctx: Context, *, conversation_id: str) -> AsyncGenerator[Document, None]:
    """Who of the other members is here, and from then on who comes and goes; at first nobody is taken to be here.

    Somebody is here who listens to any subscription, in any process; they are gone 3 s after the last one ended, and
    50 s after the process that they were connected to died. Ends at the next change where the viewer is no member any
    more. Raises NotFoundError unless the viewer is a member, and UnavailableError and GoingAwayError as `follow` does.
    """
    await conversation_of_viewer(ctx, conversation_id)
    if ctx.listening.part == "past":
        raise CaughtUpError

    async def people() -> list[str]:
        return await member_ids(ctx, conversation_id)

    sightings = Sightings()
    topics = [topic_of(PRESENCE, conversation_id)]
    async with (
        ctx.hub.open(SIGNALS, topics, coalesce=lambda row: row["message"]["process_id"]) as feed,
        looking(ctx.database, ctx.attention, PRESENCE, conversation_id, people),
    ):
        ctx.listening.on_live(0)
        while True:
            try:
                if (row := await _within(feed, sightings.wait_s(time.monotonic()))) is not None:
                    sightings.note(row["message"], time.monotonic())
            except MissedRowsError:
                await call(ctx.database, PRESENCE, conversation_id, people=await people(), is_first=True)
            if not (changes := sightings.changes(time.monotonic())):
                continue
            members = await people()
            if ctx.viewer.user_id not in members:
                return
            for user_id, online in changes.items():
                if user_id in members and user_id != ctx.viewer.user_id:
                    yield {"conversation_id": conversation_id, "user_id": user_id, "online": online}


class Sightings:
    """What processes said of who is there, and what was told of it; times in seconds of one clock."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[frozenset[str], float]] = {}
        self._told: set[str] = set()
        self._missing_since: dict[str, float] = {}

    def note(self, message: Mapping[str, Any], now: float) -> None:
        """Keep what a process says."""
        self._said[message["process_id"]] = (frozenset(message["here"]), now + CALL_HOLDS_S)

    def changes(self, now: float) -> dict[str, bool]:
        """Who has come (True) or gone (False) since it was asked last."""
        self._said = {process: said for process, said in self._said.items() if said[1] > now and said[0]}
        here = frozenset[str]().union(*(said[0] for said in self._said.values()))
        come = here - self._told
        missing = self._told - here
        self._missing_since = {user_id: self._missing_since.get(user_id, now) for user_id in missing}
        gone = {user_id for user_id, since in self._missing_since.items() if now - since >= LINGER_S}
        for user_id in gone:
            del self._missing_since[user_id]
        self._told = (self._told | come) - gone
        return dict.fromkeys(come, True) | dict.fromkeys(gone, False)

    def wait_s(self, now: float) -> float:
        """How long until somebody may have gone without a word."""
        moments = [until for _, until in self._said.values()]
        moments += [since + LINGER_S for since in self._missing_since.values()]
        return max(0.0, min(moments, default=now + LONG_S) - now)


async def _within(feed: Feed, seconds: float) -> Document | None:
    try:
        async with asyncio.timeout(seconds):
            return await feed.take()
    except TimeoutError:
        return None
