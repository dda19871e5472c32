"""The stage of a benchmark of the graph: cores for servers and for loads, mongod with the town in it, and the loads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.machine import one_for_servers
from bench.replica_sets import ReplicaSet, replica_set

from .load import Load
from .rounds import Plan, Rounds, Target
from .town import Town, plant


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder, the loads that are made in it, mongod and the town, and the cores of servers and of all the rest."""

    folder: Path
    load: Load
    database: ReplicaSet
    town: Town
    serving: set[int]
    loading: set[int]


@asynccontextmanager
async def stage(console: Console, driver: str) -> AsyncIterator[Stage]:
    """The stage. From here on this process, and what it starts without more ado, has the cores of the loads."""
    serving, loading = one_for_servers()
    with tempfile.TemporaryDirectory(prefix="agora-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        load = Load(folder)
        os.sched_setaffinity(0, loading)
        async with replica_set(folder, 1, loading) as database:
            console.print("planting the town")
            town = await plant(folder, database.uri, driver)
            yield Stage(folder, load, database, town, serving, loading)


async def measured(
    console: Console, on: Stage, targets: Sequence[Target], plan: Plan, *, variations: int = 1
) -> Rounds:
    """The targets under their loads, once warm, with a progress bar; `loads` has what was measured."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("loads", total=Rounds.steps(len(targets), plan))
        rounds = Rounds(
            on.folder, on.town, on.load, targets, plan, variations=variations, on_step=lambda: progress.advance(bar)
        )
        await rounds.warm_up()
        await rounds.run()
    return rounds
