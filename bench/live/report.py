"""From loads to rows, ratios, a table, a picture and a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parent.parent / "results" / "live.json"
OURS: Final = "#0b6e4f"
OTHERS: Final = "#9a9a9a"
# What is hoped for; the first two are at least so much, the others at most.
AT_LEAST: Final = {"shared_messages_per_cpu_s": 40_000.0, "unshared_vs_strawberry": 2.0, "subscribers_held": 10_000.0}
AT_MOST: Final = {"kb_per_subscriber": 35.0, "p99_ms_2000": 500.0}
Rows = Sequence[Mapping[str, Any]]


def ratios(rows: Rows) -> dict[str, float]:
    """The figures by name: medians over the rounds, of what stood side by side in one where two are compared."""
    speeds = {way: [row["messages_per_cpu_s"] for row in rows if row["measured"] == way] for way in WAYS}
    pairs = zip(speeds["unshared"], speeds["strawberry"], strict=True)
    held = max((row for row in rows if row["measured"] == "held"), key=lambda row: row["subscribers"])
    [late] = [row for row in rows if row["measured"] == "latency" and row["subscribers"] == 2_000]
    return {
        "shared_messages_per_cpu_s": round(median(speeds["shared"])),
        "unshared_vs_strawberry": round(median(ours / theirs for ours, theirs in pairs), 3),
        "kb_per_subscriber": round(held["kb_each"], 1),
        "subscribers_held": held["subscribers"],
        "p99_ms_2000": late["p99_ms"],
    }


WAYS: Final = {"shared": "one execution for all", "unshared": "one execution each", "strawberry": "Strawberry, each"}


def write(results: Mapping[str, Any]) -> Path:
    """The file of results, written anew."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return RESULTS


def show(console: Console, rows: Rows, found: Mapping[str, float]) -> None:
    """Print what was measured."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in names))
    console.print(table)
    short = Table("figure", "measured", "target")
    for name, value in found.items():
        least, most = AT_LEAST.get(name), AT_MOST.get(name)
        met = (least is None or value >= least) and (most is None or value <= most)
        target = f"≥ {least:g}" if least is not None else f"≤ {most:g}"
        short.add_row(name, f"{value:,.2f}", target + ("" if met else "  short"))
    console.print(short)


def plot(results: Mapping[str, Any], file: Path) -> None:
    """Write `file` (PNG): what a message costs, and how late it comes."""
    import matplotlib  # type: ignore[import-not-found,unused-ignore]

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows: Rows = results["rows"]
    figure, (cost, late) = pyplot.subplots(1, 2, figsize=(11, 3.6))
    speeds = [median(row["messages_per_cpu_s"] for row in rows if row["measured"] == way) for way in WAYS]
    bars = cost.barh(list(WAYS.values()), speeds, color=[OURS, OURS, OTHERS])
    cost.bar_label(bars, [f"{speed:,.0f}" for speed in speeds], padding=3, fontsize=8)
    cost.set_xlim(0, max(speeds) * 1.2)
    cost.set_title("GraphQL messages for a second of the server's processor", fontsize=10)
    cost.invert_yaxis()
    measured = [row for row in rows if row["measured"] == "latency"]
    for name, colour in (("p50_ms", OTHERS), ("p99_ms", OURS)):
        late.plot([r["subscribers"] for r in measured], [r[name] for r in measured], "o-", color=colour, label=name[:3])
    late.set_title("From mutation to event, one message a second; ms", fontsize=10)
    late.set_xlabel("subscribers", fontsize=8)
    late.legend(fontsize=8)
    about = results["machine"]
    figure.text(
        0.01, 0.01, f"{about['processor']}; load {about['load_before']} before, {about['load_after']} after", fontsize=7
    )
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
