"""What a loop remembers is never older than what its own process has committed."""

from __future__ import annotations

from datetime import datetime

from datastores.commit import Work, by_id, last_row
from datastores.commit.memory import Memory
from datastores.mongo import Document

LOG = last_row("log", "n")
THING = by_id("things", "a", guard=LOG)


def work_with(last: Document, thing: Document, *, guarded: bool = True) -> Work:
    work = Work(datetime(2026, 1, 1))
    work.add_read(LOG, [last])
    work.add_read(THING if guarded else by_id("things", "a"), [thing])
    return work


def committed(memory: Memory, work: Work, x: int, n: int) -> None:
    work.update("things", "a", x=x)
    work.insert("log", {"_id": str(n), "n": n})
    memory.keep(work)


def remembered(memory: Memory) -> Document | None:
    work = Work(datetime(2026, 1, 1))
    memory.recall(work, LOG)
    return None if memory.recall(work, THING) is not None else work.get("things", "a")


def test_a_guarded_document_is_remembered_as_it_was_committed() -> None:
    memory = Memory()

    committed(memory, work_with({"_id": "0", "n": 0}, {"_id": "a", "x": 1}), 2, 1)

    assert remembered(memory) == {"_id": "a", "x": 2}


def test_whoever_changes_a_document_without_its_guard_makes_it_forgotten() -> None:
    memory = Memory()
    committed(memory, work_with({"_id": "0", "n": 0}, {"_id": "a", "x": 1}), 2, 1)
    work = Work(datetime(2026, 1, 1))
    memory.recall(work, LOG)
    work.add_read(by_id("things", "a"), [{"_id": "a", "x": 2}])

    committed(memory, work, 3, 2)

    assert remembered(memory) is None
