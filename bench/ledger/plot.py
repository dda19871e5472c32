"""A picture of the rows: transfers a second by callers, one panel for each workload and replica set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Rows = Sequence[Mapping[str, Any]]

LINES: Final = {
    ("naive", 1): ("a transaction each", "#9a9a9a", "-"),
    ("ledger", 1): ("the ledger", "#0b6e4f", "-"),
    ("ledger", 4): ("the ledger, four processes", "#0b6e4f", ":"),
    ("bulk", 1): ("raw bulk insert of its entries", "#c08400", "--"),
    ("graphql", 1): ("the ledger through GraphQL", "#3b5bdb", "-"),
}
WORKLOADS: Final = {"uniform": "uniform", "hot": "one hot account", "zipf": "Zipf"}


def plot(rows: Rows, file: Path) -> None:
    """Write `file` (PNG); each point is a median of rounds."""
    # Imported late: the loading processes need none of it.
    import matplotlib  # type: ignore[import-not-found,unused-ignore]

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = sorted(
        {(row["nodes"], row["workload"]) for row in rows}, key=lambda p: (p[0], list(WORKLOADS).index(p[1]))
    )
    figure, grid = pyplot.subplots(1, len(panels), figsize=(3.4 * len(panels), 4.2), sharey=True, squeeze=False)
    for axes, (nodes, workload) in zip(grid[0], panels, strict=True):
        here = [row for row in rows if (row["nodes"], row["workload"]) == (nodes, workload)]
        _panel(axes, here)
        axes.set_title(f"{WORKLOADS[workload]}, {nodes} node{'s' * (nodes > 1)}", fontsize=10)
    grid[0][0].set_ylabel("transfers a second")
    handles = {
        label: handle for axes in grid[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=len(handles), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _panel(axes: Any, rows: Rows) -> None:
    for (design, processes), (label, colour, style) in LINES.items():
        mine = (row for row in rows if (row["design"], row["processes"]) == (design, processes))
        points = sorted((row["concurrency"], row["tps"]) for row in mine)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label, color=colour, linestyle=style)
    axes.set(xscale="log", yscale="log", xlabel="callers at once")
    ticks = sorted({row["concurrency"] for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
