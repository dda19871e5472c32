"""What a client makes of a service that is well, slow, down, talks garbage or too much, or forgets itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from strawberry.asgi import GraphQL

from datastores.errors import UpstreamUnavailableError
from gateway.services import Upstream, UpstreamClient
from gateway.services.breakers import MAX_FAILURES, OPEN_S, Breaker
from gateway.services.clients import MAX_ATTEMPTS, MAX_CALLS, http_client
from resolvers.services import ServiceRefusedError
from tests.rides_service import RidesService, rides_service
from tests.unit.gateway.servers import serving

ASKED = {"pickup": "a", "dropoff": "b", "currency": "EUR"}


class Calls:
    """How each try ended."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def __call__(self, service: str, outcome: str, _duration_s: float) -> None:
        assert service == "rides"
        self.outcomes.append(outcome)


@pytest.fixture
async def service() -> AsyncIterator[RidesService]:
    async with rides_service() as service:
        yield service


async def test_it_is_asked_under_our_token(service: RidesService) -> None:
    calls = Calls()
    async with service.client(on_call=calls) as client:
        answer = await client.read("/quotes", ASKED)

    assert [quote["product"] for quote in answer["quotes"]] == ["City", "Comfort", "Van"]
    assert calls.outcomes == ["ok"]


async def test_a_token_that_it_does_not_know_is_refused_once(service: RidesService) -> None:
    calls = Calls()
    async with service.client(token="another", on_call=calls) as client:
        with pytest.raises(ServiceRefusedError) as refused:
            await client.read("/quotes", ASKED)

    assert (refused.value.status, refused.value.reason) == (401, "WHO_ARE_YOU")
    assert calls.outcomes == ["refused"]


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("error", "failure"),
        ("down", "failure"),
        ("garbage", "garbage"),
        ("redirect", "garbage"),
        ("huge", "too_large"),
    ],
)
async def test_what_is_only_read_is_tried_again(service: RidesService, way: str, outcome: str) -> None:
    calls = Calls()
    async with service.client(on_call=calls) as client:
        await service.control(way=way, times=MAX_ATTEMPTS - 1)
        answer = await client.read("/quotes", ASKED)

        await service.control(way=way)
        with pytest.raises(UpstreamUnavailableError) as failure:
            await client.read("/quotes", ASKED)

    assert len(answer["quotes"]) == 3
    assert not isinstance(failure.value, ServiceRefusedError)
    assert calls.outcomes == [outcome, outcome, "ok", outcome, outcome, outcome]


@pytest.mark.parametrize("way", ["slow", "drip"])
async def test_one_that_takes_its_time_is_given_up(service: RidesService, way: str) -> None:
    calls = Calls()
    async with service.client(on_call=calls) as client:
        await service.control(way=way)

        with pytest.raises(UpstreamUnavailableError, match="in time"):
            await client.read("/quotes", ASKED)

    # How much of it there was time for is the machine's to say.
    assert calls.outcomes[0] == "timeout"
    assert set(calls.outcomes) <= {"timeout", "cancelled"}


async def test_what_is_to_be_done_is_tried_again_only_under_a_key(service: RidesService) -> None:
    async with service.client() as client:
        quote = (await client.read("/quotes", ASKED))["quotes"][0]["id"]
        await service.control(way="lost", times=1)

        with pytest.raises(UpstreamUnavailableError):
            await client.act("/bookings", {"reference": "one", "quote_id": quote}, key=None)
        without = await service.control(way="lost", times=1)
        booked = await client.act("/bookings", {"reference": "two", "quote_id": quote}, key="two")
        with_key = await service.control()

    assert booked["reference"] == "two"
    assert without["asked"].count("POST /bookings") == 1
    assert with_key["asked"].count("POST /bookings") == 2
    assert with_key["bookings"] == ["two"]


async def test_a_service_that_keeps_failing_is_left_alone_and_found_again(service: RidesService) -> None:
    calls = Calls()
    clock = [0.0]
    async with http_client(service.upstream) as http:
        breaker = Breaker(lambda: clock[0])
        client = UpstreamClient("rides", service.upstream, http, breaker=breaker, on_call=calls)
        await service.control(way="down")
        for _ in range(2):
            with pytest.raises(UpstreamUnavailableError):
                await client.read("/quotes", ASKED)

        await service.control(way="")
        with pytest.raises(UpstreamUnavailableError, match="left alone"):
            await client.read("/quotes", ASKED)
        unheard = (await service.control())["asked"]
        clock[0] += OPEN_S
        together = await asyncio.gather(*(client.read("/quotes", ASKED) for _ in range(5)), return_exceptions=True)

    assert calls.outcomes[:6] == ["failure"] * MAX_FAILURES + ["open"]
    assert unheard == []
    assert sum(isinstance(one, dict) for one in together) == 1
    assert breaker.state == "closed"


async def test_no_more_than_so_many_calls_wait_for_it(service: RidesService) -> None:
    calls = Calls()
    async with service.client(on_call=calls) as client:
        await service.control(way="slow")
        waiting = [asyncio.create_task(client.read("/quotes", ASKED)) for _ in range(MAX_CALLS)]
        await asyncio.sleep(0)

        with pytest.raises(UpstreamUnavailableError, match="too many"):
            await client.read("/quotes", ASKED)

        for task in waiting:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
        )
        await service.control(way="")
        assert len((await client.read("/quotes", ASKED))["quotes"]) == 3


async def test_one_that_is_not_there_is_unavailable(service: RidesService) -> None:
    calls = Calls()
    # Port 9 is nobody's.
    upstream = Upstream("http://127.0.0.1:9", "token")
    async with http_client(upstream) as http:
        with pytest.raises(UpstreamUnavailableError):
            await UpstreamClient("rides", upstream, http, on_call=calls).read("/quotes", ASKED)

    assert calls.outcomes == ["connection"] * 3


@pytest.mark.parametrize("way", ["error", "refuse", "garbage", "redirect", "slow"])
async def test_no_secret_stands_in_an_error_or_a_log(
    service: RidesService, way: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with service.client() as client:
        await service.control(way=way)

        with pytest.raises(UpstreamUnavailableError) as failure:
            await client.read("/quotes", ASKED)

    chain: list[BaseException | None] = [failure.value, failure.value.__cause__]
    said = f"{failure.value.message} {failure.value.details} {chain!r} {service.upstream!r}"
    written = capsys.readouterr()
    ours = "".join(record.getMessage() for record in caplog.records if record.name != "hpack")
    assert service.token not in said + ours + written.out + written.err


@strawberry.type
class Query:
    @strawberry.field
    def twice(self, number: int) -> int:
        if number < 0:
            raise ValueError("secret of theirs")
        return 2 * number


async def test_a_service_that_speaks_graphql_is_asked_in_it() -> None:
    seen: list[str] = []
    app: Any = GraphQL(strawberry.Schema(Query))

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        seen.append(httpx.Headers(scope["headers"])["authorization"])
        await app(scope, receive, send)

    async with serving(guarded) as address:
        upstream = Upstream(f"http://{address}", "token")
        async with http_client(upstream) as http:
            client = UpstreamClient("numbers", upstream, http)
            answer = await client.query("query ($n: Int!) { twice(number: $n) }", {"n": 21})
            with pytest.raises(UpstreamUnavailableError) as failure:
                await client.query("query ($n: Int!) { twice(number: $n) }", {"n": -1})

    assert answer == {"twice": 42}
    assert set(seen) == {"Bearer token"}
    assert "secret" not in failure.value.message


async def test_an_answer_that_is_packed_is_refused() -> None:
    async def packed(_: Request) -> Response:
        return JSONResponse({}, headers={"Content-Encoding": "gzip"})

    calls: list[str] = []
    async with serving(Starlette(routes=[Route("/quotes", packed)])) as address:
        upstream = Upstream(f"http://{address}")
        async with http_client(upstream) as http:
            client = UpstreamClient("rides", upstream, http, on_call=lambda *call: calls.append(call[1]))
            with pytest.raises(UpstreamUnavailableError):
                await client.read("/quotes", ASKED)

    assert calls == ["garbage"] * 3
