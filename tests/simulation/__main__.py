"""Knows the command: `python -m tests.simulation --seeds 2000`, and `--seed 1234` to see one history again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .history import Result, simulate
from .towns import TOWNS

DEFAULT_SEEDS = 2_000
MAX_SHOWN = 10
MAX_PROBLEMS = 3
CHUNK = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every history held, else 1."""
    parser = argparse.ArgumentParser(
        prog="make simulate", description="Seeded histories of what the commit loops write"
    )
    parser.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, help="how many histories to run")
    parser.add_argument("--start", type=int, default=0, help="the first seed of them")
    parser.add_argument("--seed", type=int, help="run this one history alone and print all that happens in it")
    parser.add_argument("--town", choices=list(TOWNS), help="this town for every seed, instead of the seed's own")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many of them at once")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return _show(simulate(asked.seed, town=asked.town, keep_trace=True))
    return _run(range(asked.start, asked.start + asked.seeds), asked.town, max(asked.jobs, 1))


def _show(result: Result) -> int:
    _say(*result.lines)
    happened = ", ".join(f"{count} {name}" for name, count in result.happened.items())
    _say(f"seed {result.seed} ({result.town}): {happened}; trace {result.hash}")
    _say(*(f"  does not hold: {problem}" for problem in result.problems))
    return 1 if result.problems else 0


def _run(seeds: range, town: str | None, jobs: int) -> int:
    started = time.perf_counter()
    totals: Counter[str] = Counter()
    failed = 0
    failures = TextColumn("{task.fields[failed]} failed")
    columns = (TextColumn("histories"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), failures)
    with _results(seeds, town, jobs) as results, Progress(*columns) as progress:
        task = progress.add_task("histories", total=len(seeds), failed=0)
        for result in results:
            totals.update(result.counts)
            if result.problems:
                failed += 1
                if failed <= MAX_SHOWN:
                    again = f"make simulate SEED={result.seed}{f' TOWN={town}' if town else ''}"
                    lines = [again, *result.problems[:MAX_PROBLEMS]]
                    progress.console.print("\n  ".join(lines), markup=False, highlight=False, soft_wrap=True)
            progress.update(task, advance=1, failed=failed)
    seconds = time.perf_counter() - started
    _say(f"{len(seeds)} histories in {seconds:.1f} s, {len(seeds) / seconds:.0f} a second; {failed} failed")
    _say(*(f"{count:9,} {name}" for name, count in totals.items()))
    return 1 if failed else 0


@contextmanager
def _results(seeds: range, town: str | None, jobs: int) -> Iterator[Iterator[Result]]:
    play = partial(simulate, town=town)
    if jobs == 1:
        yield map(play, seeds)
        return
    # Each job is a fresh interpreter: a forked one would share what the console and the driver have started.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield pool.map(play, seeds, chunksize=CHUNK)


def _say(*lines: str) -> None:
    if lines:
        Console(soft_wrap=True).print(*lines, sep="\n", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
