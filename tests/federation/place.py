"""The town behind all routers at once: one set of subgraphs, each with a front, and clients of each router."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.asyncio.client import connect

from schema.entities import Viewer
from schema.graph import DOMAINS
from tests.contract.town import PROTOCOL, Events, Town
from tests.federation.fronts import Front
from tests.rides_service import RidesService
from tests.topologies.processes import Program
from tests.topologies.routers import Router

WAIT_S: Final = 60.0
SILENCE_S: Final = 20.0
SUBGRAPH_TIMEOUT_S: Final = 5
WITH_VIEWER: Final = frozenset(domain.name for domain in DOMAINS if Viewer in domain.fields)


@dataclass(frozen=True)
class Place:
    """`town` has the first router's address; `behind` gives it with another's."""

    town: Town
    routers: dict[str, Router]
    fronts: dict[str, Front]
    rides: RidesService
    environment: dict[str, str]
    folder: Path

    def behind(self, name: str) -> Town:
        """The town as clients of this router see it."""
        router = self.routers[name]
        return replace(self.town, url=router.url, websocket_url=router.websocket_url or "")

    @property
    def subgraphs(self) -> dict[str, Program]:
        """The processes, by domain."""
        return self.town.subgraphs


async def until(is_so: Callable[[], Any], what: str) -> None:
    """Wait until `is_so` says so, awaited where it is a coroutine; fails after 60 s."""
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                found = is_so()
                if await found if asyncio.iscoroutine(found) else found:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S:.0f} s: {what}") from None


@asynccontextmanager
async def socket_of(
    town: Town, authorization: dict[str, str], document: str, *, in_handshake: bool = False, **variables: Any
) -> AsyncIterator[Events]:
    """A subscription over a WebSocket of its own, whatever becomes of it.

    The credential is in `connection_init`, or in a header of the handshake.
    """
    headers, payload_of_init = (authorization, {}) if in_handshake else ({}, authorization)
    connecting = connect(town.websocket_url, subprotocols=[PROTOCOL], additional_headers=headers, max_size=2**20)
    async with connecting as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": payload_of_init}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": document, "variables": variables}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        yield Events(socket, refuses_by_next=True)


async def feeds_above(town: Town, before: int) -> bool:
    """Whether more feeds are open in the subgraphs."""
    return await town.feeds() > before


async def feeds_at_most(town: Town, before: int) -> bool:
    """Whether no more feeds are open in the subgraphs."""
    return await town.feeds() <= before


@asynccontextmanager
async def stream_of(
    town: Town, who: str | None, document: str, **variables: Any
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The results of a subscription as server-sent events; the credential is in a header."""
    headers = {**town.authorization(who), "Accept": "text/event-stream"}
    body = {"query": document, "variables": variables}
    async with town.http.stream("POST", town.url, json=body, headers=headers) as response:

        async def results() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                if name == "data" and value.strip():
                    assert response.headers["Content-Type"].startswith("text/event-stream")
                    yield json.loads(value)

        yield results()


async def first_of_stream(town: Town, who: str | None, document: str, **variables: Any) -> Any:
    """The first result of a subscription as server-sent events."""
    async with stream_of(town, who, document, **variables) as results:
        async for result in results:
            return result
    raise AssertionError("the stream ended without an event")


async def results_of_stream(town: Town, who: str | None, document: str, **variables: Any) -> list[dict[str, Any]]:
    """All results of a subscription as server-sent events, until it ends, breaks off or has said nothing for 20 s."""
    found: list[dict[str, Any]] = []
    with suppress(httpx.TransportError, TimeoutError):
        async with asyncio.timeout(SILENCE_S), stream_of(town, who, document, **variables) as results:
            async for result in results:
                found.append(result)  # noqa: PERF401  # what came before it broke off counts
    return found


async def events_until_end(events: Events) -> list[dict[str, Any]]:
    """The messages until the socket or the subscription ends."""
    messages: list[dict[str, Any]] = []
    with suppress(OSError, EOFError):
        async with asyncio.timeout(SILENCE_S):
            while not messages or messages[-1]["type"] not in ("complete", "error"):
                messages.append(await events.message())
    return messages
