"""Everything holds in sixty histories full of faults, and a seed is a history: the same one wherever it runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.faults import OF_COMMANDS, OF_COMMITS
from tests.simulation.history import simulate
from tests.simulation.scheduler import StuckError, run
from tests.simulation.towns import TOWNS

ROOT = Path(__file__).resolve().parents[3]
SEEDS = range(60)
MANY = ("refusals", "crashes", "rows of orders' logs", "events of conversations", "rows of inboxes", "posts")
HASHES = """
from tests.simulation.history import simulate
print(*(simulate(seed).hash for seed in range(8)))
"""


def hashes(hash_seed: str) -> list[str]:
    """The traces of the first seeds, in a process of their own that hashes strings in its own way."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", HASHES]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return answer.stdout.split()


def test_every_history_holds_and_all_kinds_of_faults_were_in_them() -> None:
    counts: Counter[str] = Counter()

    results = [simulate(seed) for seed in SEEDS]

    assert [(result.seed, result.problems) for result in results if result.problems] == []
    for result in results:
        counts.update(result.counts)
    assert counts["entries"] > 1_000
    assert min(counts[name] for name in MANY) > 30
    assert {name for name in counts if name.startswith("histories of")} == {f"histories of {town}" for town in TOWNS}
    assert {name for name in counts if name.startswith("commands with")} == {
        f"commands with {fault.value}" for fault in (*OF_COMMANDS, *OF_COMMITS)
    }


def test_a_seed_is_one_history_whatever_the_process() -> None:
    first, second = hashes("1"), hashes("2")

    assert len(set(first)) == 8
    assert first == second == [simulate(seed).hash for seed in range(8)]


def test_whoever_waits_for_ever_is_found_at_once() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError):
        run(wait)


def test_virtual_time_passes_at_once_and_exactly() -> None:
    async def sleep() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert run(sleep) == pytest.approx(86_400)
