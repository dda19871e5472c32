"""The quarter of checkpoints: heads that are signed, and kept elsewhere, in the midst of faults."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from datastores import ledger
from datastores.ledger import Checkpoint, CheckpointError
from datastores.ledger.checkpoints import CHECKPOINTS
from tests.simulation.processes import MASTER, Process
from tests.simulation.quarters import Asked, Problems
from tests.simulation.shapes import Shape
from tests.simulation.storage import Changes, Storage

from .wishes import Kind, Wish

_KINDS: Final = {Kind.SIGN: 6, Kind.SIGN_IF_DUE: 2, Kind.ROTATE: 1}


class CheckpointsQuarter:
    """Whatever was signed at any time is of an entry that stays; the ledger must lead through all of it in the end."""

    def __init__(self, random: Random, shape: Shape, storage: Storage, problems: Problems) -> None:
        self._random = random
        self._storage = storage
        self._problems = problems
        self._count = 0
        self._kept: list[Checkpoint] = []

    def plant(self) -> None:
        return None

    def next(self) -> Wish:
        self._count += 1
        (kind,) = self._random.choices(list(_KINDS), list(_KINDS.values()))
        return Wish(kind, f"checkpoint{self._count}")

    def audit(self, changes: Changes) -> None:
        for (name, _), checkpoint in changes.items():
            if name == CHECKPOINTS and checkpoint is not None:
                entries = self._storage.find("entries", {"seq": checkpoint["seq"]}, None)
                if [entry["hash"] for entry in entries] != [checkpoint["hash"]]:
                    self._problems.append(f"signed is entry {checkpoint['seq']}, which is not committed so")

    def answered(self, wish: Wish, outcome: Any, asked: Asked) -> str:
        if outcome is None:
            return "done"
        self._kept.append(outcome)
        return f"{outcome['number']} of entry {outcome['seq']}"

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        was_empty = not any(entry["seq"] for entry in self._entries_before(asked))
        if not isinstance(error, CheckpointError) or wish.kind is not Kind.SIGN or not was_empty:
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def _entries_before(self, asked: Asked) -> list[dict[str, Any]]:
        ids = self._storage.committed("entries")
        seen = (self._storage.seen_since("entries", id, asked.stamp)[0] for id in ids)
        return [entry for entry in seen if entry is not None]

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        return None

    async def finish(self, process: Process) -> None:
        return None

    async def check(self, process: Process) -> None:
        report = await ledger.verify(process.database, kept=self._kept, master=MASTER)
        self._problems.extend(ledger.problem_lines(report.problems))
        if report.checkpoints != len(self._storage.committed(CHECKPOINTS)):
            self._problems.append(f"{report.checkpoints} checkpoints were checked, and there are others")

    def counts(self) -> dict[str, int]:
        return {"checkpoints": len(self._storage.committed(CHECKPOINTS)), "kept checkpoints": len(self._kept)}
