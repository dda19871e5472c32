"""The town behind all routers at once: one set of subgraphs, each with a front, and clients of each router."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import connect

from schema.entities import Viewer
from schema.graph import DOMAINS
from tests.contract.town import Events, Town
from tests.federation.fronts import Front
from tests.topologies.processes import Program
from tests.topologies.routers import Router

WAIT_S: Final = 20.0
WITH_VIEWER: Final = frozenset(domain.name for domain in DOMAINS if Viewer in domain.fields)


@dataclass(frozen=True)
class Place:
    """`town` has the first router's address; `behind` gives it with another's."""

    town: Town
    routers: dict[str, Router]
    fronts: dict[str, Front]
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
    """Wait until `is_so` says so, awaited where it is a coroutine; fails after 20 s."""
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
    town: Town, authorization: dict[str, str], document: str, **variables: Any
) -> AsyncIterator[Events]:
    """A subscription over a WebSocket of its own, whatever becomes of it; the credential is in `connection_init`."""
    async with connect(town.websocket_url, subprotocols=["graphql-transport-ws"], max_size=2**20) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init", "payload": authorization}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": document, "variables": variables}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        yield Events(socket, refuses_by_next=True)


async def first_of_stream(town: Town, who: str | None, document: str, **variables: Any) -> Any:
    """The first result of a subscription as server-sent events; the credential is in a header."""
    headers = {**town.authorization(who), "Accept": "text/event-stream"}
    body = {"query": document, "variables": variables}
    async with town.http.stream("POST", town.url, json=body, headers=headers) as response:
        async for line in response.aiter_lines():
            name, _, value = line.partition(":")
            if name == "data" and value.strip():
                assert response.headers["Content-Type"].startswith("text/event-stream")
                return json.loads(value)
    raise AssertionError("the stream ended without an event")


async def events_until_end(events: Events) -> list[dict[str, Any]]:
    """The messages until the socket or the subscription ends."""
    messages: list[dict[str, Any]] = []
    with suppress(OSError, EOFError):
        async with asyncio.timeout(WAIT_S):
            while not messages or messages[-1]["type"] not in ("complete", "error"):
                messages.append(await events.message())
    return messages
