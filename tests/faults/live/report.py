"""The report of a run: a table of rounds, one of the silences of each way, and both as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.faults.live.rounds import PROMISED_S, Outcome

RESULTS: Final = Path("test-results") / "faults-live.json"
_SILENCES: Final = ("fault", "rounds", *(f"{way} s: median, most" for way in PROMISED_S), "")


@dataclass
class Report:
    """What was played, and each promise that did not hold."""

    seed: int
    played: list[Outcome] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Print how long nothing came after each fault, and every promise that did not hold."""
        table = Table(*_SILENCES)
        for name, outcomes in self._by_fault().items():
            times = (f"{found[0]:.1f}, {found[1]:.1f}" for found in _silences(outcomes).values())
            held = "held" if not any(each.broken for each in outcomes) else "broken"
            table.add_row(name, str(len(outcomes)), *times, held)
        table.add_row("promised", "", *(f"< {limit:.0f}" for limit in PROMISED_S.values()), "")
        console.print(table)
        for text in self.broken:
            console.print(f"agora: broken: {text}", style="red", highlight=False)

    def write(self, path: Path = RESULTS) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        faults = {
            name: {way: {"median_s": middle, "most_s": most} for way, (middle, most) in _silences(outcomes).items()}
            for name, outcomes in self._by_fault().items()
        }
        rounds = [_counted(each) for each in self.played]
        whole = {"seed": self.seed, "promised_s": PROMISED_S, "rounds": rounds, "faults": faults, "broken": self.broken}
        path.write_text(json.dumps(whole, indent=2) + "\n")

    def _by_fault(self) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = {}
        for outcome in self.played:
            found.setdefault(outcome.fault, []).append(outcome)
        return found


def line_of(number: int, seed: int, outcome: Outcome) -> str:
    """A round as a line of text."""
    silences = ", ".join(f"{way} {silence:.1f} s" for way, silence in outcome.silences.items())
    held = "all holds" if not outcome.broken else f"{len(outcome.broken)} broken"
    return (
        f"round {number} (seed {seed}): {outcome.fault}, {outcome.kills} kills of {' and '.join(outcome.victims)}: "
        f"silent for at most: {silences}; all complete {outcome.complete_s:.1f} s after the last; so far "
        f"{outcome.events} events and {outcome.messages} messages, {outcome.lost} lost, {outcome.doubled} doubled, "
        f"{outcome.disordered} out of order: {held}"
    )


def _silences(outcomes: Sequence[Outcome]) -> dict[str, tuple[float, float]]:
    found = {way: [each.silences[way] for each in outcomes if way in each.silences] for way in PROMISED_S}
    return {way: (round(median(times), 2), round(max(times), 2)) for way, times in found.items() if times}


def _counted(outcome: Outcome) -> dict[str, Any]:
    return {
        "fault": outcome.fault,
        "killed": list(outcome.victims),
        "kills": outcome.kills,
        "silences_s": {way: round(silence, 2) for way, silence in outcome.silences.items()},
        "complete_s": round(outcome.complete_s, 2),
        "events": outcome.events,
        "messages": outcome.messages,
        "lost": outcome.lost,
        "doubled": outcome.doubled,
        "out_of_order": outcome.disordered,
        "unclear": dict(outcome.unclear),
    }
