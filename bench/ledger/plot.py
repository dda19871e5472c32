"""A picture of the rows, where matplotlib is installed: throughput by callers, one panel a workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def plot(rows: Sequence[Mapping[str, Any]], file: Path) -> bool:
    """Whether `file` (PNG) was written: matplotlib is not among what this project installs."""
    if find_spec("matplotlib") is None:
        return False
    import_module("matplotlib").use("agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    panels = sorted({(row["nodes"], row["workload"]) for row in rows}, key=str)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4 * len(panels), 4), sharey=True, squeeze=False)
    for panel, (nodes, workload) in zip(axes[0], panels, strict=True):
        here = [row for row in rows if (row["nodes"], row["workload"], row["processes"]) == (nodes, workload, 1)]
        for design in sorted({row["design"] for row in here}):
            line = sorted((row["concurrency"], row["tps"]) for row in here if row["design"] == design)
            panel.plot(*zip(*line, strict=True), marker="o", label=design)
        panel.set(xscale="log", yscale="log", title=f"{workload}, {nodes} nodes", xlabel="callers")
        panel.legend()
    axes[0][0].set_ylabel("transfers a second")
    figure.tight_layout()
    figure.savefig(file)
    return True
