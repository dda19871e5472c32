"""The reference consumer in Python ends with every event, once and in order, however often it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.contract.apps import App, open_app
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONSUMER = Path(__file__).resolve().parents[2] / "examples" / "python" / "consumer.py"
PATIENCE_S = 90.0


def free_port() -> int:
    """A port that no connection is given by chance, while nobody listens there."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Consumer:
    """The consumer with its state, started and killed as a test likes."""

    def __init__(self, app: App, folder: Path, *command: str, secret: str = "") -> None:
        self._app = app
        self._folder = folder
        self._command = command
        self._environment = {**os.environ, "AGORA_KEY": app.text, "WEBHOOK_SECRET": secret}

    @property
    def seqs(self) -> list[int]:
        """The numbers of the events that were kept, in the order in which they were."""
        path = self._folder / "events.ndjson"
        whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
        return [int(json.loads(line)["seq"]) for line in whole.splitlines()]

    async def has(self, events: int) -> None:
        """Wait until so many are kept."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.seqs) < events:  # noqa: ASYNC110  # another process writes them
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it, and kill it at the end: -9, whatever it is doing."""
        process = await self._start(*self._command)
        try:
            yield
        finally:
            assert process.returncode is None, "the consumer ended by itself"
            os.kill(process.pid, signal.SIGKILL)
            await process.communicate()

    async def report(self) -> tuple[int, str]:
        """What it says of itself."""
        process = await self._start("report")
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode().strip()

    async def _start(self, *command: str) -> asyncio.subprocess.Process:
        arguments = [*command, "--state", str(self._folder), "--graph", self._app.town.url]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, str(CONSUMER), *arguments, stdout=pipe, stderr=pipe, env=self._environment
        )


async def killed_at_random(app: App, consumer: Consumer, seed: int, rounds: int, each: int) -> None:
    """Let events happen while the consumer is killed at random points, some of them while it is away."""
    chance = random.Random(seed)
    seen = 0
    for _ in range(rounds):
        async with consumer.running():
            happening = asyncio.create_task(app.happen(each))
            await consumer.has(seen + chance.randint(1, each))
            await asyncio.sleep(chance.random() * 0.05)
        await happening
        seen = len(consumer.seqs)
    async with consumer.running():
        await consumer.has(rounds * each)


@pytest.mark.parametrize("seed", [1, 2])
async def test_it_follows_through_kills(town: Town, tmp_path: Path, seed: int) -> None:
    app = await open_app(town)
    consumer = Consumer(app, tmp_path, "follow")

    await killed_at_random(app, consumer, seed, rounds=3, each=8)

    assert consumer.seqs == [int(event["seq"]) for event in await app.feed()]
    assert await consumer.report() == (0, "24 events, complete")


async def test_it_receives_webhooks_through_kills(town: Town, tmp_path: Path) -> None:
    app = await open_app(town)
    port = free_port()
    made = await app.endpoint(f"http://127.0.0.1:{port}/")
    consumer = Consumer(app, tmp_path, "receive", "--port", str(port), secret=made["secret"])

    await killed_at_random(app, consumer, seed=3, rounds=2, each=6)

    assert consumer.seqs == [int(event["seq"]) for event in await app.feed()]
    assert await consumer.report() == (0, "12 events, complete")


async def test_what_it_missed_it_reads(town: Town, tmp_path: Path) -> None:
    app = await open_app(town)
    port = free_port()
    await app.happen(3)
    # The endpoint begins with what happens now: its first event names one that the consumer has not got.
    made = await app.endpoint(f"http://127.0.0.1:{port}/")
    consumer = Consumer(app, tmp_path, "receive", "--port", str(port), secret=made["secret"])

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(consumer.running())
        await app.happen(1)
        await consumer.has(4)

    assert consumer.seqs == [int(event["seq"]) for event in await app.feed()]


async def test_it_says_what_is_missing(town: Town, tmp_path: Path) -> None:
    app = await open_app(town)
    await app.happen(3)
    events = await app.feed()
    (tmp_path / "events.ndjson").write_text("".join(f"{json.dumps(each)}\n" for each in (events[0], events[2])))

    code, said = await Consumer(app, tmp_path, "follow").report()

    assert (code, said) == (1, f"2 events, {events[1]['seq']} is missing before {events[2]['seq']}")
