"""Returns: what refunds and reversals have taken back of each entry, for a replay that checks that it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .entries import Entry, EntryKind, EntryState, Leg
from .reversals import REVERSIBLE, began, opposite_legs

TOO_MUCH: Final = "more was refunded than was paid"


@dataclass(slots=True)
class Returns:
    """By the entry that is named in `reverses`: how much came back of it, and the legs of its reversal."""

    amounts: dict[str, int] = field(default_factory=dict)
    _reversals: dict[str, list[tuple[int, Sequence[Leg]]]] = field(default_factory=dict)
    _of_transfers: dict[str, int] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Take note of an entry, which may take back another."""
        id = entry["reverses"]
        if id is None or entry["state"] != EntryState.POSTED:
            return
        self.amounts[id] = self.amounts.get(id, 0) + entry["amount"]
        if entry["kind"] == EntryKind.REVERSAL:
            self._reversals.setdefault(id, []).append((entry["amount"], entry["legs"]))

    def problems(self, id: str, original: Entry | None, settled: Mapping[str, int]) -> list[str]:
        """What does not hold of what came back of this entry; `settled` is how much of each reserve has moved.

        Of a reserve or hold, refunds name it, and reversals the entries that settled it: together never too much.
        """
        if original is None:
            return [TOO_MUCH]
        root, found = began(original), self._reversals.get(id, [])
        before = self._of_transfers.get(root, 0)
        after = self._of_transfers[root] = before + self.amounts[id]
        problems = [TOO_MUCH] if before <= settled.get(root, original["amount"]) < after else []
        if len(found) > 1:
            problems.append("it was reversed more than once")
        if found and (original["kind"] not in REVERSIBLE or original["state"] != EntryState.POSTED):
            return [*problems, "it was reversed, and cannot be"]
        for amount, legs in found:
            if [(leg["account_id"], leg["delta"]) for leg in legs] != list(opposite_legs(original, amount)):
                problems.append("its reversal does not have the opposite legs")
        return problems
