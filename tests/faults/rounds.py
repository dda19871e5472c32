"""One round: gateways at work, one fault in the middle of it, then silence and every proof."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from pymongo.errors import PyMongoError

from datastores.ledger.entries import ENTRIES, PARTITION
from datastores.mongo import Database, Driver
from tests.faults import consumer, gateway
from tests.faults.auditor import Auditor
from tests.faults.findings import Findings
from tests.faults.journals import rows
from tests.faults.processes import Child, python
from tests.faults.proofs import examine
from tests.faults.replica_set import ReplicaSet

DRIVERS: Final[tuple[Driver, ...]] = ("motor", "pymongo")
GATEWAYS: Final = 3
WORK_TIMEOUT_S: Final = 60.0
MAX_FREEING_S: Final = 5.0
MAX_RECOVERY_S: Final = 30.0
HELD_S: Final = 0.3
KILLS: Final = 5
CATCHES: Final = 400
POLL_S: Final = 0.05


@dataclass(frozen=True)
class Scene:
    """What a fault may strike."""

    replicas: ReplicaSet
    database: Database
    gateways: Sequence[Worker]
    random: random.Random


Fault = Callable[[Scene], Awaitable[float]]


class Worker:
    """A gateway or a consumer with its folder and its process."""

    def __init__(self, folder: Path, name: str, module: str, plan: gateway.Plan | consumer.Plan) -> None:
        self.name = name
        self.folder = Path(plan.folder)
        self.folder.mkdir()
        self.child = Child(folder, name, python(module, asdict(plan)))

    def answers(self) -> list[float]:
        """When its transfers were answered, in seconds since 1970."""
        return [row["at"] for row in rows(self.folder / "answers") if row["do"] == "transfer"]


@dataclass(frozen=True)
class Outcome:
    """A round: what was struck, how long nobody was answered since, and what the proofs found."""

    fault: str
    recovery_s: float
    answers: int
    audits: int
    unclear: Mapping[str, int]
    findings: Findings


def gateways(folder: Path, uri: str, database: str, seed: int, *, stable_keys: bool = True) -> list[Worker]:
    """Gateways that are not yet started, half of them on each driver."""
    plans = [
        gateway.Plan(uri, database, DRIVERS[i % 2], str(folder / f"{database}-gateway{i}"), seed + i, stable_keys)
        for i in range(GATEWAYS)
    ]
    return [Worker(folder, Path(plan.folder).name, gateway.__name__, plan) for plan in plans]


def consumers(folder: Path, uri: str, database: str) -> list[Worker]:
    """Two consumers that are not yet started: the first is to be left alone, the second to be killed."""
    names = ("steady", "killed")
    plans = [consumer.Plan(uri, database, DRIVERS[i], str(folder / name)) for i, name in enumerate(names)]
    return [Worker(folder, name, consumer.__name__, plan) for name, plan in zip(names, plans, strict=True)]


async def kill_primary(scene: Scene) -> float:
    """Kill the primary's process; it comes back once another has taken over."""
    primary = await scene.replicas.primary()
    struck = time.time()
    await primary.child.kill()
    await until_answered(scene.gateways, struck)
    await primary.child.start()
    return struck


async def pause_primary(scene: Scene) -> float:
    """Stop the primary's process for longer than an election takes; then it goes on as if nothing had happened."""
    primary = await scene.replicas.primary()
    struck = time.time()
    primary.child.signal(signal.SIGSTOP)
    await asyncio.sleep(scene.random.uniform(6.0, 16.0))
    primary.child.signal(signal.SIGCONT)
    return struck


async def step_down(scene: Scene) -> float:
    """Make the primary hand over."""
    primary = await scene.replicas.primary()
    struck = time.time()
    await scene.replicas.step_down(primary)
    return struck


async def cut_primary(scene: Scene) -> float:
    """Cut the primary off from the other nodes; the gateways still reach all of them."""
    network = scene.replicas.network
    if network is None:
        raise RuntimeError("there is no network to cut")
    primary = await scene.replicas.primary()
    struck = time.time()
    network.cut(primary.number)
    await asyncio.sleep(scene.random.uniform(5.0, 8.0))
    network.heal(primary.number)
    return struck


async def kill_gateway(scene: Scene) -> float:
    """Kill a gateway between the writes of a transaction and its commit; start it again with the same keys.

    What it has written keeps the ledger's next number from the others, until the database ends the transaction.
    """
    victim, struck = await _stop_within_a_transaction(scene)
    await victim.child.kill()
    await until_answered([each for each in scene.gateways if each is not victim], time.time())
    await victim.child.start()
    return struck


async def kill_gateways(scene: Scene) -> float:
    """Kill one gateway after the other, whatever it is doing, and start it again with the same keys."""
    struck = time.time()
    for _ in range(KILLS):
        victim = scene.random.choice(scene.gateways)
        await victim.child.kill()
        await victim.child.start()
        await asyncio.sleep(scene.random.uniform(0.0, 1.0))
    await until_answered(scene.gateways, time.time())
    return struck


async def pause_gateway(scene: Scene) -> float:
    """Stop a gateway within a transaction, with all that others have handed over to it; later it goes on as before."""
    victim, struck = await _stop_within_a_transaction(scene)
    await asyncio.sleep(scene.random.uniform(6.0, 9.0))
    victim.child.signal(signal.SIGCONT)
    return struck


async def _stop_within_a_transaction(scene: Scene) -> tuple[Worker, float]:
    """A gateway that was stopped between the writes of a transaction and its commit, and when."""
    for _ in range(CATCHES):
        victim = scene.random.choice(scene.gateways)
        struck = time.time()
        victim.child.signal(signal.SIGSTOP)
        if await _holds_the_ledger(scene):
            return victim, struck
        victim.child.signal(signal.SIGCONT)
        await asyncio.sleep(scene.random.uniform(0.0, 0.1))
    raise RuntimeError("no gateway was caught within a transaction")


async def _holds_the_ledger(scene: Scene) -> bool:
    """Whether the same number is held for a while: whoever runs has committed by then, who is stopped has not."""
    first = await _held_number(scene.database)
    if first is None:
        return False
    await asyncio.sleep(HELD_S)
    return await _held_number(scene.database) == first


async def _held_number(database: Database) -> int | None:
    """The next number of the ledger, where a transaction that is still open has taken it; else None."""
    async with database.transaction() as session:
        last = await database.find_one(ENTRIES, {"partition": PARTITION}, sort=[("seq", -1)], session=session)
        number = 1 + (last["seq"] if last else 0)
        probe = {"_id": "probe", "partition": PARTITION, "seq": number, "caller": "probe", "key": "probe"}
        try:
            await database.insert_one(ENTRIES, probe, session=session)
        except PyMongoError as error:
            return number if error.has_error_label("TransientTransactionError") else None
    return None


FAULTS: Final[Mapping[str, Fault]] = {
    "kill primary": kill_primary,
    "kill gateway": kill_gateway,
    "kill gateways": kill_gateways,
    "pause gateway": pause_gateway,
    "pause primary": pause_primary,
    "step down": step_down,
    "cut primary": cut_primary,
}

# A dead gateway frees its accounts within 5 s, and one that is gone for a while is not waited for. A new primary is
# elected within some 2 s here; what was under way at the old one ends when its connections do.
PROMISED_S: Final[Mapping[str, float]] = {
    name: MAX_FREEING_S if name.endswith(("gateway", "gateways")) else MAX_RECOVERY_S for name in FAULTS
}


async def play(name: str, scene: Scene, followers: Sequence[Worker], database: Database, auditor: Auditor) -> Outcome:
    """Play one round of this fault, and prove."""
    chance, audits = scene.random, auditor.audits
    before, unclear_before = sum(len(each.answers()) for each in scene.gateways), _unclear(scene.gateways)
    began = time.time()
    for each in scene.gateways:
        await each.child.start()
    await until_answered(scene.gateways, began)
    await asyncio.sleep(chance.uniform(0.5, 2.0))
    killing = asyncio.create_task(_kill_and_resume(followers[-1], chance.uniform(0.0, 3.0)))
    struck = await FAULTS[name](scene)
    await scene.replicas.healthy()
    await until_answered(scene.gateways, time.time())
    await killing
    await asyncio.sleep(1.0)
    quiet = time.time()
    statuses = [await each.child.end() for each in scene.gateways]
    findings = await examine(database, [each.folder for each in scene.gateways], [each.folder for each in followers])
    findings.broken += auditor.findings
    findings.demand(not any(statuses), f"a gateway gave up: {[each.child.last_words() for each in scene.gateways]}")
    for each in followers:
        findings.demand(each.child.is_running, f"{each.name} ended: {each.child.last_words()}")
    answers = [at for each in scene.gateways for at in each.answers()]
    silence = longest_silence(answers, struck, quiet)
    findings.demand(silence < PROMISED_S[name], f"nobody was answered for {silence:.1f} s")
    unclear = _unclear(scene.gateways) - unclear_before
    return Outcome(name, silence, len(answers) - before, auditor.audits - audits, unclear, findings)


def longest_silence(answers: Sequence[float], since: float, until: float) -> float:
    """The longest time in seconds between two answers, or from `since` to the first of them."""
    moments = [since, *sorted(at for at in answers if since < at < until), until]
    return max(later - earlier for earlier, later in pairwise(moments))


async def until_answered(workers: Sequence[Worker], since: float) -> None:
    """Wait until each of these gateways has been answered after `since`."""
    async with asyncio.timeout(WORK_TIMEOUT_S):
        for worker in workers:
            while not any(at > since for at in worker.answers()):
                if not worker.child.is_running:
                    raise RuntimeError(f"{worker.name} ended: {worker.child.last_words()}")
                await asyncio.sleep(POLL_S)


async def _kill_and_resume(worker: Worker, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await worker.child.kill()
    await worker.child.start()


def _unclear(workers: Sequence[Worker]) -> Counter[str]:
    found: Counter[str] = Counter()
    for worker in workers:
        for row in rows(worker.folder / "tries"):
            found.update(row["unclear"])
    return found
