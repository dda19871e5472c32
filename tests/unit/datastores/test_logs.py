"""Numbers of a log: one after the other within a batch, and row ids in their order."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from datastores.commit import Work, by_id
from datastores.logs import MAX_NUMBER, next_number, row_id
from datastores.mongo import Document

NUMBERS = st.integers(0, MAX_NUMBER)


def work_with(*heads: Document) -> Work:
    work = Work(datetime(2026, 1, 1))
    work.add_read(by_id("heads", "ann", "bob"), heads)
    return work


def test_acts_of_one_batch_take_numbers_one_after_the_other_in_each_topic() -> None:
    work = work_with({"_id": "bob", "n": 7})
    taken: list[tuple[str, int]] = []

    for topic in ("ann", "bob", "ann", "bob", "ann"):
        overlay = work.overlay()
        taken.append((topic, next_number(overlay, "heads", topic)))
        overlay.merge()

    assert taken == [("ann", 1), ("bob", 8), ("ann", 2), ("bob", 9), ("ann", 3)]
    assert len(work.writes()["heads"]) == 2


def test_an_act_that_was_refused_leaves_its_number_to_the_next() -> None:
    work = work_with()

    next_number(work.overlay(), "heads", "ann")

    assert next_number(work.overlay(), "heads", "ann") == 1


@given(NUMBERS, NUMBERS)
def test_row_ids_sort_as_their_numbers(one: int, other: int) -> None:
    assert (row_id("ann", one) < row_id("ann", other)) == (one < other)
