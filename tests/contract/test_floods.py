"""Clients that open too much, say too much or say nonsense are told so, and nobody else notices: on real sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.cli.serving import MAX_FRAME_BYTES
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment
from tests.contract.test_graphql_transport_ws import PROTOCOL, Socket, complete, next_, socket_to
from tests.unit.gateway.belfry import EVENTS, Server, post, until
from tests.unit.gateway.servers import serving

FRAMES: Final = 400
BAD_SOCKETS: Final = 30
FRAME_BYTES: Final = 64 * 1024
ROUNDS: Final = 3
# What a round may leave behind, and what it may take while it runs: of its frames alone it sends more.
LEFT_BYTES: Final = 200_000
PEAK_BYTES: Final = 8_000_000
TOO_MANY_OF_CLIENT: Final = "At most 2 sockets and streams may be open for a client: close one first"
TOO_MANY_OF_ADDRESS: Final = (
    "At most 2 sockets and streams may be open from an address without a credential: close one first"
)


@pytest.fixture
def issuer(tmp_path: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT)


@pytest.fixture
def server(issuer: DevelopmentIssuer) -> Server:
    return Server(issuer)


def refused(server: Server, transport: str, limit: str) -> float | None:
    return server.metrics.registry.get_sample_value(
        "agora_refused_sockets_total", {"transport": transport, "limit": limit}
    )


class TestSocketsOfAClient:
    async def test_one_past_the_limit_closes_with_1013_and_others_are_let_in(self, issuer: DevelopmentIssuer) -> None:
        server = Server(issuer, per_client=2)
        alice, bob = ({"Authorization": f"Bearer {issuer.token(who)}"} for who in ("alice", "bob"))

        async with serving(server.app) as address, socket_to(address) as first, socket_to(address) as second:
            await first.init(alice)
            await second.init(alice)
            async with socket_to(address) as third:
                await third.send({"type": "connection_init", "payload": alice})
                assert await third.closed() == (1013, TOO_MANY_OF_CLIENT)
            async with socket_to(address) as other:
                await other.init(bob)
            await first.subscribe("1", "{ whoami }")
            assert await first.receive() == next_("1", whoami="alice")

            await second.connection.close()
            await until(lambda: len(server.sockets) == 1)
            async with socket_to(address) as again:
                await again.init(alice)

        assert refused(server, "websocket", "client") == 1
        await until(lambda: len(server.places) == 0)

    async def test_before_that_they_count_for_their_address(self, issuer: DevelopmentIssuer) -> None:
        server = Server(issuer, per_address=2)
        alice = {"Authorization": f"Bearer {issuer.token('alice')}"}

        async with serving(server.app) as address, socket_to(address) as first, socket_to(address) as second:
            await first.init()
            async with socket_to(address) as third:
                assert await third.closed() == (1013, TOO_MANY_OF_ADDRESS)
            # Once it is known who is on it, it is the address's no more.
            await second.init(alice)
            async with socket_to(address) as fourth:
                await fourth.init()

        assert refused(server, "websocket", "address") == 1
        await until(lambda: len(server.places) == 0)

    async def test_event_streams_count_with_them(self, issuer: DevelopmentIssuer) -> None:
        server = Server(issuer, per_client=2)
        alice = {"Authorization": f"Bearer {issuer.token('alice')}"}
        hum = post("subscription { hum }")

        async with (
            serving(server.app) as address,
            socket_to(address) as socket,
            httpx.AsyncClient(base_url=f"http://{address}", headers={"Accept": EVENTS, **alice}) as http,
        ):
            await socket.init(alice)
            async with http.stream("POST", "/graphql", **hum) as stream:
                assert stream.status_code == 200
                answer = await http.post("/graphql", **hum)
            await until(lambda: len(server.streams) == 0)
            async with http.stream("POST", "/graphql", **hum) as stream:
                assert stream.status_code == 200

        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        assert answer.json()["errors"] == [{"message": TOO_MANY_OF_CLIENT, "extensions": {"code": "RATE_LIMITED"}}]
        assert refused(server, "sse", "client") == 1
        await until(lambda: len(server.places) == 0)

    async def test_refused_credentials_and_broken_sockets_give_their_places_back(self, server: Server) -> None:
        async with serving(server.app) as address:
            for n in range(50):
                async with socket_to(address) as client:
                    if n % 2:
                        await client.send({"type": "connection_init", "payload": {"Authorization": "Bearer x"}})
                        assert (await client.closed())[0] == 4403
                    else:
                        client.connection.transport.abort()

            await until(lambda: len(server.places) == 0)


class TestOneSocket:
    async def test_of_1_000_operations_100_run_and_the_others_are_refused_on_their_ids(self, server: Server) -> None:
        async with heard(server) as client:
            for n in range(1_000):
                await client.subscribe(str(n), "subscription { hum }")
            messages = [await client.receive() for _ in range(1_000)]
            server.bell.gate.set()
            ends = [await client.receive() for _ in range(200)]

        running = {message["id"] for message in messages if message["type"] == "next"}
        refusals = [message for message in messages if message["type"] == "error"]
        assert running == {str(n) for n in range(100)}
        assert {message["id"] for message in refusals} == {str(n) for n in range(100, 1_000)}
        assert {message["payload"][0]["extensions"]["code"] for message in refusals} == {"RATE_LIMITED"}
        assert sorted(map(str, ends)) == sorted(
            str(message) for id in running for message in (next_(id, hum="end"), complete(id))
        )
        assert server.bell.listeners == 0


@asynccontextmanager
async def heard(server: Server) -> AsyncIterator[Socket]:
    """A socket of a served gateway, initialised."""
    async with serving(server.app) as address, socket_to(address) as client:
        await client.init()
        yield client


# Floods: each is one round of a client that does not let go, at an address.

Flood = Callable[[str], Awaitable[None]]


async def subscribe_and_complete(address: str) -> None:
    async with socket_to(address) as client:
        await client.init()
        for n in range(FRAMES):
            await client.subscribe(str(n), "subscription { hum }")
            await client.send({"id": str(n), "type": "complete"})
        await client.send({"type": "ping"})
        while (await client.receive())["type"] != "pong":
            pass


async def ping(address: str) -> None:
    text = "x" * 10_000
    async with socket_to(address) as client:
        await client.init()
        for n in range(FRAMES):
            await client.send({"type": "ping", "payload": {"n": n, "text": text}})
            assert (await client.receive())["payload"]["n"] == n


async def pings_whose_pongs_nobody_takes(address: str) -> None:
    text = "x" * 60_000
    async with socket_to(address, max_queue=1) as client:
        await client.init()
        client.connection.transport.pause_reading()
        sending = asyncio.create_task(send_all(client, {"type": "ping", "payload": {"text": text}}))
        # It comes to a stop, since the server reads no further than it is read.
        await asyncio.wait([sending], timeout=0.3)
        stopped = not sending.done()
        client.connection.transport.abort()
        await asyncio.wait([sending], timeout=5)
        assert stopped


async def send_all(client: Socket, message: Any) -> None:
    try:
        for _ in range(FRAMES):
            await client.send(message)
    except ConnectionClosed:
        return


async def garbage(address: str) -> None:
    for n in range(BAD_SOCKETS):
        frame = os.urandom(1_000).hex() if n % 2 else orjson.dumps({"type": "x" * 1_000}).decode()
        assert await code_for(address, frame) == 4400


async def binary_garbage(address: str) -> None:
    for _ in range(BAD_SOCKETS):
        assert await code_for(address, os.urandom(1_000)) == 4400


async def oversized(address: str) -> None:
    for _ in range(BAD_SOCKETS):
        assert await code_for(address, "x" * (FRAME_BYTES + 1)) == 1009


async def code_for(address: str, frame: str | bytes, **options: Any) -> int | None:
    """The code with which the server closes a socket that was initialised and said this."""
    async with socket_to(address) as client:
        await client.init()
        await client.connection.send(frame, **options)
        return (await client.closed())[0]


FLOODS: Final[tuple[Flood, ...]] = (
    subscribe_and_complete,
    ping,
    pings_whose_pongs_nobody_takes,
    garbage,
    binary_garbage,
    oversized,
)


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
async def test_a_flood_leaves_nothing_behind_and_a_sibling_is_served(server: Server, flood: Flood) -> None:
    async with serving(server.app) as address, socket_to(address) as sibling:
        await sibling.init()
        await sibling.subscribe("1", "subscription { hum }")
        assert await sibling.receive() == next_("1", hum="mmm")
        await flood(address)
        await until(lambda: len(server.sockets) == 1)

        left, peak = await memory_of(lambda: rounds(server, flood, address))
        server.bell.gate.set()

        assert await sibling.receive() == next_("1", hum="end")
        assert (left < LEFT_BYTES, peak < PEAK_BYTES) == (True, True), (left, peak)
    assert server.bell.listeners == 0


async def rounds(server: Server, flood: Flood, address: str) -> None:
    for _ in range(ROUNDS):
        await flood(address)
    await until(lambda: len(server.sockets) == 1 and server.bell.listeners == 1)


async def memory_of(work: Callable[[], Awaitable[None]]) -> tuple[int, int]:
    """The bytes that it left allocated, and the most that it had at once; of the clients in this process too."""
    gc.collect()
    tracemalloc.start()
    try:
        await work()
        gc.collect()
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


async def test_text_that_is_no_text_closes_with_1007(server: Server) -> None:
    async with serving(server.app) as address:
        assert await code_for(address, b"\xff\xfe\xfd", text=True) == 1007


async def test_the_served_process_closes_oversized_frames_before_it_holds_them(server: Server) -> None:
    async with (
        serving(server.app, ws_max_size=MAX_FRAME_BYTES) as address,
        connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], compression=None) as connection,
    ):
        sending = asyncio.create_task(connection.send("x" * (32 * 1024 * 1024)))
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        await asyncio.wait([sending], timeout=5)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
