"""Leaves of compiled operations: they become what graphql-core makes of them, and what is kept of them is bounded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.execution.leaves import MAX_TIMES, Times
from gateway.execution.runs import ViolationError
from schema.scalars import write_time

NOON = datetime(2026, 5, 4, 12, 0, 0, 125_000)


class Later(datetime):
    """A time of a class of its own."""


@pytest.mark.parametrize(
    "time",
    [
        NOON,
        NOON.replace(tzinfo=UTC),
        NOON.replace(tzinfo=timezone(timedelta(hours=2))),
        Later(2026, 5, 4, 13),
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999_999),
    ],
)
def test_a_time_is_written_as_ever_the_first_time_and_the_second(time: datetime) -> None:
    times = Times()

    assert [times[time], times[time]] == [write_time(time)] * 2


@pytest.mark.parametrize("value", [None, 5, "2026-05-04T12:00:00Z", date(2026, 5, 4), [NOON], {}])
def test_what_is_no_time_is_left_to_graphql_core(value: Any) -> None:
    times = Times({NOON: write_time(NOON)})

    with pytest.raises((ViolationError, TypeError)):
        times[value]

    assert len(times) == 1


def test_no_more_times_are_kept_than_stated() -> None:
    times = Times()

    written = [times[NOON + timedelta(seconds=number)] for number in range(MAX_TIMES + 10)]

    assert written == [write_time(NOON + timedelta(seconds=number)) for number in range(MAX_TIMES + 10)]
    assert len(times) == 10
