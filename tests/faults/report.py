"""The report of a run: a table of rounds, one of faults with what is promised of each, and both as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.faults.rounds import PROMISED_S, Outcome

RESULTS: Final = Path("test-results") / "faults.json"
_ROUNDS: Final = (
    "round",
    "fault",
    "recovery s",
    "answers",
    "replayed",
    "unclear",
    "audits",
    "lost",
    "doubled",
    "changed",
)
_FAULTS: Final = ("fault", "rounds", "recovery s: least", "median", "most", "promised s", "")


@dataclass
class Report:
    """What was played, and what was found of it; `doubled` is what the control without stable keys did twice."""

    seed: int
    played: list[Outcome] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    doubled: int = 0

    def show(self, console: Console) -> None:
        """Print both tables, the control, and every promise that did not hold."""
        console.print(self._rounds(), self._faults())
        if self.played:
            last = self.played[-1].findings
            console.print(
                f"at the end: {last.acknowledged} keys acknowledged ({last.refused} refusals), {last.orders} orders, "
                f"{last.messages} messages and {last.changes} other events, {last.events} events followed",
                highlight=False,
            )
        console.print(f"control without stable keys: {self.doubled} transfers doubled", highlight=False)
        for text in self.broken:
            console.print(f"agora: broken: {text}", style="red", highlight=False)

    def write(self, path: Path = RESULTS) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rounds = [{**_counted(outcome), "recovery_s": round(outcome.recovery_s, 3)} for outcome in self.played]
        faults = {name: _summary(outcomes) for name, outcomes in self._by_fault().items()}
        whole = {
            "seed": self.seed,
            "rounds": rounds,
            "faults": faults,
            "control_doubled": self.doubled,
            "broken": self.broken,
        }
        path.write_text(json.dumps(whole, indent=2) + "\n")

    def _by_fault(self) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = {}
        for outcome in self.played:
            found.setdefault(outcome.fault, []).append(outcome)
        return found

    def _rounds(self) -> Table:
        table = Table(*_ROUNDS)
        for number, outcome in enumerate(self.played, 1):
            counted = _counted(outcome)
            unclear = ", ".join(f"{name} {count}" for name, count in sorted(outcome.unclear.items()))
            names = ("answers", "replayed", "audits", "lost", "doubled", "changed")
            answers, replayed, *others = (str(counted[name]) for name in names)
            recovery = f"{outcome.recovery_s:.2f}"
            table.add_row(str(number), outcome.fault, recovery, answers, replayed, unclear, *others)
        return table

    def _faults(self) -> Table:
        table = Table(*_FAULTS)
        for name, outcomes in self._by_fault().items():
            found = _summary(outcomes)
            times = (f"{found[each]:.2f}" for each in ("least_s", "median_s", "most_s"))
            held = "held" if found["held"] else "broken"
            table.add_row(name, str(len(outcomes)), *times, f"< {found['promised_s']:.0f}", held)
        return table


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    times, promised = [outcome.recovery_s for outcome in outcomes], PROMISED_S[outcomes[0].fault]
    return {
        "rounds": len(times),
        "least_s": round(min(times), 3),
        "median_s": round(median(times), 3),
        "most_s": round(max(times), 3),
        "promised_s": promised,
        "held": max(times) < promised and not any(outcome.findings.broken for outcome in outcomes),
    }


def _counted(outcome: Outcome) -> dict[str, Any]:
    found = outcome.findings
    return {
        "fault": outcome.fault,
        "answers": outcome.answers,
        "audits": outcome.audits,
        "replayed": found.replayed,
        "unclear": dict(outcome.unclear),
        "lost": found.lost,
        "doubled": found.doubled,
        "changed": found.changed,
        "acknowledged": found.acknowledged,
        "orders": found.orders,
        "messages": found.messages,
        "events": found.events,
    }
