"""Whether the process is stopping, and what is still under way in it."""

from __future__ import annotations

import asyncio


class Drain:
    """Counts requests and sockets under way; once started, nothing new is let in."""

    def __init__(self) -> None:
        self._is_draining = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._under_way = 0

    @property
    def is_draining(self) -> bool:
        """Whether the process is stopping."""
        return self._is_draining

    @property
    def under_way(self) -> int:
        """How many requests and sockets have not ended."""
        return self._under_way

    def start(self) -> None:
        """Let nothing new in from now on; what is under way goes on, and sockets are to close themselves."""
        self._is_draining = True

    async def idle(self, timeout_s: float) -> bool:
        """Whether all that was under way has ended, at the latest after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    def begin(self) -> None:
        """One more request or socket is under way, until `end` is called for it."""
        self._under_way += 1
        if self._under_way == 1:
            self._is_idle.clear()

    def end(self) -> None:
        """One has ended."""
        self._under_way -= 1
        if not self._under_way:
            self._is_idle.set()
