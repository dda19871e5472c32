"""Rounds of what is live: a fault under load, consumers killed meanwhile, and the proof that each has 1..N in order."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import httpx

from tests.faults.live.cast import Consumer, Gateway
from tests.faults.live.listeners import Listener
from tests.faults.live.traffic import Graph, Traffic
from tests.faults.replica_set import ReplicaSet
from tests.faults.rounds import longest_silence

FIRST_EVENTS_TIMEOUT_S: Final = 60.0
RECOVERY_TIMEOUT_S: Final = 100.0
COMPLETE_TIMEOUT_S: Final = 100.0
LOOK_S: Final = 0.02
CALM_S: Final = 1.0

# A lease of 40 s outlives the process that delivered webhooks; a consumer waits up to 5 s before it comes back, and a
# webhook that failed 5 s and then 30 s.
PROMISED_S: Final[Mapping[str, float]] = {"chat": 15.0, "follow": 20.0, "receive": 60.0}


@dataclass(frozen=True)
class Scene:
    """What a fault may strike, and who must not notice."""

    replicas: ReplicaSet
    gateways: Sequence[Gateway]
    consumers: Sequence[Consumer]
    listeners: Sequence[Listener]
    traffic: Traffic
    partner: Graph
    http: httpx.AsyncClient
    random: random.Random

    @property
    def readers(self) -> list[Consumer | Listener]:
        """Everybody who hears."""
        return [*self.consumers, *self.listeners]


@dataclass
class Outcome:
    """A round: what was struck, who was killed, the longest silence of each way, and each promise that did not hold."""

    fault: str
    victims: Sequence[str]
    kills: int = 0
    silences: dict[str, float] = field(default_factory=dict)
    complete_s: float = 0.0
    events: int = 0
    messages: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    unclear: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def demand(self, holds: bool, text: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(text)


Fault = Callable[[Scene, Outcome], Awaitable[None]]


async def step_down(scene: Scene, _: Outcome) -> None:
    """Make MongoDB's primary hand over."""
    await scene.replicas.step_down(await scene.replicas.primary())


async def kill_primary(scene: Scene, _: Outcome) -> None:
    """Kill MongoDB's primary; it comes back once another has taken over."""
    primary = await scene.replicas.primary()
    await primary.child.kill()
    await scene.replicas.primary()
    await primary.child.start()


async def restart_primary(scene: Scene, _: Outcome) -> None:
    """End MongoDB's primary as an operator does, and start it again at once."""
    primary = await scene.replicas.primary()
    await primary.child.end()
    await primary.child.start()


async def restart_all_nodes(scene: Scene, _: Outcome) -> None:
    """End all of MongoDB, so that nothing is there to be read for a while, and start it again."""
    await asyncio.gather(*(node.child.end() for node in scene.replicas.nodes))
    await asyncio.sleep(scene.random.uniform(0.5, 3.0))
    await asyncio.gather(*(node.child.start() for node in scene.replicas.nodes))


async def kill_gateway(scene: Scene, _: Outcome) -> None:
    """Kill a gateway, whatever it is doing, and start it again."""
    victim = scene.random.choice(scene.gateways)
    await victim.child.kill()
    await victim.start(scene.http)


async def kill_all_gateways(scene: Scene, _: Outcome) -> None:
    """Kill all gateways at once, so that nobody gives back what a process had to itself, and start them again."""
    await asyncio.gather(*(gateway.child.kill() for gateway in scene.gateways))
    await asyncio.gather(*(gateway.start(scene.http) for gateway in scene.gateways))


async def stop_gateway(scene: Scene, outcome: Outcome) -> None:
    """Stop a gateway as an operator does, under load, and start it again: it ends by itself, with 0."""
    victim = scene.random.choice(scene.gateways)
    status = await victim.child.end()
    outcome.demand(status == 0, f"{victim.child.name} ended with {status}: {victim.child.last_words()}")
    await victim.start(scene.http)


async def roll_gateways(scene: Scene, outcome: Outcome) -> None:
    """Stop and start one gateway after the other."""
    for gateway in scene.gateways:
        status = await gateway.child.end()
        outcome.demand(status == 0, f"{gateway.child.name} ended with {status}: {gateway.child.last_words()}")
        await gateway.start(scene.http)


FAULTS: Final[Mapping[str, Fault]] = {
    "step down": step_down,
    "kill gateway": kill_gateway,
    "kill primary": kill_primary,
    "stop gateway": stop_gateway,
    "restart primary": restart_primary,
    "roll gateways": roll_gateways,
    "kill all gateways": kill_all_gateways,
    "restart all nodes": restart_all_nodes,
}


async def play(name: str, scene: Scene) -> Outcome:
    """Play one round of this fault, and prove."""
    victims = _victims(scene)
    outcome = Outcome(name, [each.name for each in victims])
    looking = asyncio.create_task(_look(scene))
    unclear = scene.traffic.unclear.copy()
    await scene.traffic.start()
    try:
        await _until_all_have_more(scene, FIRST_EVENTS_TIMEOUT_S)
        await asyncio.sleep(scene.random.uniform(0.0, CALM_S))
        struck = time.time()
        killing = [asyncio.create_task(_kill_at_random(scene.random, each, outcome)) for each in victims]
        await FAULTS[name](scene, outcome)
        await scene.replicas.healthy()
        await asyncio.gather(*killing)
        await _until_all_have_more(scene, RECOVERY_TIMEOUT_S)
        await asyncio.sleep(CALM_S)
        quiet = time.time()
        _note_silences(scene, outcome, victims, struck, quiet)
    finally:
        await scene.traffic.stop()
    try:
        await _prove(scene, outcome)
    finally:
        looking.cancel()
    outcome.unclear = scene.traffic.unclear - unclear
    return outcome


def _victims(scene: Scene) -> list[Consumer]:
    """One consumer of each way."""
    ways = {each.way for each in scene.consumers}
    return [scene.random.choice([each for each in scene.consumers if each.way == way]) for way in sorted(ways)]


async def _kill_at_random(chance: random.Random, consumer: Consumer, outcome: Outcome) -> None:
    """Kill a follower up to three times in a row, a receiver once: it would be waited for for longer and longer."""
    for _ in range(chance.randint(1, 3) if consumer.way == "follow" else 1):
        await asyncio.sleep(chance.uniform(0.0, 2.0))
        outcome.demand(
            consumer.child.is_running, f"{consumer.name} ended by itself: {consumer.child.last_words()[-500:]}"
        )
        await consumer.child.kill()
        await consumer.child.start()
        outcome.kills += 1


async def _look(scene: Scene) -> None:
    while True:
        for each in scene.readers:
            each.look()
        await asyncio.sleep(LOOK_S)


async def _until_all_have_more(scene: Scene, timeout_s: float) -> None:
    """Wait until every consumer has an event that was acknowledged after now, and every listener a message."""
    newest = max((int(event["seq"]) for event in await scene.partner.feed()), default=0)
    said = max(scene.traffic.messages, default=0)
    waiting = scene.readers
    async with asyncio.timeout(timeout_s):
        while waiting := [each for each in waiting if not _has_more(each, newest, said)]:
            for each in waiting:
                if isinstance(each, Consumer) and not each.child.is_running:
                    raise RuntimeError(f"{each.name} ended: {each.child.last_words()}")
            await asyncio.sleep(5 * LOOK_S)


def _has_more(reader: Consumer | Listener, seq: int, said: int) -> bool:
    if isinstance(reader, Consumer):
        return max(reader.seqs, default=0) > seq
    return bool(reader.heard) and reader.heard[-1][0] > said


def _note_silences(scene: Scene, outcome: Outcome, victims: Sequence[Consumer], struck: float, quiet: float) -> None:
    """The longest silence of each way: of those who were not killed, if there are any."""
    killed = {each.name for each in victims}
    for way, promised_s in PROMISED_S.items():
        of_way = [each for each in scene.readers if each.way == way]
        steady = [each for each in of_way if each.name not in killed] or of_way
        silence = max(longest_silence(each.arrivals.moments, struck, quiet) for each in steady)
        outcome.silences[way] = silence
        outcome.demand(silence < promised_s, f"nothing came for {silence:.1f} s by way of {way}")


async def _prove(scene: Scene, outcome: Outcome) -> None:
    """Wait until everybody has everything, and compare it with the feed and with what was acknowledged."""
    began = time.monotonic()
    feed = await scene.partner.feed()
    seqs = [int(event["seq"]) for event in feed]
    last, said = seqs[-1], max(scene.traffic.messages)
    try:
        async with asyncio.timeout(COMPLETE_TIMEOUT_S):
            while not all(_has_more(each, last - 1, said - 1) for each in scene.readers):  # noqa: ASYNC110
                await asyncio.sleep(5 * LOOK_S)
    except TimeoutError:
        outcome.demand(False, f"not all have everything after {COMPLETE_TIMEOUT_S:.0f} s")
    outcome.complete_s = time.monotonic() - began
    outcome.events, outcome.messages = len(seqs), len(scene.traffic.messages)
    paid = Counter(event["transfer"]["id"] for event in feed if event["type"] == "transfer.posted")
    outcome.lost += sum(transfer not in paid for transfer in scene.traffic.transfers)
    outcome.doubled += sum(paid[transfer] > 1 for transfer in scene.traffic.transfers)
    outcome.demand(outcome.lost + outcome.doubled == 0, "the feed does not have each payment once")
    befores = [None if event["previousSeq"] is None else int(event["previousSeq"]) for event in feed]
    outcome.demand(befores == [None, *seqs[:-1]], "the feed's previousSeq do not chain its events")
    for consumer in scene.consumers:
        _compare(outcome, consumer.name, consumer.seqs, seqs)
        status, said_text = await consumer.report()
        outcome.demand(status == 0, f"{consumer.name} says: {said_text}")
        outcome.demand(consumer.child.is_running, f"{consumer.name} ended: {consumer.child.last_words()}")
    for listener in scene.listeners:
        first = listener.heard[0][0]
        wanted = [seq for seq in sorted(scene.traffic.messages) if seq >= first]
        _compare(outcome, listener.name, [seq for seq, _ in listener.heard], wanted)
        others = [seq for seq, id in listener.heard if scene.traffic.messages.get(seq, id) != id]
        outcome.demand(not others, f"{listener.name} heard other messages than were sent: {others[:5]}")


def _compare(outcome: Outcome, who: str, has: Sequence[int], wanted: Sequence[int]) -> None:
    lost, doubled = len(set(wanted) - set(has)), len(has) - len(set(has))
    disordered = sum(later < earlier for earlier, later in pairwise(has))
    outcome.lost, outcome.doubled = outcome.lost + lost, outcome.doubled + doubled
    outcome.disordered += disordered
    text = f"{who} lacks {lost} of {len(wanted)}, has {doubled} twice and {disordered} out of order"
    outcome.demand(list(has) == list(wanted), text)


async def end_all(scene: Scene) -> None:
    """Kill what was started for the scene."""
    for consumer in scene.consumers:
        await consumer.child.kill()
    for gateway in scene.gateways:
        await gateway.child.kill()
