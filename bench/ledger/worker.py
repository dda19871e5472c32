"""One loading process: takes loads as lines of JSON, waits for the word to go, and answers what each one took."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import uvloop

from datastores.mongo import Database
from gateway.cli.serving import spare_collections
from gateway.logs import configure_logs
from gateway.settings import LogFormat, LogLevel

from .designs import Bulk, Design, Ledger, Naive
from .graph import ThroughGraphQL
from .people import Request, requests

DEADLINE_S: Final = 20.0
# The gateway's log goes to standard output as well: answers have a descriptor of their own.
_ANSWERS: Final = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


async def measure(design: Design, wanted: Sequence[Request], concurrency: int) -> dict[str, Any]:
    """Post all of them, so many at a time: begin and end on the machine's monotonic clock, and each latency in ms.

    After 20 s no more are begun, and what is under way is left: the result counts those that were acknowledged.
    """
    queue = iter(wanted)
    latencies: list[float] = []

    async def one_after_another() -> None:
        for request in queue:
            started = time.perf_counter()
            await design.post(request)
            latencies.append(round((time.perf_counter() - started) * 1e3, 3))

    cpu, began = time.process_time(), time.monotonic()
    workers = [asyncio.create_task(one_after_another()) for _ in range(concurrency)]
    done, left = await asyncio.wait(workers, timeout=DEADLINE_S, return_when=asyncio.FIRST_EXCEPTION)
    ended, used = time.monotonic(), time.process_time() - cpu
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in done:
        task.result()
    return {"began": began, "ended": ended, "cpu_s": used, "latencies": latencies, "stopped": bool(left)}


async def open_design(kind: str, uri: str, name: str, driver: Any) -> Design:
    """The design of this name, whose connections nobody else in this process has."""
    if kind == "naive":
        return Naive(uri, name)
    if kind == "graphql":
        return ThroughGraphQL(uri, driver)
    database = await Database.connect(uri, name=name, driver=driver)
    return Ledger(database) if kind == "ledger" else Bulk(database)


async def serve(uri: str, name: str, driver: Any, people: int) -> None:
    """Answer loads until the input ends; each design is opened when it is first asked for."""
    designs: dict[str, Design] = {}
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # As a gateway does.
    spare_collections()
    _say({"ready": os.getpid()})
    while line := await reader.readline():
        load = json.loads(line)
        if (kind := load["design"]) not in designs:
            designs[kind] = await open_design(kind, uri, name, driver)
        design = designs[kind]
        wanted = requests(load["workload"], people, load["count"], load["seed"])
        await design.prepare(wanted)
        _say({"ready": os.getpid()})
        await reader.readline()
        _say(await measure(design, wanted, load["concurrency"]))
    for design in designs.values():
        await design.close()


def _say(answer: dict[str, Any]) -> None:
    _ANSWERS.write(json.dumps(answer) + "\n")
    _ANSWERS.flush()


if __name__ == "__main__":
    configure_logs(LogLevel.ERROR, LogFormat.CONSOLE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
