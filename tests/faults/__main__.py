"""`python -m tests.faults`: real nodes, real processes, and faults in rounds that a seed repeats."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from datastores.mongo import Database
from tests.faults import proofs, rounds
from tests.faults.auditor import Auditor
from tests.faults.command import command
from tests.faults.networks import usable_network
from tests.faults.replica_set import ELECTION_TIMEOUT_MS, NODES, ReplicaSet, replica_set
from tests.faults.report import Report
from tests.faults.rounds import FAULTS, Outcome, Scene, Worker
from tests.faults.town import open_database, plant

ROUNDS: Final = 10
ROUND_TIMEOUT_S: Final = 150.0
NAME: Final = "agora_faults"
CONTROL: Final = "agora_faults_control"


async def run(count: int, seed: int, only: Sequence[str], console: Console) -> bool:
    """Whether every promise held in all rounds, and the control without stable keys doubled."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-faults-")))
        network = usable_network(NODES)
        if network is not None:
            stack.callback(network.close)
        kinds = [name for name in only or FAULTS if network is not None or name != "cut primary"]
        console.print(
            f"seed {seed}; {NODES} nodes, elections after {ELECTION_TIMEOUT_MS / 1_000:.0f} s", highlight=False
        )
        if network is None:
            console.print("left out: cut primary, since network namespaces cannot be used here", highlight=False)
        replicas = await stack.enter_async_context(replica_set(folder, network))
        report = Report(seed)
        try:
            await _play_all(folder, replicas, kinds, count, report, console)
            report.doubled = await _control(folder, replicas, seed)
        finally:
            # What was played is worth seeing, also where a round could not be played to its end.
            if report.doubled == 0:
                report.broken.append("the control without stable keys did not double: this proves nothing")
            report.show(console)
            report.write()
        return not report.broken


async def _play_all(
    folder: Path, replicas: ReplicaSet, kinds: Sequence[str], count: int, report: Report, console: Console
) -> None:
    seed = report.seed
    async with open_database(replicas.uri, NAME, "pymongo") as database, AsyncExitStack() as stack:
        await plant(database)
        auditor = Auditor(replicas.uri, NAME)
        auditing = asyncio.create_task(auditor.run())
        stack.callback(auditing.cancel)
        workers = rounds.gateways(folder, replicas.uri, NAME, seed)
        followers = rounds.consumers(folder, replicas.uri, NAME)
        stack.push_async_callback(_kill_all, [*workers, *followers])
        for follower in followers:
            await follower.child.start()
        for number in range(1, count + 1):
            name, own_seed = kinds[(number - 1) % len(kinds)], seed + number
            scene = Scene(replicas, database, workers, random.Random(own_seed))
            outcome = await _one(name, scene, followers, database, auditor)
            report.played.append(outcome)
            console.print(_line(number, own_seed, outcome), highlight=False)
            report.broken += [f"round {number} ({name}, seed {own_seed}): {text}" for text in outcome.findings.broken]
            auditor.findings.clear()


async def _one(name: str, scene: Scene, followers: Sequence[Worker], database: Database, auditor: Auditor) -> Outcome:
    async with asyncio.timeout(ROUND_TIMEOUT_S):
        return await rounds.play(name, scene, followers, database, auditor)


async def _control(folder: Path, replicas: ReplicaSet, seed: int) -> int:
    """How many transfers happen twice where each try takes a new key and the primary is silent for a while."""
    async with open_database(replicas.uri, CONTROL, "pymongo") as database, AsyncExitStack() as stack:
        await plant(database)
        workers = rounds.gateways(folder, replicas.uri, CONTROL, seed, stable_keys=False)
        stack.push_async_callback(_kill_all, workers)
        scene = Scene(replicas, database, workers, random.Random(seed))
        began = time.time()
        for worker in workers:
            await worker.child.start()
        await rounds.until_answered(workers, began)
        await rounds.pause_primary(scene)
        await rounds.until_answered(workers, time.time())
        for worker in workers:
            await worker.child.end()
        return await proofs.doubled(database, [worker.folder for worker in workers])


async def _kill_all(workers: Sequence[Worker]) -> None:
    for worker in workers:
        await worker.child.kill()


def _line(number: int, seed: int, outcome: Outcome) -> str:
    found = outcome.findings
    held = "all holds" if not found.broken else f"{len(found.broken)} broken"
    return (
        f"round {number} (seed {seed}): {outcome.fault}: recovered in {outcome.recovery_s:.2f} s; "
        f"{outcome.answers} answers, {outcome.audits} audits; so far {found.acknowledged} keys "
        f"({found.refused} refused), {found.orders} orders, {found.messages} messages, {found.events} events seen, "
        f"{found.lost} lost, {found.doubled} doubled: {held}"
    )


if __name__ == "__main__":
    command("python -m tests.faults", __doc__, rounds=ROUNDS, faults=FAULTS, run=run)
