"""Three real nodes of MongoDB on this machine, and what can befall the one that is primary."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from datastores.local.programs import HOST, Client, Mongod, find_program
from tests.faults.networks import Network
from tests.faults.processes import Child, free_ports

NODES: Final = 3
ELECTION_TIMEOUT_MS: Final = 2_000
HEARTBEAT_TIMEOUT_S: Final = 2
HEALTHY_TIMEOUT_S: Final = 90.0
STEP_DOWN_S: Final = 40
# How long the primary waits for the others first, while it takes no writes: as long as they need.
CATCH_UP_S: Final = 30
SOCKET_TIMEOUT_MS: Final = 60_000
POLL_S: Final = 0.1


class Node:
    """One member of the replica set, reachable at `place` (`host:port`)."""

    def __init__(self, mongod: Mongod, folder: Path, number: int, host: str, port: int, prefix: list[str]) -> None:
        data = folder / f"node{number}"
        data.mkdir()
        command = mongod.command(data, folder / f"node{number}.log", port)
        served = [f"{HOST},{host}" if part == HOST and host != HOST else part for part in command]
        self.number = number
        self.place = f"{host}:{port}"
        self.child = Child(folder, f"node{number}", [*prefix, *served])
        self.client: Client = AsyncMongoClient(
            host, port, directConnection=True, serverSelectionTimeoutMS=1_000, socketTimeoutMS=SOCKET_TIMEOUT_MS
        )


class ReplicaSet:
    """Three nodes that elect a primary within some 2 s, not MongoDB's usual 10 s, so that rounds are short."""

    def __init__(self, folder: Path, network: Network | None) -> None:
        mongod = find_program()
        if not isinstance(mongod, Mongod):
            raise SystemExit("agora: faults need the real mongod")
        self.network = network
        self._name = mongod.replica_set
        hosts = network.addresses if network else [HOST] * NODES
        ports = [27017] * NODES if network else free_ports(NODES)
        prefixes = [network.prefix(i) if network else [] for i in range(NODES)]
        self.nodes = [Node(mongod, folder, i, hosts[i], ports[i], prefixes[i]) for i in range(NODES)]

    @property
    def uri(self) -> str:
        """Where all three are found."""
        return f"mongodb://{','.join(node.place for node in self.nodes)}/?replicaSet={self._name}"

    async def start(self) -> None:
        """Start the nodes and make them one set."""
        for node in self.nodes:
            await node.child.start()
        members = [{"_id": node.number, "host": node.place} for node in self.nodes]
        settings = {
            "electionTimeoutMillis": ELECTION_TIMEOUT_MS,
            "heartbeatIntervalMillis": 500,
            # A new primary waits for so long for what the old one, which does not answer, may have written last.
            "heartbeatTimeoutSecs": HEARTBEAT_TIMEOUT_S,
        }
        config = {"_id": self._name, "members": members, "settings": settings}
        async with asyncio.timeout(HEALTHY_TIMEOUT_S):
            for node in self.nodes:
                while not await self._answers(node):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        await self.nodes[0].client.admin.command("replSetInitiate", config)
        await self.healthy()

    async def stop(self) -> None:
        """End every node."""
        for node in self.nodes:
            await node.client.close()
            node.child.signal(signal.SIGCONT)
            await node.child.kill()

    async def primary(self) -> Node:
        """The node that takes writes now; waits for one."""
        async with asyncio.timeout(HEALTHY_TIMEOUT_S):
            while True:
                for node in self.nodes:
                    if (await self._hello(node)).get("isWritablePrimary"):
                        return node
                await asyncio.sleep(POLL_S)

    async def healthy(self) -> float:
        """Wait until one node is primary and the others follow it; the seconds that took."""
        started = time.monotonic()
        async with asyncio.timeout(HEALTHY_TIMEOUT_S):
            while not await self._is_healthy():  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        return time.monotonic() - started

    async def step_down(self, node: Node) -> None:
        """Make the primary hand over in order."""
        await node.client.admin.command({"replSetStepDown": STEP_DOWN_S, "secondaryCatchUpPeriodSecs": CATCH_UP_S})

    async def _is_healthy(self) -> bool:
        hellos = [await self._hello(node) for node in self.nodes]
        primaries = [hello["me"] for hello in hellos if hello.get("isWritablePrimary")]
        followed = {hello.get("primary") for hello in hellos}
        ready = all(hello.get("isWritablePrimary") or hello.get("secondary") for hello in hellos)
        return ready and len(primaries) == 1 and followed == set(primaries)

    async def _answers(self, node: Node) -> bool:
        return bool(await self._hello(node))

    async def _hello(self, node: Node) -> dict[str, Any]:
        try:
            return dict(await node.client.admin.command("hello"))
        except PyMongoError:
            return {}


@asynccontextmanager
async def replica_set(folder: Path, network: Network | None) -> AsyncIterator[ReplicaSet]:
    """A running replica set with its data in `folder`, ended at the end."""
    replicas = ReplicaSet(folder, network)
    try:
        await replicas.start()
        yield replicas
    finally:
        await replicas.stop()
