"""Ids: their form, the time they carry, and those that the same parts always give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from datastores.ids import RANDOM_BITS, derived_id, id_at, is_id, new_id

TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)


@given(TIMES, st.integers(0, 2**RANDOM_BITS - 1))
def test_an_id_carries_its_time(time: datetime, bits: int) -> None:
    id = id_at("post", time, bits)

    ulid = ULID.from_str(id.removeprefix("post_"))
    assert is_id("post", id)
    assert abs(ulid.datetime - time.replace(tzinfo=UTC)) < timedelta(milliseconds=1)
    assert int(ulid) % 2**RANDOM_BITS == bits


@given(TIMES, TIMES)
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    if one != other:
        assert (id_at("post", one) < id_at("post", other)) == (one < other)


def test_ids_of_the_same_time_differ() -> None:
    assert len({id_at("usr", datetime(2026, 1, 1)) for _ in range(1000)}) == 1000


def test_the_same_parts_give_the_same_id() -> None:
    assert derived_id("wal", "a", "b") == derived_id("wal", "a", "b")
    assert derived_id("wal", "a", "b") != derived_id("wal", "ab", "")
    assert is_id("wal", derived_id("wal", "a"))


def test_what_is_no_id() -> None:
    assert is_id("usr", new_id("usr"))
    for text in ("", "usr", "usr_", new_id("post"), new_id("usr") + "\n", new_id("usr").lower(), "usr_" + "U" * 26):
        assert not is_id("usr", text)
