"""A real gateway over a planted demo town, and clients that speak to it over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
from websockets.asyncio.client import connect

from datastores.mongo import Driver
from gateway.app import Gateway, open_gateway
from gateway.cli.serving import listen, server_config
from gateway.demo.script import PARTNER
from gateway.demo.town import plant
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment, MongoDriver, Settings

ANSWER_TIMEOUT_S = 20.0
QUIET_S = 1.0


@dataclass(frozen=True)
class Town:
    """The running gateway, its address, and who may sign in."""

    gateway: Gateway
    issuer: DevelopmentIssuer
    url: str
    http: httpx.AsyncClient

    def authorization(self, who: str | None) -> dict[str, str]:
        """The header of a resident, of the demo partner, or of nobody."""
        if who is None:
            return {}
        token = self.issuer.partner_key(PARTNER).text if who == PARTNER else self.issuer.token(who)
        return {"Authorization": f"Bearer {token}"}

    async def post(self, who: str | None, document: str, **variables: Any) -> httpx.Response:
        """The raw response to one operation."""
        body = {"query": document, "variables": variables}
        return await self.http.post(self.url, json=body, headers=self.authorization(who))

    async def ask(self, who: str | None, document: str, **variables: Any) -> Any:
        """The `data` of an answer without errors."""
        answer = (await self.post(who, document, **variables)).json()
        assert "errors" not in answer, json.dumps(answer["errors"])[:2000]
        return answer["data"]

    async def id_of(self, handle: str) -> str:
        """A resident's id."""
        found = await self.ask(None, "query ($handle: String!) { user(handle: $handle) { id } }", handle=handle)
        return str(found["user"]["id"])

    @asynccontextmanager
    async def subscribed(
        self, who: str | None, document: str, extensions: dict[str, Any] | None = None, /, **variables: Any
    ) -> AsyncIterator[Events]:
        """The events of a subscription over a WebSocket, from the moment that it runs."""
        url = self.url.replace("http", "ws", 1)
        is_alone = extensions or "balanceChanged" in document or "rideUpdated" in document
        live = self._feeds if is_alone else self._heard
        before = live()
        async with connect(url, subprotocols=["graphql-transport-ws"], max_size=2**20) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps({"type": "connection_init", "payload": self.authorization(who)}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            payload = {"query": document, "variables": variables, "extensions": extensions or {}}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            # A subscription is not acknowledged: it runs when it hears what is live, which a refused one never does.
            await self.until(lambda: live() > before)
            yield Events(socket)
        # Else the end of this one hides the beginning of the next.
        await self.until(lambda: live() <= before)

    def _heard(self) -> int:
        return self.gateway.groups.live

    def _feeds(self) -> int:
        return sum(log.feeds for log in self.gateway.hub.statistics.values())

    async def until(self, is_so: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while not is_so():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


class Events:
    """What a subscription brings."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def message(self) -> dict[str, Any]:
        """The next message of the protocol that is not a ping."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                message: dict[str, Any] = json.loads(await self._socket.recv())
                if message["type"] == "ping":
                    await self._socket.send(json.dumps({"type": "pong"}))
                elif message["type"] != "pong":
                    return message

    async def soon(self) -> dict[str, Any] | None:
        """The next message, or None where none comes for a while."""
        try:
            async with asyncio.timeout(QUIET_S):
                return await self.message()
        except TimeoutError:
            return None

    async def next(self) -> Any:
        """The `data` of the next event."""
        message = await self.message()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message["payload"]["errors"]
        return message["payload"]["data"]


@asynccontextmanager
async def open_town(uri: str, driver: Driver, folder: Path, **more: Any) -> AsyncIterator[Town]:
    """A planted town that serves on a free port, in a database of its own that is dropped at the end.

    `more` are further settings.
    """
    database = f"agora_town_{uuid4().hex[:12]}"
    settings = Settings(port=0, data_dir=folder, database=database, mongo_driver=MongoDriver(driver), **more)
    issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings, uri, issuer=issuer))
        stack.push_async_callback(gateway.database.drop)
        await plant(gateway, issuer, lambda _: None)
        listener = stack.enter_context(listen(settings))
        server = uvicorn.Server(server_config(gateway))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        try:
            async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S) as http:
                yield Town(gateway, issuer, url, http)
        finally:
            server.should_exit = True
            await gateway.stop()
            await serving
