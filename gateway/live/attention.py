"""What somebody looks at, in any process of the gateway: heard from signals, remembered for 50 s."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from datastores.errors import GoingAwayError
from datastores.mongo import Document
from datastores.signals import SIGNALS, topic_of
from gateway.background import Background
from resolvers.attention import CALL_HOLDS_S, CALLS, EVERYWHERE, Renewals
from resolvers.context import Hub, MissedRowsError

MAX_KNOWN: Final = 100_000
WAIT_S: Final = 5.0
PAUSE_S: Final = 1.0

OnCall = Callable[[Document], None]
_log = structlog.get_logger(__name__)


class Attention(Background):
    """Implements `resolvers.attention.Attention`; use as `async with Attention(hub)`.

    A process that has just started, or missed something, takes everything for wanted for 50 s. At most 100,000 topics
    are known; past that the ones that were called for longest ago are forgotten. `on_call` is told of every call.
    """

    task_name = "hear who looks"

    def __init__(
        self, hub: Hub, on_call: OnCall = lambda message: None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.renewals = Renewals()
        self._hub = hub
        self._on_call = on_call
        self._now = now
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._waiting: dict[tuple[str, str], asyncio.Event] = {}
        self._knows_from = now() + CALL_HOLDS_S

    def __len__(self) -> int:
        return len(self._until)

    def is_wanted(self, channel: str, topic: str) -> bool:
        """Whether somebody looks at this, or it is not known yet."""
        now = self._now()
        return now < self._knows_from or self._until.get((channel, topic), 0.0) > now

    async def until_wanted(self, channel: str, topic: str) -> None:
        """Return once a call for this was heard here, or after 5 s."""
        key = (channel, topic)
        if self._until.get(key, 0.0) > self._now():
            return
        event = self._waiting.setdefault(key, asyncio.Event())
        try:
            async with asyncio.timeout(WAIT_S):
                await event.wait()
        except TimeoutError:
            _log.warning("a call for attention was not heard here", channel=channel)
        finally:
            if self._waiting.get(key) is event:
                del self._waiting[key]

    def heard(self, message: Document) -> None:
        """Remember a call."""
        now = self._now()
        key = (message["channel"], message["topic"])
        self._until[key] = now + CALL_HOLDS_S
        self._until.move_to_end(key)
        while self._until and (len(self._until) > MAX_KNOWN or next(iter(self._until.values())) <= now):
            self._until.popitem(last=False)
        if (event := self._waiting.pop(key, None)) is not None:
            event.set()
        self._on_call(message)

    async def run(self) -> None:
        """Hear calls until the process stops."""
        while True:
            try:
                async with self._hub.open(SIGNALS, [topic_of(CALLS, EVERYWHERE)]) as feed:
                    self._knows_from = self._now() + CALL_HOLDS_S
                    while True:
                        try:
                            self.heard((await feed.take())["message"])
                        except MissedRowsError:
                            self._knows_from = self._now() + CALL_HOLDS_S
            except GoingAwayError:
                return
            except Exception as error:
                _log.warning("calls for attention cannot be heard now", exc_info=error)
            await asyncio.sleep(PAUSE_S)
