"""A small real graph for the transports: a bell that is rung, listened to, and slow where a test wants it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp
from strawberry import Info
from strawberry.schema.config import StrawberryConfig

from datastores.clock import utc_now
from datastores.errors import GoingAwayError, SlowConsumerError
from datastores.ids import new_id
from datastores.partners import PartnerKeyDocument
from gateway.budgets import Budgets, CostLimits
from gateway.execution.executor import GraphExecutor
from gateway.identity.authenticate import Authenticator
from gateway.identity.development import DevelopmentIssuer
from gateway.identity.ended import EndedIdentities
from gateway.identity.identities import Identity, Person
from gateway.identity.partners import NewPartnerKey, new_partner_key
from gateway.metrics import Metrics
from gateway.operations import Operations
from gateway.persisted import Documents, PersistedDocument, document_id
from gateway.transports.endpoint import routes
from gateway.transports.http import GraphQLOverHTTP
from gateway.transports.places import Places
from gateway.transports.sse import EventStreams
from gateway.transports.websocket import GraphQLOverWebSocket, SocketLimits
from resolvers.context import Context, Viewer
from schema.composition import Domain, Graph, root
from schema.composition.fields import read_key
from schema.scalars import SCALARS

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
EVENTS = "text/event-stream"


class Bell:
    """What the graph is about; tests open `gate` to let slow fields go on."""

    def __init__(self) -> None:
        self.rings = 0
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.listeners = 0
        self.listener_left = asyncio.Event()

    async def wait(self) -> int:
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.rings += 1
        return self.rings


def graph_of(bell: Bell) -> Graph:  # noqa: C901 (one small function a field)
    belfry = Domain("belfry")

    @belfry.root
    class Query:
        @root(str, description="A greeting")
        async def hello(self, info: Info, name: str = "world") -> Any:
            return f"hello {name}"

        @root(str | None, description="Who asks")
        async def whoami(self, info: Info) -> Any:
            return info.context.viewer.user_id

        @root(int | None, description="Fails")
        async def cracked(self, info: Info) -> Any:
            raise RuntimeError("secret detail")

        @root(int | None, description="Waits for the gate")
        async def slow(self, info: Info) -> Any:
            return await bell.wait()

        @root(int, description="How often it was rung")
        async def rings(self, info: Info) -> Any:
            return bell.rings

        @root(str, description="So many letters")
        async def wide(self, info: Info, length: int) -> Any:
            return "x" * length

    @belfry.root
    class Mutation:
        @root(int | None, description="Rings once")
        async def ring(self, info: Info) -> Any:
            bell.rings += 1
            return bell.rings

        @root(int | None, description="Rings once the gate is open")
        async def ring_slowly(self, info: Info) -> Any:
            return await bell.wait()

    @belfry.root
    class Subscription:
        @root(int, subscription=True, description="Counts")
        async def strokes(self, info: Info, up_to: int, after: int = 0) -> AsyncGenerator[int, None]:
            for stroke in range(after + 1, up_to + 1):
                yield stroke

        @root(str, subscription=True, description="One stroke, then silence")
        async def hum(self, info: Info, length: int = 3) -> AsyncGenerator[str, None]:
            bell.listeners += 1
            try:
                yield "m" * length
                await bell.gate.wait()
                yield "end"
            finally:
                bell.listeners -= 1
                bell.listener_left.set()

        @root(str, subscription=True, description="Never silent")
        async def storm(self, info: Info, length: int) -> AsyncGenerator[str, None]:
            bell.listeners += 1
            try:
                while True:
                    bell.rings += 1
                    yield "s" * length
                    await asyncio.sleep(0)
            finally:
                bell.listeners -= 1
                bell.listener_left.set()

        @root(int, subscription=True, description="Ends because the listener is slow")
        async def lagging(self, info: Info) -> AsyncGenerator[int, None]:
            yield 1
            raise SlowConsumerError("Too far behind", cursor="c1")

        @root(int, subscription=True, description="Ends because the process stops")
        async def leaving(self, info: Info) -> AsyncGenerator[int, None]:
            yield 1
            raise GoingAwayError("Restarting")

        @root(int, subscription=True, description="Breaks")
        async def breaking(self, info: Info) -> AsyncGenerator[int, None]:
            yield 1
            raise RuntimeError("secret detail")

    config = StrawberryConfig(default_resolver=read_key, scalar_map=SCALARS)
    return Graph([belfry], entities=[], prefixes={}, config=config)


GREETING = 'query Greeting($name: String = "you") { hello(name: $name) }\n'


class Server:
    """The whole endpoint over a bell, with its parts at hand."""

    def __init__(
        self,
        issuer: DevelopmentIssuer,
        *,
        deadline_s: float = 5.0,
        automatic: bool = True,
        persisted_only: bool = False,
        keep_alive_s: float = 12.0,
        max_streams: int = 100,
        max_sockets: int = 100,
        per_client: int = 100,
        per_address: int = 100,
        allowed_origins: tuple[str, ...] = (),
        limits: SocketLimits | None = None,
        costs: CostLimits | None = None,
        is_subgraph: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bell = Bell()
        self.metrics = Metrics()
        greeting = PersistedDocument("Greeting", document_id(GREETING), GREETING)
        self.greeting_id = greeting.id
        documents = Documents({greeting.id: greeting}, automatic=automatic, persisted_only=persisted_only)
        self.executor = GraphExecutor(graph_of(self.bell), lambda error, context, prepared: None)
        self.operations = Operations(
            self.executor,
            documents,
            open_context,
            deadline_s=deadline_s,
            metrics=self.metrics,
            budgets=Budgets(costs or CostLimits(), now=now),
        )
        self.places = Places(self.metrics, per_client=per_client, per_address=per_address)
        self.streams = EventStreams(
            self.operations,
            metrics=self.metrics,
            keep_alive_s=keep_alive_s,
            max_streams=max_streams,
            places=self.places,
        )
        self.partner_keys: dict[str, PartnerKeyDocument] = {}
        self.ended: list[tuple[str, datetime]] = []
        ended = EndedIdentities(self._read_ended, lambda issuer, subject: subject, refreshed_s=0.0)
        authenticator = Authenticator([issuer.access_tokens()], self._find_partner_key, ended=ended)
        http = GraphQLOverHTTP(
            self.operations, self.streams, authenticator.from_header, page=page, is_subgraph=is_subgraph
        )
        self.sockets = GraphQLOverWebSocket(
            self.operations,
            authenticator.from_connection_init,
            metrics=self.metrics,
            is_subgraph=is_subgraph,
            allowed_origins=allowed_origins,
            max_sockets=max_sockets,
            places=self.places,
            limits=limits or SocketLimits(),
        )
        self.app: ASGIApp = Starlette(routes=routes(http, self.sockets))

    def partner_key(self) -> NewPartnerKey:
        """A new key that is accepted until it is taken out of `partner_keys`."""
        key = new_partner_key()
        self.partner_keys[key.id] = {
            "_id": key.id,
            "partner_id": new_id("ptn"),
            "secret_hash": key.secret_hash,
            "scopes": [],
            "expires_at": None,
            "revoked_at": None,
            "name": "first",
            "mode": "LIVE",
            "successor_id": None,
            "last_used_at": None,
            "created_at": utc_now(),
        }
        return key

    async def _read_ended(self, since: datetime | None) -> list[tuple[str, datetime]]:
        return self.ended

    async def _find_partner_key(self, key_id: str) -> PartnerKeyDocument | None:
        return self.partner_keys.get(key_id)

    def count(self, **labels: str) -> float | None:
        """How many operations ended so, by the metrics."""
        return self.metrics.registry.get_sample_value("agora_operations_total", labels)


async def page(scope: Any, receive: Any, send: Any) -> None:
    await HTMLResponse("<title>GraphiQL</title>")(scope, receive, send)


async def open_context(identity: Identity, request_id: str) -> Context:
    nothing: Any = SimpleNamespace()
    user_id = identity.subject if isinstance(identity, Person) else None
    viewer = Viewer("person" if user_id else "anonymous", user_id)
    return Context(nothing, nothing, nothing, viewer, request_id=request_id)


async def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Return when `condition` holds; fails after `within_s`."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.005)


def post(query: str, **others: Any) -> Mapping[str, Any]:
    """The keyword arguments of an HTTP client's POST."""
    return {"json": {"query": query, **others}}
