"""The time as documents hold it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # documents hold naive UTC


def utc_now() -> datetime:
    """The time as documents hold it: naive UTC, whole milliseconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def milliseconds_of(time: datetime) -> int:
    """Unix time in whole milliseconds of a naive UTC time."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
