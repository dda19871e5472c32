"""Timers for waits that hardly ever come to their end, as those of requests, for which the loop's own are too dear.

A timing wheel (Varghese and Lauck, 1987): timers lie in slots of 50 ms, and one timer of the loop turns the wheel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, TypeVar

TICK_S: Final = 0.05

T = TypeVar("T")


class OverdueError(TimeoutError):
    """Work was given up since its time was over."""


class Timer:
    """A callback, which must not raise, that will be called unless it is cancelled first."""

    __slots__ = ("_slot", "callback")

    def __init__(self, slot: set[Timer], callback: Callable[[], object]) -> None:
        self.callback = callback
        self._slot = slot
        slot.add(self)

    def cancel(self) -> None:
        """Nothing is called; may be called at any time, and again."""
        self._slot.discard(self)


class Timers:
    """Timers of one loop, that of the first who asks. They end up to 100 ms late, never early, and in no context."""

    def __init__(self) -> None:
        self._slots: dict[int, set[Timer]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_turning = False

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def after(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` after so many seconds."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        number = int((loop.time() + delay_s) / TICK_S) + 1
        if (slot := self._slots.get(number)) is None:
            slot = self._slots[number] = set()
        if not self._is_turning:
            self._is_turning = True
            loop.call_later(TICK_S, self._turn, context=Context())
        return Timer(slot, callback)

    async def within(self, limit_s: float, work: Awaitable[T]) -> T:
        """What `work` returns or raises; it is cancelled, and OverdueError raised, after so many seconds."""
        task = asyncio.current_task()
        assert task is not None
        is_over = False

        def end() -> None:
            nonlocal is_over
            is_over = True
            task.cancel()

        before = task.cancelling()
        timer = self.after(limit_s, end)
        try:
            result = await work
        except (asyncio.CancelledError, Exception) as error:
            # Cancelled by the timer alone, or by somebody else as well?
            if is_over and task.uncancel() <= before:
                raise OverdueError from (None if isinstance(error, asyncio.CancelledError) else error)
            raise
        else:
            if is_over:
                task.uncancel()
            return result
        finally:
            timer.cancel()

    def _turn(self) -> None:
        assert self._loop is not None
        now = int(self._loop.time() / TICK_S)
        due = [self._slots.pop(number) for number, slot in sorted(self._slots.items()) if number <= now or not slot]
        self._is_turning = bool(self._slots)
        if self._is_turning:
            self._loop.call_later(TICK_S, self._turn, context=Context())
        for slot in due:
            # One that is called may cancel another.
            while slot:
                slot.pop().callback()
