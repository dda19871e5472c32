"""The topologies as processes: one gateway, two of them, and routers in front of the subgraphs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.graphql.candidates import candidates as single_servers
from tests.topologies.processes import Program, answers_typename, running
from tests.topologies.routers import router
from tests.topologies.subgraphs import AGORA, subgraphs

ONE: Final = "one"
TWO: Final = "two_processes"
ROUTERS: Final = ("hive", "grafbase")
TITLES: Final = {
    ONE: "one process",
    TWO: "two processes",
    "hive": "Hive Gateway and subgraphs",
    "grafbase": "Grafbase and subgraphs",
}
# On one busy core an answer of nine processes takes its time.
SUBGRAPH_TIMEOUT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a load is sent to: one port of a topology, with all that works for it."""

    title: str
    port: int
    programs: tuple[Program, ...]

    def cpu_s(self) -> float:
        """Seconds of processor time that all its processes have used so far."""
        return sum(program.processor_s() for program in self.programs)

    def memory_mb(self) -> float:
        """The memory that they hold at the moment; MB."""
        return sum(program.memory_mb() for program in self.programs)


@dataclass(frozen=True, slots=True)
class Topology:
    """A topology that serves; clients spread evenly over its entrances."""

    name: str
    entrances: Sequence[Entrance]


@asynccontextmanager
async def topologies(uri: str, folder: Path, driver: str) -> AsyncIterator[list[Topology]]:
    """All of them, over one database, with the keys in `folder`."""
    environment = single_servers(uri, folder, driver)[0].environment
    async with AsyncExitStack() as stack:
        gateways = []
        for number in range(3):
            log = folder / f"gateway-{number}.log"
            command = (*AGORA, "serve", "--port", "0")
            started = running("agora", command, log, environment=environment, is_ready=answers_typename)
            gateways.append(await stack.enter_async_context(started))
        alone, *pair = (Entrance("agora", gateway.port, (gateway,)) for gateway in gateways)
        found = [Topology(ONE, [alone]), Topology(TWO, pair)]
        programs = await stack.enter_async_context(subgraphs(environment, folder))
        addresses = {name: program.url.removesuffix("/graphql") for name, program in programs.items()}
        for name in ROUTERS:
            here = folder / name
            here.mkdir()
            front = await stack.enter_async_context(
                router(name, addresses, here, subgraph_timeout_s=SUBGRAPH_TIMEOUT_S)
            )
            entrance = Entrance(name, front.program.port, (front.program, *programs.values()))
            found.append(Topology(name, [entrance]))
        yield found
