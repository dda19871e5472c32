"""`python -m bench.live`: a gateway on one core, listeners and a publisher on the other, beside plain Strawberry."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.graphql.candidates import Candidate, candidates
from bench.graphql.servers import Server, started
from bench.machine import machine, one_for_servers, versions
from bench.replica_sets import replica_set
from gateway.demo.operations import CONVERSE, SAY
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment

from .report import WAYS, plot, ratios, show, write

CATCH_UP_TIMEOUT_S: Final = 120.0
ANSWER_TIMEOUT_S: Final = 300.0
OUTPUT_WIDTH: Final = 140
LATE_S: Final = 8
SLOW: Final = 20
LONG: Final = 8_000
LONG_MESSAGES: Final = 250
SPARE_FILES: Final = 500
MAX_PROBES: Final = 400
_STREAM: Final = """subscription ($id: ID!, $after: Cursor) {
  messageAdded(conversationId: $id, after: $after) {
    cursor message { id seq text createdAt sender { id handle displayName } }
  }
}"""
# Which transfer one may see depends on who asks, so each is answered alone, though these messages have none.
_OWN_STREAM: Final = """subscription ($id: ID!) {
  messageAdded(conversationId: $id) {
    cursor message { id seq text createdAt sender { id handle displayName } transfer { id } }
  }
}"""
_PEER_SAY: Final = "mutation ($text: String!) { sendMessage(text: $text) }"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    messages: int
    shared: int
    unshared: int
    late: tuple[int, ...]
    held: int
    storm: int


FULL: Final = Plan(3, 40, 2_000, 400, (100, 1_000, 2_000, 10_000), 10_000, 5_000)
QUICK: Final = Plan(2, 20, 1_000, 200, (100, 1_000, 2_000), 2_000, 500)


class Publisher:
    """Says something to whoever listens: its text is the moment at which it was sent."""

    def __init__(
        self, http: httpx.AsyncClient, port: int, document: str, input: Mapping[str, Any] | None, token: str
    ) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}/graphql"
        self._document = document
        self._input = input
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def say(self, more: str = "") -> None:
        """Publish one message, which `more` makes longer; raises RuntimeError where it is refused."""
        text = f"{time.monotonic_ns()}{more}"
        variables = {"text": text} if self._input is None else {"input": {**self._input, "text": text}}
        body = {"query": self._document, "variables": variables}
        answer = (await self._http.post(self._url, json=body, headers=self._headers)).json()
        if "errors" in answer or "code" in str(answer):
            raise RuntimeError(str(answer)[:500])


class Crowd:
    """The listening process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def do(self, what: str, **asked: Any) -> dict[str, Any]:
        """Let the listeners do it; what they tell afterwards."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **asked}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("agora: the listening process has ended")
        told: dict[str, Any] = json.loads(line)
        return told

    async def until(self, fewest: int) -> dict[str, Any]:
        """Wait until each has heard so many events; what they tell then, or when the time is over."""
        return await self._until("fewest", fewest)

    async def until_events(self, events: int) -> dict[str, Any]:
        """The same for all that they have heard together."""
        return await self._until("events", events)

    async def _until(self, name: str, wanted: int) -> dict[str, Any]:
        ends = time.monotonic() + CATCH_UP_TIMEOUT_S
        while True:
            told = await self.do("tell")
            if told[name] >= wanted or time.monotonic() > ends:
                return told
            await asyncio.sleep(0.05)


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    """A process of listeners, ended by the end of its input."""
    command = (sys.executable, "-m", "bench.live.listeners")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**26)
    try:
        yield Crowd(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is heard where."""

    server: Server
    publisher: Publisher
    crowd: Crowd
    operation: Mapping[str, Any]
    own_operation: Mapping[str, Any]
    token: str | None

    async def gather(
        self,
        count: int,
        operations: Sequence[Mapping[str, Any]] | None = None,
        *,
        is_alone: bool = False,
        narrow: bool = False,
    ) -> None:
        """Open so many sockets, and return when each hears what is said."""
        operation = self.own_operation if is_alone else self.operation
        where = {"port": self.server.port, "path": "/graphql", "token": self.token}
        await self.crowd.do("open", **where, count=count, operation=operation, operations=operations, narrow=narrow)

    async def until_heard(self) -> None:
        """Return when each has heard something, and none is owed anything any more."""
        told: dict[str, Any] = {}
        for _ in range(MAX_PROBES):
            await self.publisher.say()
            await asyncio.sleep(0.3)
            if (told := await self.crowd.do("tell"))["fewest"]:
                break
        else:
            raise SystemExit(f"agora: some hear nothing: {told}")
        last = -1
        while (events := (await self.crowd.do("tell"))["events"]) != last:
            last = events
            await asyncio.sleep(0.5)
        await self.crowd.do("forget")

    async def throughput(self, way: str, count: int, messages: int) -> dict[str, Any]:
        """Messages for a second of the server's processor, all that it does for them included."""
        await self.gather(count, is_alone=way != "shared")
        await self.until_heard()
        cpu, began = self.server.cpu_s(), time.monotonic()
        for _ in range(messages):
            await self.publisher.say()
        told = await self.crowd.until(messages)
        used, took = self.server.cpu_s() - cpu, time.monotonic() - began
        await self._leave()
        return {
            "measured": way,
            "subscribers": count,
            "messages": told["events"],
            "messages_per_cpu_s": round(told["events"] / used),
            "messages_s": round(told["events"] / took),
            "missed": count * messages - told["events"],
        }

    async def latency(self, count: int) -> dict[str, Any]:
        """How late events come at one message a second."""
        await self.gather(count)
        await self.until_heard()
        for _ in range(LATE_S):
            began = time.monotonic()
            await self.publisher.say()
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))
        told = await self.crowd.until(LATE_S)
        await self._leave()
        late = {name: told[name] for name in ("p50_ms", "p99_ms")}
        return {"measured": "latency", "subscribers": count, **late, "missed": count * LATE_S - told["events"]}

    async def held(self, count: int) -> dict[str, Any]:
        """How many sockets hear a message, and the memory that each takes."""
        before = self.server.memory_mb()
        await self.gather(count)
        await self.until_heard()
        after = self.server.memory_mb()
        await self.publisher.say()
        told = await self.crowd.until(1)
        await self._leave()
        return {
            "measured": "held",
            "subscribers": told["events"],
            "kb_each": round((after - before) * 1000 / count, 1),
            "missed": count - told["events"],
        }

    async def storm(self, count: int, messages: int) -> dict[str, Any]:
        """All lose their sockets, something is said, and all come back with their cursors at once."""
        await self.gather(count)
        await self.until_heard()
        cursors = (await self.crowd.do("tell", cursors=True))["cursors"]
        await self._leave()
        for _ in range(messages):
            await self.publisher.say()
        variables = self.operation["variables"]
        began = time.monotonic()
        operations = [{**self.operation, "variables": {**variables, "after": cursor}} for cursor in cursors]
        await self.gather(count, operations)
        told = await self.crowd.until(messages)
        took = time.monotonic() - began
        await self._leave()
        return {
            "measured": "storm",
            "subscribers": count,
            "messages": told["events"],
            "seconds": round(took, 2),
            "missed": count * messages - told["events"],
            "twice": max(0, told["most"] - messages),
        }

    async def slow(self, count: int, messages: int) -> dict[str, Any]:
        """Some take nothing from their sockets while long messages come, more than sockets and queues hold: what of it
        the others and the memory feel.
        """
        await self.gather(count, narrow=True)
        await self.until_heard()
        before = self.server.memory_mb()
        await self.crowd.do("pause", count=SLOW)
        for _ in range(messages):
            await self.publisher.say("x" * LONG)
        wanted = (count - SLOW) * messages
        told = await self.crowd.until_events(wanted)
        grown = self.server.memory_mb() - before
        await self._leave()
        return {
            "measured": "slow",
            "subscribers": count,
            "messages": told["events"],
            "p99_ms": told["p99_ms"],
            "kb_each": round(max(grown, 0) * 1000 / SLOW, 1),
            "missed": max(0, wanted - told["events"]),
        }

    async def _leave(self) -> None:
        await self.crowd.do("close")
        # The server notices when it looks; what comes next begins with nobody there.
        await asyncio.sleep(1.0)


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises SystemExit where listeners hear nothing."""
    plan = QUICK if quick else FULL
    about: dict[str, Any] = {**machine(), "quick": quick, "rounds": plan.rounds}
    serving, loading = one_for_servers()
    about["cores_of"] = {"server": sorted(serving), "listeners_publisher_and_mongod": sorted(loading)}
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-bench-", ignore_cleanup_errors=True))
        )
        os.sched_setaffinity(0, loading)
        database = await stack.enter_async_context(replica_set(folder, 1, loading))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=60))
        fresh = partial(_agora, folder, database.uri, driver, serving, http)
        scene = await stack.enter_async_context(fresh())
        peer = await stack.enter_async_context(_strawberry(folder, serving, http))
        rows = await _rows(console, plan, scene, peer, fresh)
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {"machine": about, "versions": versions(database.version, driver), "rows": rows, "ratios": ratios(rows)}


async def _rows(
    console: Console, plan: Plan, ours: Scene, peer: Scene, fresh: Callable[[], AbstractAsyncContextManager[Scene]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("loads", total=plan.rounds * len(WAYS) + len(plan.late) + 3)

        def done(row: dict[str, Any]) -> None:
            rows.append(row)
            progress.advance(bar)

        done(await ours.held(plan.held))
        for number in range(plan.rounds):
            for way in WAYS if number % 2 == 0 else reversed(WAYS):
                scene = peer if way == "strawberry" else ours
                done(await scene.throughput(way, plan.shared if way == "shared" else plan.unshared, plan.messages))
        for count in plan.late:
            done(await ours.latency(count))
        done(await ours.storm(plan.storm, plan.messages))
        async with fresh() as new:
            # What other loads have left free would hide what slow listeners take.
            done(await new.slow(3 * SLOW, LONG_MESSAGES))
    return rows


@asynccontextmanager
async def _agora(
    folder: Path, uri: str, driver: str, on_cores: set[int], http: httpx.AsyncClient
) -> AsyncIterator[Scene]:
    gateway = candidates(uri, folder, driver)[0]
    candidate = replace(gateway, environment={**gateway.environment, "AGORA_MAX_SOCKETS": "20000"})
    async with started(candidate, folder / "agora.log", on_cores) as server, crowd() as listeners:
        yield await _scene(folder, server, listeners, http)


async def _scene(folder: Path, server: Server, listeners: Crowd, http: httpx.AsyncClient) -> Scene:
    issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
    speaker, hearer = issuer.token("speaker"), issuer.token("hearer")
    url = f"http://127.0.0.1:{server.port}/graphql"

    async def ask(token: str, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = (await http.post(url, json=body, headers={"Authorization": f"Bearer {token}"})).json()
        if not answer.get("data"):
            raise SystemExit(f"agora: {answer}")
        return answer["data"]

    heard_by = (await ask(hearer, "{ viewer { id } }"))["viewer"]["id"]
    await ask(speaker, "{ viewer { id } }")
    made = await ask(speaker, CONVERSE, input={"memberIds": [heard_by]})
    conversation = made["startConversation"]["conversation"]["id"]
    publisher = Publisher(http, server.port, SAY, {"conversationId": conversation}, speaker)
    variables = {"id": conversation}
    shared, own = {"query": _STREAM, "variables": variables}, {"query": _OWN_STREAM, "variables": variables}
    return Scene(server, publisher, listeners, shared, own, hearer)


@asynccontextmanager
async def _strawberry(folder: Path, on_cores: set[int], http: httpx.AsyncClient) -> AsyncIterator[Scene]:
    candidate = Candidate("strawberry", "Strawberry", (sys.executable, "-m", "bench.live.strawberry_peer"))
    operation = {"query": _OWN_STREAM, "variables": {"id": "any"}}
    async with started(candidate, folder / "strawberry.log", on_cores) as server, crowd() as listeners:
        publisher = Publisher(http, server.port, _PEER_SAY, None, "")
        yield Scene(server, publisher, listeners, operation, operation, None)


def main() -> None:
    """Run by QUICK=1 (three minutes) or in full, with the driver of AGORA_MONGO_DRIVER."""
    console = Console(width=None if sys.stdout.isatty() else OUTPUT_WIDTH)
    quick = os.environ.get("QUICK", "") not in ("", "0")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < (wanted := (QUICK if quick else FULL).held + SPARE_FILES):
        sys.exit(f"agora: this needs {wanted:,} open files a process, and the limit is {most:,}: raise it (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Whoever ends this process ends what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = asyncio.run(run(console, quick=quick, driver=os.environ.get("AGORA_MONGO_DRIVER") or "motor"))
    show(console, results["rows"], results["ratios"])
    file = write(results)
    console.print(f"written to {file}")
    plot(results, file.with_suffix(".png"))
    console.print(f"drawn as {file.with_suffix('.png')}")
    if wrong := [row for row in results["rows"] if row["missed"] or row.get("twice")]:
        sys.exit(f"agora: not each event was heard once: {wrong}")


if __name__ == "__main__":
    main()
