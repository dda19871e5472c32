"""The protocol `graphql-transport-ws`, as the PROTOCOL.md of the npm library `graphql-ws` says it, on real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gateway.budgets import CostLimits
from gateway.identity.development import DevelopmentIssuer
from gateway.identity.oidc import LEEWAY_S
from gateway.settings import Environment
from gateway.transports.websocket import SocketLimits
from tests.unit.gateway.belfry import Server, until
from tests.unit.gateway.servers import serving

PROTOCOL = Subprotocol("graphql-transport-ws")
ACK = {"type": "connection_ack"}


@pytest.fixture
def issuer(tmp_path: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT)


@pytest.fixture
async def server(issuer: DevelopmentIssuer) -> Server:
    return Server(issuer)


class Socket:
    """A client that sees every message, and says nothing by itself."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *messages: Any) -> None:
        for message in messages:
            await self.connection.send(orjson.dumps(message).decode())

    async def subscribe(self, id: str, query: str, **others: Any) -> None:
        await self.send({"id": id, "type": "subscribe", "payload": {"query": query, **others}})

    async def receive(self) -> Any:
        async with asyncio.timeout(30):
            return orjson.loads(await self.connection.recv())

    async def init(self, payload: Any = None) -> None:
        await self.send(
            {"type": "connection_init"} if payload is None else {"type": "connection_init", "payload": payload}
        )
        assert await self.receive() == ACK

    async def closed(self, *, after: Any = None) -> tuple[int, str]:
        """Code and reason; fails where a message comes before them that is not `after`."""
        async with asyncio.timeout(30):
            try:
                while True:
                    message = orjson.loads(await self.connection.recv())
                    assert after is not None
                    assert message == after
            except ConnectionClosed as closed:
                if closed.rcvd is None:
                    raise
                return closed.rcvd.code, closed.rcvd.reason


@asynccontextmanager
async def socket_to(address: str, **options: Any) -> AsyncIterator[Socket]:
    options = {"subprotocols": [PROTOCOL], "compression": None, "ping_interval": None, **options}
    async with connect(f"ws://{address}/graphql", **options) as connection:
        yield Socket(connection)


@asynccontextmanager
async def socket(server: Server, *, init: bool = True, payload: Any = None, **options: Any) -> AsyncIterator[Socket]:
    async with serving(server.app) as address, socket_to(address, **options) as client:
        if init:
            await client.init(payload)
        yield client


def next_(id: str, **data: Any) -> dict[str, Any]:
    return {"id": id, "type": "next", "payload": {"data": data}}


def complete(id: str) -> dict[str, Any]:
    return {"id": id, "type": "complete"}


# The handshake


async def test_the_subprotocol_is_agreed_on(server: Server) -> None:
    async with socket(server) as client:
        assert client.connection.subprotocol == PROTOCOL


@pytest.mark.parametrize("offered", [None, [Subprotocol("graphql-ws")], [Subprotocol("other")]])
async def test_other_subprotocols_close_with_4406(server: Server, offered: list[Subprotocol] | None) -> None:
    async with socket(server, init=False, subprotocols=offered) as client:
        assert client.connection.subprotocol is None
        assert (await client.closed())[0] == 4406


async def test_ours_is_chosen_among_several(server: Server) -> None:
    async with socket(server, subprotocols=[Subprotocol("graphql-ws"), PROTOCOL]) as client:
        assert client.connection.subprotocol == PROTOCOL


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "ftp://127.0.0.1"])
async def test_a_foreign_origin_is_refused(server: Server, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with socket(server, origin=Origin(origin)):
            pass

    assert refused.value.response.status_code == 403


async def test_our_origin_and_listed_ones_are_let_in(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, allowed_origins=("https://app.example.org",))
    async with serving(server.app) as address:
        for origin in (f"http://{address}", f"https://{address}", "https://app.example.org"):
            async with socket_to(address, origin=Origin(origin)) as client:
                await client.init()


async def test_sockets_are_bounded(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, max_sockets=1)
    async with serving(server.app) as address, socket_to(address) as client:
        await client.init()
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(address):
                pass
        await client.connection.close()
        await until(lambda: len(server.sockets) == 0)
        async with socket_to(address) as next_client:
            await next_client.init()

    assert refused.value.response.status_code == 503


# Initialisation


async def test_a_client_that_does_not_initialise_is_closed_with_4408(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(init_timeout_s=0.05))

    async with socket(server, init=False) as client:
        assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_an_initialised_client_is_not_timed_out(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(init_timeout_s=1))

    async with socket(server) as client:
        # Nothing is to happen in this time.
        await asyncio.sleep(1.2)
        await client.subscribe("1", "{ hello }")
        assert await client.receive() == next_("1", hello="hello world")


async def test_a_second_initialisation_closes_with_4429(server: Server) -> None:
    async with socket(server) as client:
        await client.send({"type": "connection_init"})

        assert await client.closed() == (4429, "Too many initialisation requests")


async def test_an_operation_before_the_ack_closes_with_4401(server: Server) -> None:
    async with socket(server, init=False) as client:
        await client.subscribe("1", "{ hello }")

        assert await client.closed() == (4401, "Unauthorized")


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_the_payload_says_who_asks(server: Server, issuer: DevelopmentIssuer, name: str) -> None:
    async with socket(server, payload={name: f"Bearer {issuer.token('alice')}"}) as client:
        await client.subscribe("1", "{ whoami }")

        assert await client.receive() == next_("1", whoami="alice")


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "", 7, {}])
async def test_a_bad_token_closes_with_4403(server: Server, authorization: Any) -> None:
    async with socket(server, init=False) as client:
        await client.send({"type": "connection_init", "payload": {"Authorization": authorization}})

        assert (await client.closed())[0] == 4403


async def test_a_token_that_expires_closes_with_4403(server: Server, issuer: DevelopmentIssuer) -> None:
    bearer = f"Bearer {issuer.token('alice', lifetime_s=86_400)}"
    # The token lives for a day; the clock of the sockets says that it is over in a moment.
    server.sockets._now = lambda: time.time() + 86_400 + LEEWAY_S - 5

    async with socket(server, payload={"Authorization": bearer}) as client:
        await client.subscribe("1", "subscription { hum }")
        assert await client.receive() == next_("1", hum="mmm")
        assert (await client.closed())[0] == 4403

    assert server.bell.listeners == 0


async def test_the_end_of_a_partners_key_closes_with_4403(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(ping_interval_s=1))
    key = server.partner_key()

    async with socket(server, payload={"Authorization": f"Bearer {key.text}"}) as client:
        await client.subscribe("1", "subscription { hum }")
        assert await client.receive() == next_("1", hum="mmm")
        del server.partner_keys[key.id]

        assert await client.closed(after={"type": "ping"}) == (4403, "The credential is no longer valid")


async def test_the_end_of_a_person_closes_with_4403(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(ping_interval_s=1))

    async with socket(server, payload={"Authorization": f"Bearer {issuer.token('alice')}"}) as client:
        await client.subscribe("1", "subscription { hum }")
        assert await client.receive() == next_("1", hum="mmm")
        server.ended.append(("alice", datetime.now(UTC).replace(tzinfo=None)))

        assert await client.closed(after={"type": "ping"}) == (4403, "The credential is no longer valid")


# Ping and pong


async def test_a_ping_is_answered_also_before_initialisation(server: Server) -> None:
    async with socket(server, init=False) as client:
        await client.send({"type": "ping"}, {"type": "ping", "payload": {"sent": 1}}, {"type": "pong"})

        assert await client.receive() == {"type": "pong"}
        assert await client.receive() == {"type": "pong", "payload": {"sent": 1}}


async def test_a_silent_client_is_pinged_and_then_closed(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(ping_interval_s=0.5))

    async with socket(server) as client:
        for _ in range(3):
            assert await client.receive() == {"type": "ping"}
            await client.send({"type": "pong"})
        assert await client.receive() == {"type": "ping"}
        code, reason = await client.closed(after={"type": "ping"})

    assert (code, reason) == (4408, "No pong")


# Operations


async def test_a_query_has_one_result(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe(
            "1",
            "query A { hello } query B($n: String) { hello(name: $n) }",
            operationName="B",
            variables={"n": "ann"},
            extensions={"trace": 1},
        )

        assert [await client.receive() for _ in range(2)] == [next_("1", hello="hello ann"), complete("1")]


async def test_a_mutation_has_one_result(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "mutation { ring }")

        assert [await client.receive() for _ in range(2)] == [next_("1", ring=1), complete("1")]


async def test_a_subscription_has_many(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "subscription { strokes(upTo: 3, after: 1) }")

        messages = [await client.receive() for _ in range(3)]

    assert messages == [next_("1", strokes=2), next_("1", strokes=3), complete("1")]


async def test_persisted_documents_over_a_socket(server: Server) -> None:
    digest = server.greeting_id.removeprefix("sha256:")
    async with socket(server) as client:
        await client.send({"id": "1", "type": "subscribe", "payload": {"documentId": server.greeting_id}})
        assert [await client.receive() for _ in range(2)] == [next_("1", hello="hello you"), complete("1")]

        # Clients of the library must send a query: an empty one.
        await client.subscribe("2", "", extensions={"persistedQuery": {"version": 1, "sha256Hash": digest}})
        assert await client.receive() == next_("2", hello="hello you")


async def test_operations_interleave(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("slow", "{ slow }")
        await client.subscribe("fast", "{ hello }")
        assert [await client.receive() for _ in range(2)] == [next_("fast", hello="hello world"), complete("fast")]

        server.bell.gate.set()
        assert [await client.receive() for _ in range(2)] == [next_("slow", slow=1), complete("slow")]


async def test_a_field_error_is_part_of_a_result(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "{ hello cracked }")
        result = await client.receive()

        assert (result["type"], result["payload"]["data"]) == ("next", {"hello": "hello world", "cracked": None})
        assert result["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert result["payload"]["errors"][0]["extensions"]["requestId"].endswith(".1")
        assert await client.receive() == complete("1")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: Int!) { wide(length: $n) }", "INVALID_INPUT"),
        ("subscription ($n: Int!) { strokes(upTo: $n) }", "INVALID_INPUT"),
        ("query A { hello } query B { hello }", "BAD_REQUEST"),
    ],
)
async def test_a_bad_operation_is_an_error_on_its_id_alone(server: Server, query: str, code: str) -> None:
    async with socket(server) as client:
        await client.subscribe("good", "subscription { hum }")
        assert await client.receive() == next_("good", hum="mmm")

        await client.subscribe("bad", query)
        message = await client.receive()
        server.bell.gate.set()

        assert (message["id"], message["type"]) == ("bad", "error")
        assert message["payload"][0]["extensions"]["code"] == code
        assert [await client.receive() for _ in range(2)] == [next_("good", hum="end"), complete("good")]


async def test_a_stream_ends_with_why_it_ended(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "subscription { lagging }")
        assert await client.receive() == next_("1", lagging=1)
        error = await client.receive()
        await client.subscribe("2", "subscription { breaking }")
        assert await client.receive() == next_("2", breaking=1)
        broken = await client.receive()

    assert (error["id"], error["type"]) == ("1", "error")
    assert error["payload"][0]["extensions"] == {"code": "SLOW_CONSUMER", "cursor": "c1"}
    assert broken["payload"][0]["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(broken)


# Completion and ids


async def test_a_client_completes_a_subscription(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "subscription { hum }")
        assert await client.receive() == next_("1", hum="mmm")

        await client.send({"id": "1", "type": "complete"})
        await asyncio.wait_for(server.bell.listener_left.wait(), 5)
        await client.subscribe("1", "{ hello }")

        assert [await client.receive() for _ in range(2)] == [next_("1", hello="hello world"), complete("1")]


async def test_an_id_is_free_at_once_when_the_client_completes(server: Server) -> None:
    async with socket(server) as client:
        for _ in range(20):
            await client.send(
                {"id": "1", "type": "subscribe", "payload": {"query": "subscription { hum }"}},
                {"id": "1", "type": "complete"},
            )
        await client.subscribe("1", "{ hello }")

        assert [await client.receive() for _ in range(2)] == [next_("1", hello="hello world"), complete("1")]


async def test_an_unknown_id_may_be_completed(server: Server) -> None:
    async with socket(server) as client:
        await client.send({"id": "never", "type": "complete"})
        await client.subscribe("1", "{ hello }")

        assert await client.receive() == next_("1", hello="hello world")


async def test_a_second_operation_of_an_id_closes_with_4409(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "subscription { hum }")
        await client.receive()
        await client.subscribe("1", "{ hello }")

        assert await client.closed() == (4409, "Subscriber for 1 already exists")

    assert server.bell.listeners == 0


async def test_a_mutation_that_nobody_waits_for_ends_by_itself(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "mutation { ringSlowly }")
        await server.bell.entered.wait()
        await client.send({"id": "1", "type": "complete"}, {"type": "ping"})
        assert await client.receive() == {"type": "pong"}

        server.bell.gate.set()
        await server.operations.drain(5)
        await client.send({"type": "ping"})

        # The result is not sent through.
        assert await client.receive() == {"type": "pong"}
    assert server.bell.rings == 1


async def test_operations_are_bounded(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(max_operations=2))

    async with socket(server) as client:
        for id in "ab":
            await client.subscribe(id, "subscription { hum }")
            await client.receive()
        await client.subscribe("c", "{ hello }")
        refused = await client.receive()
        await client.send({"id": "a", "type": "complete"})
        await server.bell.listener_left.wait()
        await client.subscribe("d", "{ hello }")

        assert (refused["id"], refused["type"]) == ("c", "error")
        assert refused["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        assert await client.receive() == next_("d", hello="hello world")


# Invalid messages


INVALID = [
    "",
    "{",
    "null",
    "[]",
    "7",
    "{}",
    '{"type":7}',
    '{"type":"start"}',
    '{"type":"connection_ack"}',
    '{"type":"next","id":"1","payload":{}}',
    '{"type":"error","id":"1","payload":[]}',
    '{"type":"ping","payload":7}',
    '{"type":"pong","payload":[]}',
    '{"type":"complete"}',
    '{"type":"complete","id":""}',
    '{"type":"subscribe"}',
    '{"type":"subscribe","id":"1"}',
    '{"type":"subscribe","id":"","payload":{"query":"{ hello }"}}',
    '{"type":"subscribe","id":7,"payload":{"query":"{ hello }"}}',
    '{"type":"subscribe","id":"' + "x" * 129 + '","payload":{"query":"{ hello }"}}',
    '{"type":"subscribe","id":"1","payload":"{ hello }"}',
    '{"type":"subscribe","id":"1","payload":{}}',
    '{"type":"subscribe","id":"1","payload":{"query":7}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{ hello }","variables":[]}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{ hello }","operationName":7}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{ hello }","extensions":""}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{ hello }","variables":{"a":NaN}}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{ hello }","variables":{"a":' + "[" * 80 + "]" * 80 + "}}}",
]


async def test_an_invalid_message_closes_with_4400(server: Server) -> None:
    async with serving(server.app) as address:
        for text in INVALID:
            async with socket_to(address) as client:
                await client.init()
                await client.connection.send(text)

                code, reason = await client.closed()

            assert code == 4400, text
            assert reason.startswith("Invalid message: "), text


async def test_an_invalid_initialisation_closes_with_4400(server: Server) -> None:
    async with socket(server, init=False) as client:
        await client.send({"type": "connection_init", "payload": "Bearer x"})

        assert (await client.closed())[0] == 4400


async def test_a_binary_frame_closes_with_4400(server: Server) -> None:
    async with socket(server) as client:
        await client.connection.send(b'{"type":"ping"}')

        assert (await client.closed())[0] == 4400


async def test_a_frame_of_more_than_64_kb_closes_with_1009(server: Server) -> None:
    start, end = '{"type":"ping","payload":{"text":"', '"}}'
    async with socket(server) as client:
        await client.connection.send(start + "x" * (64 * 1024 - len(start + end)) + end)
        assert (await client.receive())["type"] == "pong"

        # Fewer characters than the limit, but more bytes.
        await client.connection.send(start + "ü" * (33 * 1024) + end)
        assert (await client.closed())[0] == 1009


# The end


async def test_a_client_that_leaves_ends_its_operations(server: Server) -> None:
    async with serving(server.app) as address:
        async with socket_to(address) as client:
            await client.init()
            await client.subscribe("1", "subscription { hum }")
            await client.subscribe("2", "{ slow }")
            assert await client.receive() == next_("1", hum="mmm")
            await server.bell.entered.wait()

        await asyncio.wait_for(server.bell.listener_left.wait(), 5)
        await asyncio.wait_for(server.bell.cancelled.wait(), 5)
        await until(lambda: len(server.sockets) == 0)
    assert server.bell.listeners == 0


async def test_a_client_that_vanishes_ends_its_operations(server: Server) -> None:
    async with serving(server.app) as address, socket_to(address) as client:
        await client.init()
        await client.subscribe("1", "subscription { hum }")
        await client.receive()

        client.connection.transport.abort()

        await asyncio.wait_for(server.bell.listener_left.wait(), 5)
        await until(lambda: len(server.sockets) == 0)


async def test_a_stop_lets_mutations_answer_and_closes_with_1012(server: Server) -> None:
    async with serving(server.app) as address, socket_to(address) as client:
        await client.init()
        await client.subscribe("1", "subscription { hum }")
        assert await client.receive() == next_("1", hum="mmm")
        await client.subscribe("2", "mutation { ringSlowly }")
        await server.bell.entered.wait()

        draining = asyncio.create_task(server.sockets.drain(5))
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(address):
                pass
        server.bell.gate.set()

        received = [await client.receive() for _ in range(2)]
        while received[-1] != complete("2"):
            received.append(await client.receive())
        assert next_("2", ringSlowly=1) in received
        assert (await client.closed())[0] == 1012
        await draining

    assert refused.value.response.status_code == 503
    assert len(server.sockets) == 0


async def test_a_stop_does_not_wait_for_ever(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "{ slow }")
        await server.bell.entered.wait()

        await asyncio.wait_for(server.sockets.drain(0.05), 5)

        assert (await client.closed())[0] == 1012
    assert server.bell.cancelled.is_set()


async def test_a_subscription_that_ends_with_the_process_closes_with_1012(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "subscription { leaving }")

        assert await client.receive() == next_("1", leaving=1)
        assert (await client.closed())[0] == 1012


async def test_a_client_that_does_not_read_holds_its_streams_back(server: Server) -> None:
    async with serving(server.app) as address, socket_to(address, max_queue=1) as client:
        await client.init()
        await client.subscribe("1", "subscription { storm(length: 10000) }")
        await until(lambda: server.bell.rings > 10)

        produced = -1
        while produced != server.bell.rings:
            produced = server.bell.rings
            for _ in range(500):
                await asyncio.sleep(0)

        # What the sockets of both sides hold; and other clients are not held up by it.
        assert produced < 2_000
        async with socket_to(address) as other:
            await other.init()
            await other.subscribe("1", "{ hello }")
            assert await other.receive() == next_("1", hello="hello world")
        client.connection.transport.abort()


async def test_a_client_that_takes_nothing_is_let_go(issuer: DevelopmentIssuer) -> None:
    server = Server(issuer, limits=SocketLimits(ping_interval_s=0.5, stalled_after_s=0.05))
    async with serving(server.app) as address, socket_to(address, max_queue=1) as client:
        await client.init()
        await client.subscribe("1", "subscription { storm(length: 60000) }")

        await asyncio.wait_for(server.bell.listener_left.wait(), 10)
        await until(lambda: len(server.sockets) == 0, within_s=10)
        client.connection.transport.abort()


async def test_operations_are_counted_with_their_transport(server: Server) -> None:
    async with socket(server) as client:
        await client.subscribe("1", "query Hail { hello }")
        await client.subscribe("2", "subscription Toll { strokes(upTo: 1) }")
        for _ in range(4):
            await client.receive()
        await until(
            lambda: server.count(operation="Toll", kind="subscription", transport="websocket", outcome="ok") == 1
        )

    assert server.count(operation="Hail", kind="query", transport="websocket", outcome="ok") == 1
    assert server.metrics.registry.get_sample_value("agora_open_sockets", {"transport": "websocket"}) == 0
    assert server.metrics.registry.get_sample_value("agora_subscriptions", {"transport": "websocket"}) == 0


async def test_http_and_websocket_share_an_address(server: Server) -> None:
    async with serving(server.app) as address, httpx.AsyncClient() as client:
        response = await client.post(f"http://{address}/graphql", json={"query": "{ hello }"})

    assert response.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("query", ["{ hello }", "mutation { ring }", "subscription { strokes(upTo: 2) }"])
async def test_a_client_whose_budget_is_spent_is_told_when_to_come_back(issuer: DevelopmentIssuer, query: str) -> None:
    server = Server(issuer, costs=CostLimits(per_request=100, bucket=20, restore_per_s=1), now=lambda: 0.0)
    alice = {"Authorization": f"Bearer {issuer.token('alice')}"}

    async with serving(server.app) as address, socket_to(address) as one, socket_to(address) as other:
        await one.init(alice)
        await other.init(alice)
        left = []
        for id in "ab":
            await one.subscribe(id, "{ hello }", extensions={"cost": True})
            left.append((await one.receive())["payload"]["extensions"]["cost"]["left"])
            assert await one.receive() == complete(id)
        await other.subscribe("c", query)
        refused = await other.receive()
        await other.send({"type": "ping"})

        assert left == [12, 4]
        assert (refused["id"], refused["type"]) == ("c", "error")
        (error,) = refused["payload"]
        assert error["extensions"] == {
            "code": "RATE_LIMITED",
            "retryAfterSeconds": 4,
            "cost": {"requested": 8, "left": 4, "limit": 20, "restoreRate": 1},
        }
        # Refusing an operation ends nothing else.
        assert await other.receive() == {"type": "pong"}
    assert server.bell.rings == 0


# Behind a router


@pytest.mark.parametrize(
    ("payload", "handshake", "code"),
    [
        (None, "right", None),
        ({}, "right", None),
        ({"Authorization": "right"}, "wrong", None),
        (None, "wrong", 4403),
        ({"Authorization": "wrong"}, "right", 4403),
    ],
)
async def test_in_a_subgraph_the_handshake_says_who_it_is_where_the_payload_does_not(
    issuer: DevelopmentIssuer, payload: dict[str, str] | None, handshake: str, code: int | None
) -> None:
    credentials = {"right": f"Bearer {issuer.token('alice')}", "wrong": "Bearer nonsense"}
    server = Server(issuer, is_subgraph=True)
    given = payload and {name: credentials[value] for name, value in payload.items()}

    async with socket(server, init=False, additional_headers={"Authorization": credentials[handshake]}) as client:
        await client.send({"type": "connection_init", "payload": given})
        if code is not None:
            assert (await client.closed())[0] == code
            return
        assert await client.receive() == ACK
        await client.subscribe("1", "{ whoami }")
        assert await client.receive() == next_("1", whoami="alice")


async def test_outside_of_a_subgraph_the_handshake_says_nothing(issuer: DevelopmentIssuer, server: Server) -> None:
    headers = {"Authorization": f"Bearer {issuer.token('alice')}"}

    async with socket(server, additional_headers=headers) as client:
        await client.subscribe("1", "{ whoami }")

        assert await client.receive() == next_("1", whoami=None)
