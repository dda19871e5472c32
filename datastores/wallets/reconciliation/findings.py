"""Findings: in which ways three sides can differ, and which of them a case is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from datastores.wallets.rails import RailState

from .cases import Case
from .movements import Movement


class FindingKind(StrEnum):
    """In which way something differs, the most dangerous first; `MEANINGS` says what each is."""

    SETTLED_BUT_RELEASED = "SETTLED_BUT_RELEASED"
    SETTLED_TWICE = "SETTLED_TWICE"
    REFUSED_BUT_SETTLED = "REFUSED_BUT_SETTLED"
    MISSING_AT_RAIL = "MISSING_AT_RAIL"
    MISSING_IN_LEDGER = "MISSING_IN_LEDGER"
    UNKNOWN_TO_US = "UNKNOWN_TO_US"
    NOT_ASKED = "NOT_ASKED"
    DIRECTION_DIFFERS = "DIRECTION_DIFFERS"
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    RETURNED_NOT_REVERSED = "RETURNED_NOT_REVERSED"
    REVERSED_NOT_RETURNED = "REVERSED_NOT_RETURNED"
    STILL_PENDING = "STILL_PENDING"
    RECORD_DIFFERS = "RECORD_DIFFERS"
    UNEXPLAINED = "UNEXPLAINED"


class NoteKind(StrEnum):
    """Why the sums of a day may differ though nothing is wrong.

    TIMING: one side has it on another day. IN_TRANSIT: the rail has settled it, and is still to be asked.
    SENT_BACK: the rail has returned it, and the ledger has reversed it or never had it.
    """

    TIMING = "TIMING"
    IN_TRANSIT = "IN_TRANSIT"
    SENT_BACK = "SENT_BACK"


MEANINGS: Final[Mapping[FindingKind, str]] = {
    FindingKind.SETTLED_BUT_RELEASED: "the rail has moved the money, but here it was given back: it can be spent twice",
    FindingKind.SETTLED_TWICE: "the rail has carried out one instruction more than once",
    FindingKind.REFUSED_BUT_SETTLED: "the rail says that it has refused, but here it is settled",
    FindingKind.MISSING_AT_RAIL: "the ledger has moved it, but the rail's statement does not have it",
    FindingKind.MISSING_IN_LEDGER: "the rail has moved the money that we asked for, but the ledger has no entry of it",
    FindingKind.UNKNOWN_TO_US: "the rail has moved money that nobody here asked for",
    FindingKind.NOT_ASKED: "the ledger has moved or reserved it for the rail, but nothing says that the rail was asked",
    FindingKind.DIRECTION_DIFFERS: "it came in on one side and went out on the other",
    FindingKind.AMOUNT_DIFFERS: "the sides have different amounts or currencies",
    FindingKind.RETURNED_NOT_REVERSED: "the rail has sent the money back, but the ledger has not reversed the entry",
    FindingKind.REVERSED_NOT_RETURNED: "the ledger has reversed the entry, but the rail has not sent the money back",
    FindingKind.STILL_PENDING: "it has been reserved for longer than the rail should take",
    FindingKind.RECORD_DIFFERS: "what we noted of the rail's answer is not what the ledger did",
    FindingKind.UNEXPLAINED: "the sums have something that no case accounts for",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """When the look is taken, and how long an instruction may be pending."""

    now: datetime
    settles_within: timedelta

    def is_over(self, asked_at: datetime) -> bool:
        """Whether what was asked then should have been settled or refused by now."""
        return self.now - asked_at >= self.settles_within


def judge(case: Case, taken_days: set[str], patience: Patience) -> FindingKind | NoteKind | None:
    """What is wrong with a case, the first that holds; or why its sums differ; None where all sides agree.

    MISSING_AT_RAIL still wants the rail's own word: it may have refused. `taken_days` are those of kept statements.
    """
    if case.instruction is None:
        return _without_instruction(case)
    if _times(case.settled) - _times(case.returned) > 1:
        return FindingKind.SETTLED_TWICE
    if not case.settled:
        return _without_line(case, taken_days, patience)
    if not case.posted:
        return _not_posted(case, patience)
    if {each.direction for each in case.settled} != {each.direction for each in case.posted}:
        return FindingKind.DIRECTION_DIFFERS
    if _amounts(case.settled) != _amounts(case.posted):
        return FindingKind.AMOUNT_DIFFERS
    surplus = _times(case.settled) - _times(case.returned) - (0 if case.reversed else 1)
    if surplus:
        return FindingKind.REVERSED_NOT_RETURNED if surplus > 0 else FindingKind.RETURNED_NOT_REVERSED
    if _amounts(case.reversed) - _amounts(case.posted) or _amounts(case.returned) - _amounts(case.posted):
        return FindingKind.AMOUNT_DIFFERS
    if not _is_recorded(case):
        return FindingKind.RECORD_DIFFERS
    if _agree(case):
        return None
    return NoteKind.SENT_BACK if case.returned else NoteKind.TIMING


def _without_instruction(case: Case) -> FindingKind | NoteKind | None:
    if case.in_ledger or case.is_reserved:
        return FindingKind.NOT_ASKED
    if _times(case.settled) == _times(case.returned):
        return NoteKind.SENT_BACK if case.returned else None
    return FindingKind.UNKNOWN_TO_US


def _not_posted(case: Case, patience: Patience) -> FindingKind | NoteKind:
    if _times(case.returned) >= _times(case.settled):
        return NoteKind.SENT_BACK
    if case.is_released:
        return FindingKind.SETTLED_BUT_RELEASED
    if not case.is_reserved:
        return FindingKind.MISSING_IN_LEDGER
    return FindingKind.STILL_PENDING if _is_late(case, patience) else NoteKind.IN_TRANSIT


def _without_line(case: Case, taken_days: set[str], patience: Patience) -> FindingKind | NoteKind | None:
    record = case.instruction["state"] if case.instruction else None
    if case.returned:
        # What it sends back was settled on a day whose statement is not kept.
        is_open = bool(case.posted) and not case.reversed
        return FindingKind.RETURNED_NOT_REVERSED if is_open else NoteKind.SENT_BACK
    if case.posted:
        is_elsewhere = any(not each.counts and each.day not in taken_days for each in case.ours)
        return NoteKind.TIMING if is_elsewhere else FindingKind.MISSING_AT_RAIL
    is_ended = record != RailState.PENDING
    if record == RailState.SETTLED or (case.is_released and not is_ended) or (case.is_reserved and is_ended):
        return FindingKind.RECORD_DIFFERS
    if record == RailState.PENDING and _is_late(case, patience):
        return FindingKind.STILL_PENDING
    return None


def _is_late(case: Case, patience: Patience) -> bool:
    return case.instruction is not None and patience.is_over(case.instruction["asked_at"])


def _is_recorded(case: Case) -> bool:
    """Whether we have noted what the ledger posted, on the day on which the rail has it."""
    if {each.day for each in case.ours} != {each.day for each in case.settled}:
        return False
    return {each.direction for each in case.ours} == {each.direction for each in case.posted} and _amounts(
        case.ours
    ) == _amounts(case.posted)


def _agree(case: Case) -> bool:
    sides = (case.in_ledger, case.ours, case.at_rail)
    counted = [sorted((m.direction, m.currency, m.minor_units, m.count) for m in side if m.counts) for side in sides]
    return counted[0] == counted[1] == counted[2]


def _times(movements: Sequence[Movement]) -> int:
    return sum(each.count for each in movements)


def _amounts(movements: Sequence[Movement]) -> set[tuple[str, int]]:
    return {(each.currency, each.minor_units) for each in movements}
