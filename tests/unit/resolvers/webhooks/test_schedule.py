"""What an attempt means: when the next one is, when an event is given up, and when its endpoint is disabled."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores.webhooks import DeliveryState
from resolvers.webhooks import SCHEDULE, judge

START = datetime(2026, 1, 1)


def endpoint(**more: Any) -> Any:
    return {"head": None, "dead_in_a_row": 0, **more}


def attempt(at: datetime, status: int | None = 500) -> Any:
    ok = status is not None and 200 <= status <= 299
    return {"at": at, "status_code": status, "duration_ms": 1, "error": None if ok else "STATUS"}


def failures(jitter: float) -> tuple[list[float], Any]:
    """The waits between attempts that all fail, and the last verdict."""
    known, at = endpoint(), START
    waits: list[float] = []
    while True:
        verdict = judge(known, 7, attempt(at), at, jitter=jitter)
        if verdict.next_attempt_at is None:
            return waits, verdict
        known |= verdict.changes
        waits.append((verdict.next_attempt_at - at).total_seconds())
        at = verdict.next_attempt_at


def test_an_event_is_tried_for_three_days_and_then_given_up() -> None:
    waits, last = failures(jitter=0.5)

    assert waits[:9] == list(SCHEDULE.delays_s) == [5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200]
    assert sum(waits) == timedelta(days=3).total_seconds()
    assert len(waits) == 14
    assert last.state is DeliveryState.DEAD
    assert (last.changes["cursor"], last.changes["dead_in_a_row"], last.disabled) == (7, 1, None)


@given(st.floats(0, 1))
def test_jitter_moves_an_attempt_by_a_tenth_and_never_past_the_third_day(jitter: float) -> None:
    waits, _ = failures(jitter)

    assert sum(waits) == pytest.approx(timedelta(days=3).total_seconds(), abs=0.001)
    for wait, planned in zip(waits[:9], SCHEDULE.delays_s, strict=True):
        assert 0.9 * planned - 0.001 <= wait <= 1.1 * planned + 0.001


@pytest.mark.parametrize(
    ("asked_s", "waits_s"),
    [(0.0, 5), (1.0, 5), (90.0, 90), (43_200.0, 43_200), (43_201.0, 43_200), (1e30, 43_200)],
)
def test_an_endpoint_that_says_when_to_come_back_is_not_asked_before(asked_s: float, waits_s: float) -> None:
    said: Any = {**attempt(START, 503), "retry_after_s": asked_s}

    verdict = judge(endpoint(), 7, said, START, jitter=0.5)

    assert verdict.next_attempt_at == START + timedelta(seconds=waits_s)


def test_what_an_endpoint_asks_for_does_not_move_the_last_attempt() -> None:
    at = START + timedelta(days=3) - timedelta(hours=1)
    known = endpoint(head={"seq": 7, "tries": 13, "first_tried_at": START})

    said: Any = {**attempt(at, 429), "retry_after_s": 40_000.0}

    verdict = judge(known, 7, said, at, jitter=0.5)

    assert verdict.next_attempt_at == START + timedelta(days=3)


def test_a_success_moves_the_place_and_forgets_what_failed() -> None:
    known = endpoint(head={"seq": 7, "tries": 3, "first_tried_at": START}, dead_in_a_row=1)

    verdict = judge(known, 7, attempt(START, 204), START, jitter=0.5)

    assert verdict.state is DeliveryState.DELIVERED
    assert verdict.changes == {
        "cursor": 7,
        "head": None,
        "next_attempt_at": None,
        "dead_in_a_row": 0,
        "last_delivered_at": START,
    }


def test_the_tries_of_another_event_do_not_count() -> None:
    known = endpoint(head={"seq": 6, "tries": 9, "first_tried_at": START - timedelta(days=3)})

    verdict = judge(known, 7, attempt(START), START, jitter=0.5)

    assert verdict.state is DeliveryState.PENDING
    assert verdict.next_attempt_at == START + timedelta(seconds=5)
    assert verdict.changes["head"] == {"seq": 7, "tries": 1, "first_tried_at": START}


def test_the_second_dead_letter_in_a_row_disables() -> None:
    head = {"seq": 7, "tries": 14, "first_tried_at": START}
    at = START + timedelta(days=3)

    verdict = judge(endpoint(head=head, dead_in_a_row=1), 7, attempt(at, None), at, jitter=0.5)

    assert verdict.state is DeliveryState.DEAD
    assert verdict.disabled == "DEAD_LETTERS"
    assert (verdict.changes["enabled"], verdict.changes["cursor"]) == (False, 7)


def test_gone_disables_and_leaves_the_event_where_it_is() -> None:
    verdict = judge(endpoint(), 7, attempt(START, 410), START, jitter=0.5)

    assert (verdict.state, verdict.disabled) == (DeliveryState.PENDING, "GONE")
    assert "cursor" not in verdict.changes
