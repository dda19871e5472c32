"""Pendings: what the entries so far have reserved and not resolved yet, for a replay that checks each resolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from .entries import Entry, EntryKind, EntryState
from .transfers import TransferRecord, TransferState

_Left = dict[str, int]
_NOTHING: Final = "it resolves what is not reserved, or was resolved before"


@dataclass(slots=True)
class Pendings:
    """What is left of each reserve and hold, by account, and how much of each has been moved.

    Of all resolutions of one pending entry together: never more than was reserved, nothing after the final one, and
    captured and released are the whole.
    """

    settled: dict[str, int] = field(default_factory=dict)
    _left: dict[str, _Left] = field(default_factory=dict)

    def take(self, entry: Entry) -> Iterator[str]:
        """What does not hold of this entry, which comes after all that were taken before."""
        if entry["state"] == EntryState.PENDING:
            left: _Left = {}
            for leg in entry["legs"]:
                left[leg["account_id"]] = left.get(leg["account_id"], 0) + leg["delta"]
            self._left[entry["_id"]] = left
            self.settled[entry["_id"]] = 0
        elif entry["state"] == EntryState.POSTED and entry["pending_id"] is not None:
            yield from self._resolve(entry, entry["pending_id"])

    def reserved(self) -> dict[str, tuple[int, int]]:
        """What each account has reserved on its way out and in, as what is left of all pendings makes it."""
        sums: dict[str, tuple[int, int]] = {}
        for left in self._left.values():
            for account_id, delta in left.items():
                out, into = sums.get(account_id, (0, 0))
                sums[account_id] = (out + max(-delta, 0), into + max(delta, 0))
        return sums

    def agrees(self, id: str, record: TransferRecord | None) -> bool:
        """Whether this is what there is to note of a pending entry."""
        settled = self.settled[id]
        ended = TransferState.POSTED if settled else TransferState.VOIDED
        state = TransferState.PENDING if id in self._left else ended
        return record is not None and record.get("state") == state and record.get("captured", settled) == settled

    def _resolve(self, entry: Entry, pending_id: str) -> Iterator[str]:
        before = self._left.get(pending_id)
        if before is None:
            yield _NOTHING
            return
        releases = entry["kind"] == EntryKind.VOID
        after = dict(before)
        for leg in entry["legs"]:
            id = leg["account_id"]
            after[id] = after.get(id, 0) + (leg["delta"] if releases else -leg["delta"])
        if any(not _is_between(after[id], before.get(id, 0)) for id in after):
            yield "it takes more than was left of what is reserved"
        if entry["final"] is any(after.values()):
            yield "it ends with a rest" if entry["final"] else "nothing is left, and it is not the end"
        if not releases:
            self.settled[pending_id] += entry["amount"]
        if entry["final"]:
            del self._left[pending_id]
        else:
            self._left[pending_id] = after


def _is_between(after: int, before: int) -> bool:
    return 0 <= after <= before or before <= after <= 0
