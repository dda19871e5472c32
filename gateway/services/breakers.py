"""A circuit breaker: a service that keeps failing is left alone for a while, then tried by one call at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

MAX_FAILURES: Final = 5
OPEN_S: Final = 2.0
MAX_OPEN_S: Final = 30.0

State = Literal["closed", "open", "half-open"]


class OpenBreakerError(Exception):
    """The service was not asked: it failed too often, and its time to be tried has not come."""


class ServiceFailedError(Exception):
    """A call failed in a way that says that the service is not well; `reason` is one word for the metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Breaker:
    """Opens after 5 failures in a row, for 2 s; then one call may try. Where it fails, it opens for twice as long, for
    30 s at most.

    Calls that began before it opened, and end after, neither close nor open it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._open_s = OPEN_S
        self._open_until: float | None = None
        self._is_trying = False
        self._round = 0

    @property
    def state(self) -> State:
        """`closed`: all calls go through; `open`: none does; `half-open`: one may, or is on its way."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half-open"

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a call, which fails by ServiceFailedError; raises OpenBreakerError where it may not be made."""
        is_trial = self.state != "closed"
        if is_trial:
            if self.state == "open" or self._is_trying:
                raise OpenBreakerError
            self._is_trying = True
        began = self._round
        try:
            yield
        except ServiceFailedError:
            if began == self._round:
                self._failed(is_trial=is_trial)
            raise
        else:
            if began == self._round:
                self._succeeded(is_trial=is_trial)
        finally:
            # A trial that was broken off says nothing: the next call is one.
            if is_trial:
                self._is_trying = False

    def _succeeded(self, *, is_trial: bool) -> None:
        self._failures = 0
        if is_trial:
            self._open_until, self._open_s = None, OPEN_S
            self._round += 1

    def _failed(self, *, is_trial: bool) -> None:
        self._failures += 1
        if is_trial:
            self._open_s = min(2 * self._open_s, MAX_OPEN_S)
        elif self._failures < MAX_FAILURES:
            return
        self._failures = 0
        self._open_until = self._clock() + self._open_s
        self._round += 1
