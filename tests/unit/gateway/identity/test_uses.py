"""The use of a key is noted once a minute, and nobody waits for it."""

from __future__ import annotations

import asyncio

from gateway.identity.uses import MAX_KEYS, KeyUses


class Notes:
    """What was written, and the clock."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.now = 0.0

    async def note(self, key_id: str) -> None:
        self.written.append(key_id)
        if key_id == "broken":
            raise RuntimeError("the database is away")

    def clock(self) -> float:
        return self.now


async def test_a_key_is_noted_at_its_first_use_and_then_once_a_minute() -> None:
    notes = Notes()
    uses = KeyUses(notes.note, notes.clock)

    for notes.now in (0.0, 1.0, 59.9, 60.0, 61.0, 119.9, 120.0):
        uses.used("one")
    uses.used("other")
    await uses.close()

    assert notes.written == ["one", "one", "one", "other"]


async def test_what_cannot_be_noted_disturbs_nobody() -> None:
    notes = Notes()
    uses = KeyUses(notes.note, notes.clock)

    uses.used("broken")
    await uses.close()

    assert notes.written == ["broken"]


async def test_so_many_keys_are_remembered_and_no_more() -> None:
    notes = Notes()
    uses = KeyUses(notes.note, notes.clock)

    for n in range(MAX_KEYS + 1):
        uses.used(str(n))
    uses.used(str(MAX_KEYS))
    uses.used("0")
    await uses.close()

    assert len(notes.written) == MAX_KEYS + 2
    assert notes.written[-1] == "0"
    assert asyncio.all_tasks() == {asyncio.current_task()}
