"""GraphQL over server-sent events, as `graphql-sse` says it for distinct connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from gateway.identity.development import DevelopmentIssuer
from tests.unit.gateway.belfry import EVENTS, JSON, Server, post, until
from tests.unit.gateway.servers import serving

COMPLETE = ("complete", None)


def parsed(text: str) -> list[tuple[str, Any]]:
    """The events of a stream, comments left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            events.append((fields["event"], orjson.loads(fields["data"]) if fields["data"] else None))
    return events


async def stream(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", **post(query), headers={"Accept": EVENTS, **headers})


@asynccontextmanager
async def listening(server: Server, query: str, **headers: str) -> AsyncIterator[AsyncIterator[str]]:
    """The text of a stream as it comes, over a real connection."""
    async with (
        serving(server.app) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
        client.stream("POST", "/graphql", **post(query), headers={"Accept": EVENTS, **headers}) as response,
    ):
        yield response.aiter_text()


async def test_a_subscription_is_a_stream(client: httpx.AsyncClient) -> None:
    response = await stream(client, "subscription { strokes(upTo: 2) }")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert parsed(response.text) == [
        ("next", {"data": {"strokes": 1}}),
        ("next", {"data": {"strokes": 2}}),
        COMPLETE,
    ]


async def test_the_bytes_are_those_of_the_protocol(client: httpx.AsyncClient) -> None:
    response = await stream(client, "subscription { strokes(upTo: 1) }")

    assert response.content == b'event: next\ndata: {"data":{"strokes":1}}\n\nevent: complete\ndata: \n\n'


async def test_queries_and_mutations_too(client: httpx.AsyncClient) -> None:
    query = await stream(client, "{ hello }")
    mutation = await stream(client, "mutation { ring }")
    got = await client.get(
        "/graphql", params={"query": "subscription { strokes(upTo: 1) }"}, headers={"Accept": EVENTS}
    )

    assert parsed(query.text) == [("next", {"data": {"hello": "hello world"}}), COMPLETE]
    assert parsed(mutation.text) == [("next", {"data": {"ring": 1}}), COMPLETE]
    assert parsed(got.text) == [("next", {"data": {"strokes": 1}}), COMPLETE]


async def test_a_subscription_streams_wherever_a_stream_is_accepted(client: httpx.AsyncClient) -> None:
    accept = f"{JSON}, {EVENTS}"

    subscription = await stream(client, "subscription { strokes(upTo: 1) }", Accept=accept)
    query = await stream(client, "{ hello }", Accept=accept)

    assert parsed(subscription.text)[-1] == COMPLETE
    assert query.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription ($n: Int!) { strokes(upTo: $n) }", "INVALID_INPUT"),
        ("query ($n: Int!) { wide(length: $n) }", "INVALID_INPUT"),
    ],
)
async def test_errors_of_the_document_are_in_the_stream(client: httpx.AsyncClient, query: str, code: str) -> None:
    response = await stream(client, query)

    (name, result), last = parsed(response.text)
    assert (response.status_code, name, last) == (200, "next", COMPLETE)
    assert "data" not in result
    assert result["errors"][0]["extensions"]["code"] == code


async def test_a_request_that_is_none_is_no_stream(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", content=b"{", headers={"Accept": EVENTS, "Content-Type": JSON})

    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_a_stream_ends_with_why_it_ended(client: httpx.AsyncClient) -> None:
    slow = parsed((await stream(client, "subscription { lagging }")).text)
    broken = await stream(client, "subscription { breaking }")

    assert slow[0] == ("next", {"data": {"lagging": 1}})
    assert slow[1][1]["errors"][0]["extensions"] == {"code": "SLOW_CONSUMER", "cursor": "c1"}
    assert slow[2:] == [COMPLETE]
    assert parsed(broken.text)[1][1]["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "secret detail" not in broken.text


async def test_comments_keep_the_connection_open(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer, keep_alive_s=0.01)

    async with listening(server, "subscription { hum }") as chunks:
        assert await anext(chunks) == 'event: next\ndata: {"data":{"hum":"mmm"}}\n\n'
        assert (await anext(chunks)).startswith(":\n\n")
        server.bell.gate.set()
        rest = "".join([chunk async for chunk in chunks])

    assert parsed(rest) == [("next", {"data": {"hum": "end"}}), COMPLETE]


async def test_a_client_that_leaves_ends_its_subscription(server: Server) -> None:
    async with serving(server.app) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        arguments = post("subscription { hum }")
        async with client.stream("POST", "/graphql", **arguments, headers={"Accept": EVENTS}) as response:
            await anext(response.aiter_text())
            assert (server.bell.listeners, len(server.streams)) == (1, 1)

        async with asyncio.timeout(5):
            await server.bell.listener_left.wait()
        await until(lambda: len(server.streams) == 0)
        assert server.bell.listeners == 0


async def test_a_client_that_does_not_read_holds_the_stream_back(server: Server) -> None:
    async with serving(server.app) as address:
        reader, writer = await asyncio.open_connection(*address.split(":"), limit=1024)
        body = orjson.dumps({"query": "subscription { storm(length: 10000) }"})
        head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: {EVENTS}\r\nContent-Type: {JSON}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await reader.readline()

        await until(lambda: server.bell.rings > 10)
        produced = -1
        while produced != server.bell.rings:
            produced = server.bell.rings
            for _ in range(500):
                await asyncio.sleep(0)
        writer.close()
        await asyncio.wait_for(server.bell.listener_left.wait(), 5)

    # What the sockets of both sides hold, and not what the bell could have rung meanwhile.
    assert produced < 2_000


async def test_a_token_that_expires_ends_the_stream(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer)
    # The token lives for a day; the clock of the streams says that the day is over.
    server.streams._now = lambda: 10**10
    bearer = f"Bearer {development_issuer.token('alice', lifetime_s=86_400)}"

    async with listening(server, "subscription { hum }", Authorization=bearer) as chunks:
        events = parsed("".join([chunk async for chunk in chunks]))

    assert events[-2][1]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert events[-1] == COMPLETE
    assert server.bell.listeners == 0


async def test_the_end_of_a_partners_key_ends_the_stream(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer, keep_alive_s=0.01)
    key = server.partner_key()

    async with listening(server, "subscription { hum }", Authorization=f"Bearer {key.text}") as chunks:
        assert "mmm" in await anext(chunks)
        assert (await anext(chunks)).startswith(":\n\n")
        del server.partner_keys[key.id]
        events = parsed("".join([chunk async for chunk in chunks]))

    assert events[0][1]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert events[1:] == [COMPLETE]
    assert server.bell.listeners == 0


async def test_a_stop_ends_streams_so_that_clients_come_back(server: Server) -> None:
    async with listening(server, "subscription { hum }") as chunks:
        await anext(chunks)

        await server.streams.drain()
        rest = "".join([chunk async for chunk in chunks])

    assert rest == ""
    assert server.bell.listeners == 0


async def test_a_subscription_that_ends_with_the_process_is_not_complete(client: httpx.AsyncClient) -> None:
    response = await stream(client, "subscription { leaving }")

    assert parsed(response.text) == [("next", {"data": {"leaving": 1}})]


async def test_streams_are_counted_and_bounded(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer, max_streams=1)
    async with listening(server, "subscription { hum }") as chunks:
        await anext(chunks)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://agora.test") as client:
            refused = await stream(client, "subscription { hum }")

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_a_mutation_outlives_its_stream(server: Server) -> None:
    async with serving(server.app) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        request = asyncio.create_task(
            client.post("/graphql", **post("mutation { ringSlowly }"), headers={"Accept": EVENTS})
        )
        await server.bell.entered.wait()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        await until(lambda: len(server.streams) == 0)
        server.bell.gate.set()
        await server.operations.drain(5)

    assert server.bell.rings == 1
