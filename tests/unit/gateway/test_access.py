"""Every request has an id and is counted, failures are answered, and a process that stops takes nothing new."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from gateway.access import Access
from gateway.drain import Drain
from gateway.metrics import Metrics
from gateway.transports.limits import Limits
from tests.unit.gateway.servers import serving


class App:
    """Answers 200, or as the path says; holds a request to `/slow` until it is released."""

    def __init__(self) -> None:
        self.request_ids: list[str] = []
        self.entered = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request_ids.append(scope["state"]["request_id"])
        if scope["path"] == "/fails":
            raise RuntimeError("nobody foresaw this")
        if scope["path"] == "/slow":
            self.entered.set()
            await self.released.wait()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            raise RuntimeError("nobody foresaw this either")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kept", b"1")]})
        if scope["path"] == "/fails-between":
            raise RuntimeError("nobody foresaw a head alone")
        if scope["path"] == "/fails-late":
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("half an answer was sent")
        await send({"type": "http.response.body", "body": b"ok"})


def count(metrics: Metrics, status: int) -> float | None:
    return metrics.registry.get_sample_value("agora_http_requests_total", {"method": "GET", "status": str(status)})


async def test_an_id_is_made_passed_on_and_sent_back() -> None:
    app, metrics = App(), Metrics()

    async with serving(Access(app, Drain(), metrics)) as address, httpx.AsyncClient() as client:
        made = await client.get(f"http://{address}/")
        given = await client.get(f"http://{address}/", headers={"X-Request-Id": "trace-0123456789"})

    assert app.request_ids == [made.headers["X-Request-Id"], "trace-0123456789"]
    assert given.headers["X-Request-Id"] == "trace-0123456789"
    assert made.headers["X-Kept"] == "1"
    assert count(metrics, 200) == 2


@pytest.mark.parametrize("path", ["fails", "fails-between"])
async def test_a_failure_is_answered_with_the_id_alone(path: str) -> None:
    metrics = Metrics()

    async with serving(Access(App(), Drain(), metrics)) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/{path}", headers={"X-Request-Id": "trace-0123456789"})

    assert answer.status_code == 500
    assert "foresaw" not in answer.text
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "trace-0123456789"}
    assert count(metrics, 500) == 1


async def test_a_failure_in_the_middle_of_an_answer_ends_the_connection() -> None:
    async with serving(Access(App(), Drain(), Metrics())) as address, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://{address}/fails-late")
        assert (await client.get(f"http://{address}/")).text == "ok"


async def test_a_socket_that_fails_is_closed_with_a_code() -> None:
    drain = Drain()

    async with serving(Access(App(), drain, Metrics())) as address:
        async with connect(f"ws://{address}/") as socket:
            assert drain.under_way == 1
            await socket.send("anything")
            with pytest.raises(ConnectionClosedError) as closed:
                await socket.recv()
        assert await drain.idle(5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


async def test_while_the_process_stops_only_probes_are_answered() -> None:
    app, drain, metrics = App(), Drain(), Metrics()

    async with (
        serving(Access(Limits(app), drain, metrics)) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        slow = asyncio.create_task(client.get("/slow"))
        await app.entered.wait()
        drain.start()

        refused = await client.get("/")
        with pytest.raises(InvalidStatus) as no_socket:
            await connect(f"ws://{address}/")
        probes = [(await client.get(path)).status_code for path in ("/livez", "/readyz", "/metrics")]
        assert not await drain.idle(0)
        app.released.set()

        assert (await slow).text == "ok"
        assert await drain.idle(5)

    assert refused.status_code == no_socket.value.response.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["errors"][0]["extensions"] == {"code": "INTERNAL"}
    assert probes == [200, 200, 200]


async def test_a_client_that_goes_away_is_counted_as_such() -> None:
    app, drain, metrics = App(), Drain(), Metrics()

    async def waits_for_the_end(scope: Scope, receive: Receive, send: Send) -> None:
        app.entered.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serving(Access(waits_for_the_end, drain, metrics)) as address:
        async with httpx.AsyncClient() as client:
            asking = asyncio.create_task(client.get(f"http://{address}/"))
            await app.entered.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert await drain.idle(5)

    assert count(metrics, 499) == 1
