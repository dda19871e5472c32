"""The process is ready when everything that a request needs answers in time, and says what does not."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from gateway import health
from gateway.drain import Drain
from gateway.health import REMEMBERED_S, Check, Readiness, health_routes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Database:
    """Answers as it is told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def never() -> bool:
    await asyncio.Event().wait()
    return True


async def get(readiness: Readiness, path: str) -> tuple[int, dict[str, object]]:
    transport = httpx.ASGITransport(Starlette(routes=[*health_routes(readiness)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, answer.json()


def readiness(drain: Drain, clock: Clock | None = None, **checks: Check) -> Readiness:
    return Readiness(checks, is_draining=lambda: drain.is_draining, clock=clock or Clock())


async def test_ready_when_every_check_is_ok() -> None:
    ready = readiness(Drain(), database=Database(), indexes=Database())

    assert await get(ready, "/readyz") == (200, {"status": "ready", "checks": {"database": "ok", "indexes": "ok"}})


@pytest.mark.parametrize("answer", [False, ConnectionError("no primary")])
async def test_not_ready_when_one_fails(answer: bool | Exception) -> None:
    database = Database()
    database.answer = answer
    ready = readiness(Drain(), database=database, indexes=Database())

    status, body = await get(ready, "/readyz")

    assert status == 503
    assert body == {"status": "not ready", "checks": {"database": "failed", "indexes": "ok"}}
    assert (await get(ready, "/livez"))[0] == 200


async def test_a_check_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.05)

    status, body = await get(readiness(Drain(), database=never), "/readyz")

    assert (status, body["checks"]) == (503, {"database": "timeout"})


async def test_not_ready_while_the_process_stops() -> None:
    drain = Drain()
    ready = readiness(drain, database=Database())
    assert (await get(ready, "/readyz"))[0] == 200

    drain.start()

    assert (await get(ready, "/readyz"))[0] == 503
    assert (await get(ready, "/livez"))[0] == 200


async def test_many_probes_are_one_question() -> None:
    clock, database = Clock(), Database()
    ready = readiness(Drain(), clock, database=database)

    await asyncio.gather(*(ready.results() for _ in range(100)))
    await ready.results()
    assert database.asked == 1
    clock.now += REMEMBERED_S
    database.answer = False

    assert await ready.results() == {"database": "failed"}
    assert database.asked == 2


async def test_a_probe_that_goes_away_takes_the_answer_from_nobody() -> None:
    release = asyncio.Event()

    async def slow() -> bool:
        await release.wait()
        return True

    ready = readiness(Drain(), database=slow)
    first, second = (asyncio.create_task(ready.results()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    release.set()

    assert await second == {"database": "ok"}
