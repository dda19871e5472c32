"""Virtual time: an event loop whose clock jumps to whatever is due next, so a history depends on its seed alone."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class StuckError(Exception):
    """Nothing is ready and nothing will ever be due: somebody waits for what nobody will do."""


class _Jumping(selectors.BaseSelector):
    """Sleeps by moving the clock. It never reports a socket: in a simulation there are none."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number: int = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return self._keys[number]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError("nothing is due any more, and somebody still waits")
        self.now_s += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual seconds from 0. What is ready runs in asyncio's own order; delays come from the seed."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        self.failed: list[BaseException] = []
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._jumping.now_s

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what a callback raised, of which nobody else hears; tasks without anybody who waits are of the dead."""
        if "handle" in context and isinstance(error := context.get("exception"), BaseException):
            self.failed.append(error)


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `main` returns, run in virtual time.

    Raises StuckError where it would wait for ever, and what callbacks have raised.
    """
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        outcome = runner.run(main())
    if loop.failed:
        raise loop.failed[0]
    return outcome
