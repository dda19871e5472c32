"""Knows the command: `python -m tests.differential --operations 100000`, and `--seed 1234` to see one again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .trials import Trial, try_all

DEFAULT_OPERATIONS = 100_000
MAX_SHOWN = 10
CHUNK = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where no answer differed, else 1."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Compiled operations beside graphql-core")
    parser.add_argument("--operations", type=int, default=DEFAULT_OPERATIONS, help="how many to try")
    parser.add_argument("--start", type=int, default=0, help="the first seed of them")
    parser.add_argument("--seed", type=int, help="try this one alone and print all of it")
    parser.add_argument("--worlds", type=int, default=1, help="how many in a row are one operation, in as many worlds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        (trial,) = try_all(range(asked.seed, asked.seed + 1), asked.worlds)
        _say(trial.text, str(trial.variables), str(dict(trial.ran)), *trial.found)
        return 1 if trial.found else 0
    return _run(range(asked.start, asked.start + asked.operations), max(asked.worlds, 1), max(asked.jobs, 1))


def _run(seeds: range, worlds: int, jobs: int) -> int:
    started = time.perf_counter()
    totals: Counter[str] = Counter()
    differing = 0
    columns = (TextColumn("operations"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("operations", total=len(seeds))
        for trial in _trials(seeds, worlds, jobs):
            totals.update(trial.ran)
            progress.advance(task)
            if trial.found:
                differing += 1
                if differing <= MAX_SHOWN:
                    lines = [
                        f"make fuzz SEED={trial.seed} ARGS='--worlds {worlds}'",
                        trial.text,
                        str(trial.variables),
                        *trial.found,
                    ]
                    progress.console.print("\n  ".join(lines), markup=False, highlight=False, soft_wrap=True)
    ran = ", ".join(f"{count} {how}" for how, count in sorted(totals.items()))
    seconds = time.perf_counter() - started
    _say(f"{len(seeds)} trials of {len(seeds) // worlds} operations in {seconds:.0f} s: {ran}; {differing} differed")
    return 1 if differing else 0


def _trials(seeds: range, worlds: int, jobs: int) -> Iterator[Trial]:
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for trials in pool.map(partial(try_all, worlds=worlds), chunks):
            yield from trials


def _say(*lines: str) -> None:
    console = Console()
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
