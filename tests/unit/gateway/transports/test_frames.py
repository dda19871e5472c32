"""Frames that are pushed: as the protocol has them, in order with those that are sent, and to nobody who lags."""

from __future__ import annotations

import asyncio
import socket

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.transports.websocket.frames import PUSH, Push, PushingProtocol, frame
from tests.unit.gateway.servers import serving

LARGE = 70_000


class Pushing:
    """An application that accepts one socket and shows it to the test."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.push: Push
        self.send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.push, self.send = scope["extensions"][PUSH], send
        assert not self.push(b"before the handshake is over")
        await send({"type": "websocket.accept"})
        self.opened.set()
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self.closed.set()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, LARGE])
async def test_frames_of_every_length_are_understood(size: int) -> None:
    app = Pushing()
    async with serving(app, ws=PushingProtocol) as address, connect(f"ws://{address}/") as client:
        await app.opened.wait()

        assert app.push(b"x" * size)

        assert await client.recv() == "x" * size


async def test_a_client_that_compresses_understands_them_too() -> None:
    app = Pushing()
    async with (
        serving(app, ws=PushingProtocol, ws_per_message_deflate=True) as address,
        connect(f"ws://{address}/", compression="deflate") as client,
    ):
        await app.opened.wait()

        await app.send({"type": "websocket.send", "text": "sent " * 100})
        assert app.push("gepusht: é".encode())

        assert [await client.recv(), await client.recv()] == ["sent " * 100, "gepusht: é"]


async def test_what_is_sent_and_what_is_pushed_stay_in_order() -> None:
    app = Pushing()
    async with serving(app, ws=PushingProtocol) as address, connect(f"ws://{address}/") as client:
        await app.opened.wait()

        for number in range(0, 100, 2):
            await app.send({"type": "websocket.send", "text": str(number)})
            assert app.push(str(number + 1).encode())

        assert [await client.recv() for _ in range(100)] == [str(number) for number in range(100)]


async def test_who_takes_nothing_is_pushed_nothing_more() -> None:
    app = Pushing()
    async with serving(app, ws=PushingProtocol) as address:
        host, port = address.split(":")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.connect((host, int(port)))
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await app.opened.wait()
        pushed = 0

        while app.push(b"x" * LARGE):
            pushed += LARGE
            assert pushed < 50_000_000
            await asyncio.sleep(0)

        assert pushed > 0
        assert not app.push(b"x")
        raw.close()
        await app.closed.wait()


async def test_nothing_is_pushed_behind_a_close() -> None:
    app = Pushing()
    async with serving(app, ws=PushingProtocol) as address, connect(f"ws://{address}/") as client:
        await app.opened.wait()

        await app.send({"type": "websocket.close", "code": 4_403, "reason": "over"})

        assert not app.push(b"late")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4_403
        await app.closed.wait()
        assert not app.push(b"later")


def test_a_frame_says_its_length_in_as_few_bytes_as_it_can() -> None:
    assert frame(b"abc") == b"\x81\x03abc"
    assert frame(b"x" * 200)[:4] == b"\x81\x7e\x00\xc8"
    assert frame(b"x" * LARGE)[:10] == b"\x81\x7f" + LARGE.to_bytes(8, "big")
