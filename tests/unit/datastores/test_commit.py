"""What a batch writes when its acts delete and insert the same document."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from datastores.commit import Work, by_id, by_new_id
from datastores.mongo import Delete, Document, Insert, Replace, Write

OLD: Document = {"_id": "a", "x": 1}
NEW: Document = {"_id": "a", "x": 2}


def work_with(*stored: Document) -> Work:
    work = Work(datetime(2026, 1, 1))
    work.add_read(by_id("things", "a"), stored)
    return work


def in_an_act_each(work: Work, *acts: Callable[[Work], object]) -> list[Write]:
    for act in acts:
        overlay = work.overlay()
        act(overlay)
        overlay.merge()
    return work.writes().get("things", [])


def insert(work: Work) -> object:
    return work.insert("things", NEW)


def delete(work: Work) -> None:
    work.delete("things", "a")


def update(work: Work) -> object:
    return work.update("things", "a", x=3)


def test_a_stored_document_that_is_deleted_and_inserted_again_is_replaced() -> None:
    assert in_an_act_each(work_with(OLD), delete, insert) == [Replace(NEW)]


def test_a_stored_document_that_is_deleted_last_is_deleted() -> None:
    assert in_an_act_each(work_with(OLD), delete, insert, delete) == [Delete("a")]


def test_a_new_document_that_is_deleted_again_is_never_written() -> None:
    assert in_an_act_each(work_with(), insert, delete) == []


def test_a_new_document_that_is_deleted_and_inserted_again_is_inserted() -> None:
    assert in_an_act_each(work_with(), insert, delete, insert) == [Insert(NEW)]


@pytest.mark.parametrize("before", [(), (update,)])
def test_changes_before_a_deletion_are_not_written(before: tuple[Callable[[Work], object], ...]) -> None:
    assert in_an_act_each(work_with(OLD), *before, delete) == [Delete("a")]


def test_changes_after_a_second_insert_are_part_of_the_replacement() -> None:
    assert in_an_act_each(work_with(OLD), delete, insert, update) == [Replace({"_id": "a", "x": 3})]


def test_what_was_taken_to_be_absent_and_is_read_later_is_not_proven() -> None:
    work = Work(datetime(2026, 1, 1))
    work.assume_absent(by_new_id("things", "a"))
    assert work.get("things", "a") is None
    work.insert("things", NEW)
    assert work.is_proven

    work.add_read(by_id("things", "a"), [OLD])

    assert not work.is_proven
