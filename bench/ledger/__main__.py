"""`python -m bench.ledger`: starts the replica sets, runs all points interleaved in rounds, and reports."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast
from zlib import crc32

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.machine import machine, split_cores, versions
from bench.replica_sets import ReplicaSet, replica_set
from datastores import ledger
from datastores.commit import CommitLoop
from datastores.indexes import create_indexes
from datastores.ledger.entries import ENTRIES
from datastores.mongo import Database, Driver

from .designs import BULK_ENTRIES, NAIVE_ACCOUNTS, NAIVE_ENTRIES, funded_account
from .people import FUNDS, fund
from .plan import Point, points
from .plot import plot
from .processes import Loaders, loaders
from .report import cpu_ratios, load_of, ratios, row, show, write

PEOPLE: Final = 10_000
QUICK_PEOPLE: Final = 4_000
ROUNDS: Final = 3
QUICK_ROUNDS: Final = 3
DATABASE: Final = "bench"
WARM_UP: Final = 64
OUTPUT_WIDTH: Final = 120

Loads = dict[Point, list[dict[str, float]]]


async def run(console: Console, *, quick: bool, driver: Driver) -> dict[str, Any]:
    """The results over one and three nodes; raises SystemExit where money is not where it should be."""
    people, rounds = (QUICK_PEOPLE, QUICK_ROUNDS) if quick else (PEOPLE, ROUNDS)
    about: dict[str, Any] = {**machine(), "quick": quick, "people": people, "rounds": rounds, "cores_of": {}}
    loads: Loads = {}
    mongod = ""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for nodes in (1, 3):
            servers, clients = split_cores(nodes)
            about["cores_of"][f"{nodes}_nodes"] = {"servers": sorted(servers), "load": sorted(clients)}
            plan = points(nodes, quick=quick)
            bar = progress.add_task(f"{nodes} node{'s' * (nodes > 1)}", total=len(plan) * rounds)
            with tempfile.TemporaryDirectory(prefix="agora-bench-", ignore_cleanup_errors=True) as folder:
                async with replica_set(Path(folder), nodes, servers) as database_servers:
                    mongod = database_servers.version
                    await _set_up(database_servers.uri, driver, people)
                    async with loaders(database_servers.uri, DATABASE, driver, people, clients) as running:
                        await _warm_up(running, plan)
                        for number in range(rounds):
                            # Back and forth, so that no point always follows the same one.
                            for point in plan if number % 2 == 0 else reversed(plan):
                                load = await _load(running, database_servers, point, number + 1)
                                loads.setdefault(point, []).append(load)
                                progress.advance(bar)
                    await _check(database_servers.uri, driver, people)
    rows = [row(point, measured) for point, measured in loads.items()]
    return {
        "machine": about,
        "versions": versions(mongod, driver),
        "rows": rows,
        "ratios": ratios(loads),
        "cpu_ratios": cpu_ratios(loads),
    }


async def _set_up(uri: str, driver: Driver, people: int) -> None:
    database = await Database.connect(uri, name=DATABASE, driver=driver)
    await create_indexes(database)
    journal = ledger.INDEXES[ENTRIES]
    unnumbered = [index for index in journal if index.document["name"] != "partition_seq"]
    await database.create_collections({NAIVE_ACCOUNTS: [], NAIVE_ENTRIES: unnumbered, BULK_ENTRIES: journal})
    await database.insert_many(NAIVE_ACCOUNTS, [funded_account(number) for number in range(people)])
    await fund(CommitLoop(database, ledger.COMMIT_LOOP), people)
    await database.close()


async def _warm_up(running: Loaders, plan: Sequence[Point]) -> None:
    for at, design in enumerate(dict.fromkeys(point.design for point in plan)):
        # Its connections, which ask for news, would cost those something that are measured beside it.
        processes = 4 if design == "ledger" else 1
        await running.run(Point(1, design, "uniform", 16 * processes, processes), WARM_UP * processes, -1 - at)


async def _load(running: Loaders, servers: ReplicaSet, point: Point, number: int) -> dict[str, float]:
    before = servers.cpu_s()
    answers = await running.run(point, point.count, crc32(repr((point, number)).encode()))
    return load_of(answers, servers.cpu_s() - before)


async def _check(uri: str, driver: Driver, people: int) -> None:
    database = await Database.connect(uri, name=DATABASE, driver=driver)
    try:
        report = await ledger.verify(database)
        if not report.holds:
            raise SystemExit("\n".join(ledger.problem_lines(report.problems)))
        [total] = await database.aggregate(NAIVE_ACCOUNTS, [{"$group": {"_id": None, "posted": {"$sum": "$posted"}}}])
        if total["posted"] != people * FUNDS:
            raise SystemExit("the naive transaction has lost or made money")
    finally:
        await database.close()


def main() -> None:
    """Run by QUICK=1 (three minutes) or in full, with the driver of AGORA_MONGO_DRIVER."""
    console = Console(width=None if sys.stdout.isatty() else OUTPUT_WIDTH)
    driver = os.environ.get("AGORA_MONGO_DRIVER") or "motor"
    if driver not in ("motor", "pymongo"):
        sys.exit("agora: AGORA_MONGO_DRIVER must be motor or pymongo")
    quick = os.environ.get("QUICK", "") not in ("", "0")
    results = asyncio.run(run(console, quick=quick, driver=cast(Driver, driver)))
    show(console, results)
    file = write(results)
    console.print(f"written to {file}")
    plot(results["rows"], file.with_suffix(".png"))
    console.print(f"drawn as {file.with_suffix('.png')}")


main()
