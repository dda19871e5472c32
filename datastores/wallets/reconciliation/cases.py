"""Cases: all that the ledger, our instructions and the rail's statements say of one id."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from datastores import ledger
from datastores.ledger import Entry, EntryKind, EntryState
from datastores.mongo import Database
from datastores.wallets.instructions import InstructionDocument, instructions_by_ids
from datastores.wallets.rails import LineKind, RailDirection, RailState

from .movements import Movement, day_of
from .statements import LineSum, line_sums


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at: a rail, one UTC day, and what of the ledger counts.

    `accounts` are the rail's with their currencies; `day_entries` those of the day; `newest` (with its hash) is the
    last entry that was there when the look began: what was settled, released or reversed later was not yet so.
    """

    rail: str
    day: str
    accounts: Mapping[str, str]
    day_entries: ledger.Stretch
    newest: int
    newest_hash: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One id on three sides. `first_seq` is the number of its first entry that counts, None where none does."""

    id: str
    instruction: InstructionDocument | None
    is_reserved: bool
    is_released: bool
    posted: tuple[Movement, ...]
    reversed: tuple[Movement, ...]
    ours: tuple[Movement, ...]
    settled: tuple[Movement, ...]
    returned: tuple[Movement, ...]
    references: tuple[str, ...]
    first_seq: int | None

    @property
    def in_ledger(self) -> tuple[Movement, ...]:
        """All that the ledger has of it."""
        return self.posted + self.reversed

    @property
    def at_rail(self) -> tuple[Movement, ...]:
        """All that the rail has of it."""
        return self.settled + self.returned


async def cases(database: Database, scope: Scope, ids: Sequence[str]) -> list[Case]:
    """The cases of at most 1,000 ids, in their order; five reads, whatever their number."""
    instructions, entries, resolved, lines = await asyncio.gather(
        instructions_by_ids(database, ids),
        ledger.entries_by_ids(database, ids),
        ledger.resolutions_of(database, ids),
        line_sums(database, scope.rail, ids),
    )
    ends = {id: end for id, end in resolved.items() if end["seq"] <= scope.newest}
    undone = await _reversals(database, scope, ids, ends)
    return [
        _case(scope, id, instruction, entry, ends.get(id), undone.get(id, []), lines.get(id, []))
        for id, instruction, entry in zip(ids, instructions, entries, strict=True)
    ]


async def _reversals(
    database: Database, scope: Scope, ids: Sequence[str], ends: Mapping[str, Entry]
) -> dict[str, list[Entry]]:
    """A reversal may name the entry that reserved or the one that settled."""
    owners = {**{id: id for id in ids}, **{end["_id"]: id for id, end in ends.items()}}
    found: dict[str, list[Entry]] = {}
    for entry in await ledger.reversals_of(database, list(owners)):
        if entry["seq"] <= scope.newest:
            found.setdefault(owners[cast(str, entry["reverses"])], []).append(entry)
    return found


def _case(
    scope: Scope,
    id: str,
    instruction: InstructionDocument | None,
    entry: Entry | None,
    end: Entry | None,
    undone: Sequence[Entry],
    lines: Sequence[LineSum],
) -> Case:
    if instruction is not None and instruction["rail"] != scope.rail:
        instruction = None
    if instruction is not None and (instruction["resolved_seq"] or 0) > scope.newest:
        instruction = {**instruction, "state": RailState.PENDING.value}
    is_pending = entry is not None and entry["state"] == EntryState.PENDING
    is_released = end is not None and end["kind"] == EntryKind.VOID
    # Without an instruction it may have been posted at once, by whoever did not ask the rail.
    posting = end if is_pending or entry is None else entry
    if posting is not None and not _moved(scope, posting):
        posting = None
    posted = _entry_movements(scope, [posting] if posting else [])
    undone = [one for one in undone if _moved(scope, one)]
    counted = [one["seq"] for one in (posting, *undone) if one and scope.day_entries.holds(one["seq"])]
    return Case(
        id,
        instruction,
        is_reserved=is_pending and end is None,
        is_released=is_released,
        posted=posted,
        reversed=_entry_movements(scope, undone),
        ours=_instruction_movements(scope, instruction),
        settled=tuple(_line_movement(scope, line) for line in lines if line.kind is LineKind.SETTLED),
        returned=tuple(_line_movement(scope, line) for line in lines if line.kind is LineKind.RETURNED),
        references=tuple(line.reference for line in lines),
        first_seq=min(counted, default=None),
    )


def _moved(scope: Scope, entry: Entry) -> bool:
    """Whether it has moved money through the rail's accounts."""
    if entry["state"] != EntryState.POSTED or entry["kind"] == EntryKind.VOID:
        return False
    return any(leg["account_id"] in scope.accounts for leg in entry["legs"])


def _entry_movements(scope: Scope, entries: Sequence[Entry]) -> tuple[Movement, ...]:
    return tuple(
        Movement(
            # What the rail's account loses has come in to people.
            RailDirection.IN if leg["delta"] < 0 else RailDirection.OUT,
            abs(leg["delta"]),
            scope.accounts[leg["account_id"]],
            day_of(entry["created_at"]),
            scope.day_entries.holds(entry["seq"]),
        )
        for entry in entries
        for leg in entry["legs"]
        if leg["account_id"] in scope.accounts
    )


def _instruction_movements(scope: Scope, instruction: InstructionDocument | None) -> tuple[Movement, ...]:
    if instruction is None or instruction["state"] != RailState.SETTLED or instruction["value_at"] is None:
        return ()
    day = day_of(instruction["value_at"])
    amount, direction = instruction["amount"], RailDirection(instruction["direction"])
    return (Movement(direction, amount["minor_units"], amount["currency"], day, day == scope.day),)


def _line_movement(scope: Scope, line: LineSum) -> Movement:
    direction = line.direction if line.kind is LineKind.SETTLED else line.direction.opposite
    return Movement(direction, line.minor_units, line.currency, line.day, line.day == scope.day, line.count)
