"""A real gateway over a planted demo town, and clients that speak to it over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from datastores.mongo import Driver
from gateway.app import Gateway, open_gateway
from gateway.cli.serving import listen, server_config
from gateway.demo.script import PARTNER
from gateway.demo.town import plant
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment, MongoDriver, Settings
from tests.topologies import ONE
from tests.topologies.processes import Program
from tests.topologies.routers import router
from tests.topologies.subgraphs import subgraphs

ANSWER_TIMEOUT_S = 20.0
QUIET_S = 1.0
PROTOCOL = Subprotocol("graphql-transport-ws")
MEASURED = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Town:
    """The running gateway, its address, and who may sign in.

    Where `url` is a router's, `gateway` stands beside the subgraphs, on the same database.
    """

    gateway: Gateway
    issuer: DevelopmentIssuer
    url: str
    websocket_url: str
    http: httpx.AsyncClient
    subgraphs: dict[str, Program] = field(default_factory=dict)

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

    def has_status(self, response: httpx.Response, status: int) -> bool:
        """Whether a response has this status: in front of subgraphs it is the router's own, below 500."""
        return response.status_code < 500 if self.subgraphs else response.status_code == status

    def has_no_data(self, response: httpx.Response) -> bool:
        """Whether a response has none; of a router, which asks subgraphs, each field may be null instead."""
        answer = response.json()
        return not any((answer.get("data") or {}).values()) if self.subgraphs else "data" not in answer

    @property
    def origin(self) -> str:
        """Where what stands beside `/graphql` is published: by any gateway or subgraph, not by a router."""
        return (self.subgraphs["wallets"].url if self.subgraphs else self.url).removesuffix("/graphql")

    @asynccontextmanager
    async def subscribed(
        self, who: str | None, document: str, extensions: dict[str, Any] | None = None, /, **variables: Any
    ) -> AsyncIterator[Events]:
        """The events of a subscription over a WebSocket, from the moment that it runs."""
        before = await self.live()
        payload = {"query": document, "variables": variables, "extensions": extensions or {}}
        async with self.asked_by_socket(who, payload) as events:
            # A subscription is not acknowledged: it runs when it hears what is live, which a refused one never does.
            async with events.kept():
                await self._until_live(lambda now: now > before or events.is_over)
            yield events
        # Else the end of this one hides the beginning of the next.
        await self._until_live(lambda now: now <= before)

    @asynccontextmanager
    async def asked_by_socket(self, who: str | None, payload: dict[str, Any]) -> AsyncIterator[Events]:
        """What an operation on a WebSocket of its own brings, whether it runs or is refused."""
        if not self.websocket_url:
            pytest.skip("this router has no subscriptions")
        async with connect(self.websocket_url, subprotocols=[PROTOCOL], max_size=2**20) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": self.authorization(who)}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            yield Events(socket, refuses_by_next=bool(self.subgraphs))

    async def feeds(self) -> int:
        """How many feeds are open on the logs, in the processes that serve."""
        if not self.subgraphs:
            return sum(log.feeds for log in self.gateway.hub.statistics.values())
        return await self.measured("agora_log_feeds")

    async def live(self) -> int:
        """How many have caught up with their streams, in the processes that serve."""
        if self.subgraphs:
            return await self.measured("agora_live_subscribers") + await self.measured("agora_live_alone")
        alone = self.gateway.metrics.registry.get_sample_value("agora_live_alone")
        return self.gateway.groups.live + int(alone or 0)

    async def metrics(self) -> list[str]:
        """What each process that serves has counted, in the text format of Prometheus."""
        urls = [program.url for program in self.subgraphs.values()] or [self.url]
        addresses = [url.removesuffix("/graphql") + "/metrics" for url in urls]
        return [answer.text for answer in await asyncio.gather(*map(self.http.get, addresses))]

    async def measured(self, name: str) -> int:
        """The sum of what the processes that serve have counted under this name."""
        texts = await self.metrics()
        return sum(int(float(number)) for text in texts for found, number in MEASURED.findall(text) if found == name)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so; raises TimeoutError where it never is."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while not is_so():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _until_live(self, is_so: Callable[[int], bool]) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while not is_so(await self.live()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


class Events:
    """What a subscription brings. `refuses_by_next`: some routers put a refusal where an event would be."""

    def __init__(self, socket: Any, *, refuses_by_next: bool = False) -> None:
        self._socket = socket
        self._refuses_by_next = refuses_by_next
        self._kept: deque[dict[str, Any]] = deque()
        self.is_over = False

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Read meanwhile, for later, so that a refusal shows at once."""
        reading = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _keep(self) -> None:
        try:
            while not self.is_over:
                message = await self._read()
                self._kept.append(message)
                self.is_over = message["type"] in {"error", "complete"}
        except ConnectionClosed:
            self.is_over = True

    async def message(self) -> dict[str, Any]:
        """The next message of the protocol that is not a ping."""
        if self._kept:
            return self._kept.popleft()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await self._read()

    async def _read(self) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(await self._socket.recv())
            if message["type"] == "ping":
                await self._socket.send(json.dumps({"type": "pong"}))
            elif message["type"] != "pong":
                return self._refusal(message) or message

    def _refusal(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if not self._refuses_by_next or message["type"] != "next" or message["payload"].get("data"):
            return None
        return {**message, "type": "error", "payload": message["payload"]["errors"]}

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


@dataclass(frozen=True)
class Planted:
    """The town's database, with a gateway on it that serves nobody, and what other processes need to serve it."""

    gateway: Gateway
    issuer: DevelopmentIssuer
    settings: Settings
    http: httpx.AsyncClient
    environment: dict[str, str]


@asynccontextmanager
async def open_town(uri: str, driver: Driver, folder: Path, topology: str = ONE, **more: Any) -> AsyncIterator[Town]:
    """A planted town that serves on a free port, in a database of its own that is dropped at the end.

    `topology` says whether one process serves it, or which router in front of the subgraphs; `more` are further
    settings.
    """
    async with AsyncExitStack() as stack:
        planted = await stack.enter_async_context(open_planted(uri, driver, folder, **more))
        gateway, issuer, http = planted.gateway, planted.issuer, planted.http
        if topology == ONE:
            url = await stack.enter_async_context(_served(gateway, planted.settings))
            yield Town(gateway, issuer, url, url.replace("http", "ws", 1), http)
        else:
            programs = await stack.enter_async_context(subgraphs(planted.environment, folder))
            addresses = {name: program.url.removesuffix("/graphql") for name, program in programs.items()}
            served = await stack.enter_async_context(router(topology, addresses, folder))
            yield Town(gateway, issuer, served.url, served.websocket_url or "", http, programs)


@asynccontextmanager
async def open_planted(uri: str, driver: Driver, folder: Path, **more: Any) -> AsyncIterator[Planted]:
    """A planted town that nobody serves yet; `more` are further settings."""
    database = f"agora_town_{uuid4().hex[:12]}"
    settings = Settings(port=0, data_dir=folder, database=database, mongo_driver=MongoDriver(driver), **more)
    issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings, uri, issuer=issuer))
        stack.push_async_callback(gateway.database.drop)
        await plant(gateway, issuer, lambda _: None)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S))
        yield Planted(gateway, issuer, settings, http, environment_of(settings, uri))


def environment_of(settings: Settings, uri: str) -> dict[str, str]:
    """The environment of a process that works on the same database, with the same keys."""
    return {
        "MONGODB_URI": uri,
        "AGORA_ENVIRONMENT": "development",
        "AGORA_DATA_DIR": str(settings.data_dir),
        "AGORA_DATABASE": settings.database,
        "AGORA_MONGO_DRIVER": settings.mongo_driver.value,
        "AGORA_LOG_FORMAT": "json",
        **{f"AGORA_SERVICE_{name.upper()}_URL": url for name, url in settings.service_urls},
        **{f"AGORA_SERVICE_{name.upper()}_TOKEN": token for name, token in settings.service_tokens},
        **{f"AGORA_SERVICE_{name.upper()}_PAYEE": payee for name, payee in settings.service_payees},
    }


@asynccontextmanager
async def _served(gateway: Gateway, settings: Settings) -> AsyncIterator[str]:
    with listen(settings) as listener:
        server = uvicorn.Server(server_config(gateway))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        finally:
            server.should_exit = True
            await gateway.stop()
            await serving
