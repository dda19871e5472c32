"""The time as documents hold it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time as documents hold it: naive UTC, whole milliseconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
