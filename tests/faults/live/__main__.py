"""`python -m tests.faults.live`: streams and webhooks through faults of real nodes and processes, in seeded rounds."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from gateway.app import open_gateway
from gateway.demo.script import PARTNER
from gateway.demo.town import plant
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment, Settings
from tests.contract.fleet import Proxy
from tests.contract.town import environment_of
from tests.faults.command import command
from tests.faults.live import rounds
from tests.faults.live.cast import Consumer, Gateway, consumers, languages
from tests.faults.live.listeners import Listener
from tests.faults.live.report import Report, line_of
from tests.faults.live.rounds import FAULTS, Scene
from tests.faults.live.traffic import Graph, Traffic
from tests.faults.replica_set import ELECTION_TIMEOUT_MS, NODES, ReplicaSet, replica_set

ROUNDS: Final = 8
GATEWAYS: Final = 2
ROUND_TIMEOUT_S: Final = 240.0
ANSWER_TIMEOUT_S: Final = 15.0
FIRST_WORD_TIMEOUT_S: Final = 30.0
DATABASE: Final = "agora_faults_live"
ENDPOINT: Final = """
mutation ($input: CreateWebhookEndpointInput!) { createWebhookEndpoint(input: $input) {
  ... on WebhookEndpointWithSecretSuccess { secret } ... on Error { code message } } }
"""
TALK: Final = """
mutation ($input: StartConversationInput!) { startConversation(input: $input) {
  ... on StartConversationSuccess { conversation { id } } ... on Error { code message } } }
"""


async def run(count: int, seed: int, only: Sequence[str], console: Console) -> bool:
    """Whether every promise held in all rounds."""
    report = Report(seed)
    console.print(f"seed {seed}; {NODES} nodes, elections after {ELECTION_TIMEOUT_MS / 1_000:.0f} s", highlight=False)
    if "typescript" not in languages():
        console.print("left out: the consumer in TypeScript, which needs Node.js and its build", highlight=False)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-faults-live-")))
        replicas = await stack.enter_async_context(replica_set(folder, None))
        scene = await stack.enter_async_context(_staged(folder, replicas, seed))
        kinds = list(only or FAULTS)
        try:
            for number in range(1, count + 1):
                name, own_seed = kinds[(number - 1) % len(kinds)], seed + number
                scene.random.seed(own_seed)
                async with asyncio.timeout(ROUND_TIMEOUT_S):
                    outcome = await rounds.play(name, scene)
                report.played.append(outcome)
                report.broken += [f"round {number} ({name}, seed {own_seed}): {text}" for text in outcome.broken]
                console.print(line_of(number, own_seed, outcome), highlight=False)
        finally:
            # What was played is worth seeing, also where a round could not be played to its end.
            report.show(console)
            report.write()
    return not report.broken


@asynccontextmanager
async def _staged(folder: Path, replicas: ReplicaSet, seed: int) -> AsyncIterator[Scene]:
    """Everybody on stage: gateways behind a proxy, consumers with their endpoints, and listeners."""
    async with AsyncExitStack() as stack:
        settings = Settings(port=0, data_dir=folder, database=DATABASE)
        issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
        async with open_gateway(settings, replicas.uri, issuer=issuer) as planting:
            await plant(planting, issuer, lambda _: None)
            await planting.stop()
        environment = {**environment_of(settings, replicas.uri), "AGORA_DRAIN_S": "2"}
        gateways = [Gateway(folder, f"gateway{number}", environment) for number in range(GATEWAYS)]
        limits = httpx.Limits(max_keepalive_connections=0)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S, limits=limits))
        url = await stack.enter_async_context(_behind_a_proxy([gateway.port for gateway in gateways]))
        key = issuer.partner_key(PARTNER).text
        alice, bob = Graph(http, url, issuer.token("alice")), issuer.token("bob")
        partner, chance = Graph(http, url, key), random.Random(seed)
        followers = consumers(folder, url, key)
        traffic = Traffic(alice, alice, "", chance)
        listeners: list[Listener] = []
        scene = Scene(replicas, gateways, followers, listeners, traffic, partner, http, chance)
        stack.push_async_callback(rounds.end_all, scene)
        await asyncio.gather(*(gateway.start(http) for gateway in gateways))
        await _endow(folder, partner, followers)
        traffic.conversation_id = await _conversation_with_bob(alice)
        listeners += [
            Listener("messageAdded", url, bob, traffic.conversation_id, await traffic.say()),
            Listener("inbox", url, bob, traffic.conversation_id, None),
        ]
        for listener in listeners:
            stack.callback(asyncio.create_task(listener.run()).cancel)
        await _until_heard(listeners, traffic)
        yield scene


@asynccontextmanager
async def _behind_a_proxy(ports: list[int]) -> AsyncIterator[str]:
    """The address of a proxy that gives each connection to the next of these ports that takes it."""
    proxy = Proxy(ports)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/graphql"
    finally:
        server.close()
        await proxy.end()


async def _endow(folder: Path, partner: Graph, followers: Sequence[Consumer]) -> None:
    """Give each receiver an endpoint, and start all consumers."""
    for consumer in followers:
        if consumer.way == "receive":
            input = {"url": consumer.url, "clientId": consumer.name}
            made = (await partner.patiently(ENDPOINT, input=input))["createWebhookEndpoint"]
            consumer.take_secret(folder, made["secret"])
        await consumer.child.start()


async def _conversation_with_bob(alice: Graph) -> str:
    bob = (await alice.patiently('{ user(handle: "bob") { id } }'))["user"]["id"]
    started = await alice.patiently(TALK, input={"memberIds": [bob]})
    return str(started["startConversation"]["conversation"]["id"])


async def _until_heard(listeners: Sequence[Listener], traffic: Traffic) -> None:
    """Say something until every listener has heard it: the inbox begins with what is live."""
    async with asyncio.timeout(FIRST_WORD_TIMEOUT_S):
        while not all(listener.heard for listener in listeners):
            await traffic.say()
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    command("python -m tests.faults.live", __doc__, rounds=ROUNDS, faults=FAULTS, run=run)
