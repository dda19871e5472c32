"""The trail of checkpoints: whether it is whole, and whether the journal leads through every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .checkpoints import Checkpoint, CheckpointError, check_checkpoint, digest
from .entries import PARTITION

Note = Callable[[str, int | None, str], None]


class Trail:
    """Checkpoints in the order of their numbers, and what the entries must be where they stand.

    `note` gets the subject, the number of an entry if there is one, and what does not hold.
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self._last: Checkpoint | None = None
        self._kept: dict[int, list[Checkpoint]] = {}
        self._expected: dict[int, list[tuple[str, str]]] = {}
        self._held = 0
        self._is_rewritten = False
        self.count = 0

    def keep(self, kept: Sequence[Checkpoint], keys: Mapping[str, bytes]) -> None:
        """Compare with these too, which were kept outside of the database; before any is added."""
        for each in kept:
            self._check(f"kept checkpoint {each['number']}", each, keys)
            self._kept.setdefault(each["number"], []).append(each)

    def add(self, checkpoint: Checkpoint, keys: Mapping[str, bytes]) -> None:
        """Check the next stored checkpoint against the one before it and against those kept outside."""
        name = f"checkpoint {checkpoint['number']}"
        self._check(name, checkpoint, keys)
        last = self._last
        if checkpoint["number"] != self.count + 1 or checkpoint["_id"] != f"{checkpoint['number']:012}":
            self._note(name, None, "the numbers of checkpoints have a hole before it")
        if checkpoint["previous"] != (digest(last) if last else None):
            self._note(name, None, "it does not name the checkpoint before it")
        if last is not None and not last["seq"] < checkpoint["seq"]:
            self._note(name, checkpoint["seq"], "it does not come after the one before it")
        for kept in self._kept.pop(checkpoint["number"], ()):
            if digest(kept) != digest(checkpoint):
                self._note(name, checkpoint["seq"], "it is another than the one that was kept under its number")
        self.count, self._last = checkpoint["number"], checkpoint

    def end(self) -> None:
        """Once all stored ones were added: those that were kept outside and are not there."""
        for number in self._kept:
            self._note(f"kept checkpoint {number}", None, "it is not among the stored checkpoints")

    def passes(self, entry_id: str, seq: int, hash: str) -> None:
        """Compare an entry of the journal, in their order, with the checkpoints that name it."""
        for name, expected in self._expected.pop(seq, ()):
            if hash == expected:
                self._held = seq
            elif not self._is_rewritten:
                # What comes after is another history altogether: once is enough.
                self._is_rewritten = True
                text = f"it is not the entry that {name} names: what lies after entry {self._held} was rewritten"
                self._note(entry_id, seq, text)

    def finish(self, last_seq: int) -> None:
        """Once the journal has ended: checkpoints that it does not reach."""
        if self._expected:
            seq, named = max(self._expected.items())
            gone = f"the journal ends before entry {seq} of {named[0][0]}: its end was taken away"
            self._note(PARTITION, last_seq, gone)

    def _check(self, name: str, checkpoint: Checkpoint, keys: Mapping[str, bytes]) -> None:
        try:
            check_checkpoint(checkpoint, keys)
        except CheckpointError as error:
            self._note(name, checkpoint["seq"], str(error))
        self._expected.setdefault(checkpoint["seq"], []).append((name, checkpoint["hash"]))
