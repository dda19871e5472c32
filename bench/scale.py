"""`python -m bench.scale`: writes the figures of docs/scale.md anew from what benchmarks have left in bench/results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "scale.md"
RESULTS: Final = ROOT / "bench" / "results"

# What is taken for granted, and nobody has measured.
PEOPLE: Final = 300_000_000
ACTIVE_SHARE: Final = 0.4
REQUESTS_A_DAY: Final = 100
PEAK: Final = 3
TRANSFER_SHARE: Final = 0.02
ONLINE_SHARE: Final = 0.05
SOCKETS_A_PROCESS: Final = 10_000
BUSY: Final = 0.7
TOPOLOGIES: Final = {"one": "one process", "two_processes": "two processes", "hive": "Hive", "grafbase": "Grafbase"}
WORKLOADS: Final = {
    "q1": "one person by id",
    "q2": "50 posts with their authors",
    "q3": "all four domains",
    "q4": "500 posts",
    "transfer": "a payment",
    "mixed": "the mixture",
}
NONE_YET: Final = "Not measured yet: run `make bench-topologies`, then `python -m bench.scale`."


def main() -> None:
    """Write the page's tables."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("topologies", topologies()), ("sums", sums())):
        text = replaced(text, name, table)
    PAGE.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, table: str) -> str:
    """The text with this table between its marks; raises ValueError where they are missing."""
    begin, end = f"<!-- {name}: made by `python -m bench.scale` -->\n", f"<!-- end of {name} -->"
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"the marks of {name} are missing")
    return f"{head}{begin}{table}\n{end}{tail}"


def topologies() -> str:
    """Processor time and p99 of each topology by what is asked, or that nobody has measured them."""
    found = results("topologies")
    if found is None:
        return NONE_YET
    rows = {(row["topology"], row["workload"]): row for row in found["rows"]}
    names = list(dict.fromkeys(topology for topology, _ in rows))
    lines = [f"| | {' | '.join(TOPOLOGIES[name] for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for workload in dict.fromkeys(workload for _, workload in rows):
        cells = [cell(found["ratios"], rows[name, workload], name, workload) for name in names]
        lines.append(f"| {WORKLOADS[workload]} | {' | '.join(cells)} |")
    mixed = [f"{rows[name, 'mixed']['p99_ms']:,.0f} ms" for name in names]
    lines.append(f"| p99 of the mixture | {' | '.join(mixed)} |")
    about = found["machine"]
    count = about.get("variations", 1)
    variations = "one variation" if count == 1 else f"{count} variations"
    how = (
        "µs of processor time a request, of all processes but the database, and how many times that of one process: "
        f"the median of {about['rounds']} rounds. {about['connections']} connections; reads in {variations}, since "
        "routers send equal requests that are under way together only once."
    )
    return "\n".join([*lines, "", f"{how} {machine(found)}"])


def cell(ratios: Any, row: Any, name: str, workload: str) -> str:
    """What a request takes in a topology, and how many times what it takes in one process."""
    prefix = "" if workload == "mixed" else f"{workload}_"
    ratio = ratios.get(f"{prefix}cpu_{name}_vs_one")
    return f"{row['cpu_us']:,.0f}" + (f" ({ratio:.2f} ×)" if ratio is not None else "")


def sums() -> str:
    """What was measured, what is assumed, and what follows."""
    graph, ledger = results("graphql"), results("ledger")
    if graph is None or ledger is None:
        return NONE_YET
    mixed = next(row for row in graph["rows"] if (row["candidate"], row["workload"]) == ("agora", "mixed"))
    kept = [row for row in ledger["rows"] if (row["design"], row["workload"], row["nodes"]) == ("ledger", "uniform", 3)]
    best = max(kept, key=lambda row: float(row["tps"]))
    peak = PEOPLE * ACTIVE_SHARE * REQUESTS_A_DAY / 86_400 * PEAK
    cores = peak * mixed["cpu_us"] / 1e6
    transfers = peak * TRANSFER_SHARE
    sockets = PEOPLE * ONLINE_SHARE
    processes = math.ceil(cores / BUSY)
    rows = [
        ("measured", "CPU for a request of the mixed workload (`graphql.json`)", f"{mixed['cpu_us']:,.0f} µs"),
        ("measured", "memory of that process", f"{mixed['memory_mb']:,.0f} MB"),
        ("measured", "transfers a second of one ledger, three nodes (`ledger.json`)", f"{best['tps']:,.0f}"),
        ("assumed", "people", f"{PEOPLE:,}"),
        ("assumed", "active on a day, requests of each", f"{ACTIVE_SHARE:.0%}, {REQUESTS_A_DAY}"),
        ("assumed", "peak over the mean, use of a core", f"{PEAK} ×, {BUSY:.0%}"),
        (
            "assumed",
            "requests that move money, people with an open socket",
            f"{TRANSFER_SHARE:.0%}, {ONLINE_SHARE:.0%}",
        ),
        ("follows", "requests a second at the peak", f"{peak:,.0f}"),
        ("follows", "processes of one core each at that use", f"{processes:,}"),
        ("follows", "their memory", f"{processes * mixed['memory_mb'] / 1e3:,.0f} GB"),
        ("follows", "processes for the sockets alone, 10,000 each", f"{math.ceil(sockets / SOCKETS_A_PROCESS):,}"),
        ("follows", "transfers a second at the peak", f"{transfers:,.0f}"),
        ("follows", "partitions of the ledger", f"{math.ceil(transfers / best['tps']):,}"),
    ]
    lines = ["| | what | how much |", "|---|---|---|", *(f"| {kind} | {what} | {much} |" for kind, what, much in rows)]
    return "\n".join([*lines, "", f"`graphql.json`: {machine(graph)} `ledger.json`: {machine(ledger)}"])


def results(name: str) -> Any:
    """What a benchmark has left, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def machine(found: Any) -> str:
    """On what it was measured."""
    about = found["machine"]
    quick = ", a quick run" if about.get("quick") else ""
    return f"{about['processor']}, {about['cores']} cores, load {about.get('load_before', '?')} before{quick}."


if __name__ == "__main__":
    main()
