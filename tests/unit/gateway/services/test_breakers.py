"""The breaker opens after 5 failures in a row, tries one call after a while, and closes when that one succeeds."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from gateway.services.breakers import MAX_FAILURES, MAX_OPEN_S, OPEN_S, Breaker, OpenBreakerError, ServiceFailedError


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ServiceFailedError), breaker.call():
            raise ServiceFailedError("failure")


def state_of(breaker: Breaker) -> str:
    """Read anew: it changes with what is called."""
    return breaker.state


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, MAX_FAILURES - 1)
    with breaker.call():
        pass
    fail(breaker, MAX_FAILURES - 1)

    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"
    with pytest.raises(OpenBreakerError), breaker.call():
        pass


def test_it_lets_one_call_try_at_a_time(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, MAX_FAILURES)
    clock.time += OPEN_S

    with breaker.call():
        with pytest.raises(OpenBreakerError), breaker.call():
            pass
        assert state_of(breaker) == "half-open"

    assert state_of(breaker) == "closed"


def test_a_trial_that_fails_opens_it_for_longer_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, MAX_FAILURES)
    waits = []

    for _ in range(8):
        before = clock.time
        while breaker.state == "open":
            clock.time += 0.5
        waits.append(clock.time - before)
        fail(breaker)

    assert waits[:4] == [OPEN_S, 2 * OPEN_S, 4 * OPEN_S, 8 * OPEN_S]
    assert waits[-1] == MAX_OPEN_S


def test_after_it_has_closed_it_opens_for_the_first_time_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, MAX_FAILURES)
    clock.time += OPEN_S
    fail(breaker)
    clock.time += 2 * OPEN_S
    with breaker.call():
        pass

    fail(breaker, MAX_FAILURES)
    clock.time += OPEN_S

    assert breaker.state == "half-open"


def test_a_trial_that_is_broken_off_leaves_the_next_one_to_try(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, MAX_FAILURES)
    clock.time += OPEN_S

    with pytest.raises(KeyboardInterrupt), breaker.call():
        raise KeyboardInterrupt

    with breaker.call():
        pass
    assert breaker.state == "closed"


@pytest.mark.parametrize("fails", [True, False])
def test_a_call_from_before_it_opened_changes_nothing(breaker: Breaker, clock: Clock, fails: bool) -> None:
    @contextmanager
    def ended_late():  # type: ignore[no-untyped-def]
        try:
            with breaker.call():
                yield
                if fails:
                    raise ServiceFailedError("failure")
        except ServiceFailedError:
            pass

    with ended_late():
        fail(breaker, MAX_FAILURES)
        clock.time += OPEN_S
        state = breaker.state

    assert breaker.state == state == "half-open"
