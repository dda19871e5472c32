"""What is too large or too slow is refused with a clear answer, before anybody looks into it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.transports import limits
from gateway.transports.http import MAX_BODY_BYTES
from gateway.transports.limits import Limits, cors
from tests.unit.gateway.servers import serving


async def size(request: Request) -> JSONResponse:
    return JSONResponse({"size": len(await request.body())})


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


def app() -> ASGIApp:
    routes = [Route("/", size, methods=["GET", "POST"]), WebSocketRoute("/", echo)]
    return Limits(Starlette(routes=routes))


def error(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"errors"}
    assert len(body["errors"]) == 1
    found: dict[str, Any] = body["errors"][0]
    return found


@pytest.mark.parametrize("length", [0, 1, 65_536, MAX_BODY_BYTES])
async def test_a_body_arrives_whole(length: int) -> None:
    async with serving(app()) as address, httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/", content=b"x" * length)

        assert answer.json() == {"size": length}


async def test_a_body_in_pieces_arrives_whole() -> None:
    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 1000

    async with serving(app()) as address, httpx.AsyncClient() as client:
        assert (await client.post(f"http://{address}/", content=pieces())).json() == {"size": 20_000}
        assert (await client.get(f"http://{address}/")).json() == {"size": 0}


async def test_a_body_beyond_all_limits_reaches_whoever_refuses_it() -> None:
    async with serving(app()) as address, httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/", content=b"x" * 5_000_000)

        assert answer.json() == {"size": 5_000_000}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [("*/*", "application/json"), ("application/graphql-response+json", "application/graphql-response+json")],
)
async def test_a_body_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch, accept: str, media_type: str) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.1)

    async with serving(app()) as address:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        head = f"POST / HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        answer = (await asyncio.wait_for(reader.read(), 5)).decode()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith("HTTP/1.1 408 ")
    assert f"content-type: {media_type}; charset=utf-8\r\n" in answer.lower()
    assert '"code":"BAD_REQUEST"' in answer


@pytest.mark.parametrize(
    "headers", [{f"X-{number}": "1" for number in range(100)}, {f"X-{number}": "x" * 4_000 for number in range(9)}]
)
async def test_too_many_headers(headers: dict[str, str]) -> None:
    async with serving(app()) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/", headers=headers)

        assert answer.status_code == 431
        assert error(answer)["extensions"] == {"code": "BAD_REQUEST"}


async def test_an_address_that_is_too_long() -> None:
    async with serving(app()) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/?query={'x' * 16_384}")

        assert answer.status_code == 414
        assert "POST" in error(answer)["message"]


async def test_sockets_pass_and_their_heads_are_limited() -> None:
    async with serving(app()) as address:
        async with connect(f"ws://{address}/") as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/", additional_headers={f"X-{number}": "1" for number in range(100)})

    assert refused.value.response.status_code == 431


async def test_other_origins_may_ask_only_where_they_are_allowed() -> None:
    allowed = cors(app(), ["https://app.example.org"])
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    async with serving(allowed) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        yes = await client.options("/", headers={"Origin": "https://app.example.org", **preflight})
        no = await client.options("/", headers={"Origin": "https://evil.example.org", **preflight})
        simple = await client.get("/", headers={"Origin": "https://app.example.org"})
        stranger = await client.get("/", headers={"Origin": "https://evil.example.org"})
        async with connect(f"ws://{address}/") as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"

    assert (yes.status_code, yes.headers["Access-Control-Allow-Origin"]) == (200, "https://app.example.org")
    assert no.status_code == 400
    assert "Access-Control-Allow-Origin" not in no.headers
    assert simple.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "Access-Control-Allow-Credentials" not in simple.headers
    assert "X-Request-Id" in simple.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_by_default_there_is_no_cors_at_all() -> None:
    inner = app()

    assert cors(inner, ()) is inner
