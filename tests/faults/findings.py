"""What gateways wrote down of their work, and what was found of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.journals import Row, rows

MAX_ROWS: Final = 100_000


@dataclass
class Findings:
    """What was counted, and each promise that did not hold."""

    acknowledged: int = 0
    refused: int = 0
    replayed: int = 0
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    messages: int = 0
    changes: int = 0
    orders: int = 0
    events: int = 0
    broken: list[str] = field(default_factory=list)

    def demand(self, holds: bool, text: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(text)


@dataclass(frozen=True)
class Written:
    """What the gateways of a run wanted and what they were told."""

    intents: Mapping[str, Row]
    answers: Sequence[Row]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Written:
        """All journals of these gateways."""
        intents = {row["key"]: row for folder in folders for row in rows(folder / "intents")}
        return cls(intents, [row for folder in folders for row in rows(folder / "answers")])

    def outcomes(self, *deeds: str) -> dict[str, list[Row]]:
        """Every answer to these deeds by key."""
        found: dict[str, list[Row]] = defaultdict(list)
        for answer in self.answers:
            if answer["do"] in deeds:
                found[answer["key"]].append(answer["outcome"])
        return found
