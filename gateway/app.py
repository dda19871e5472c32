"""The composition root: the one place where settings, database, graph, identity and transports are put together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from datastores import accounts, partners
from datastores.clock import utc_now
from datastores.commit import CommitLoops
from datastores.gathered import GatheredDatabase
from datastores.indexes import create_indexes
from datastores.ledger import Tier
from datastores.mongo import Database
from datastores.person_keys import PersonKeys
from datastores.sealing import check_master_key
from datastores.wallets import SandboxRates
from gateway.access import Access
from gateway.budgets import Budgets
from gateway.contexts import Contexts
from gateway.drain import Drain
from gateway.execution.executor import GraphExecutor
from gateway.execution.requests import PreparedOperation, Result
from gateway.graphiql import page as graphiql
from gateway.health import Readiness, health_routes
from gateway.identity.authenticate import open_authenticator
from gateway.identity.development import DevelopmentIssuer
from gateway.identity.ended import EndedIdentities
from gateway.identity.uses import KeyUses
from gateway.live.attention import Attention
from gateway.live.collector import GroupCollector, HubCollector
from gateway.live.groups import Groups
from gateway.live.hub import Hub
from gateway.live.presence import Presence
from gateway.live.sharing import Sharings
from gateway.master_key import master_key
from gateway.metrics import Metrics
from gateway.operations import Operations, encoded
from gateway.persisted import Documents, load_documents
from gateway.proofs import proof_routes
from gateway.services import open_services
from gateway.settings import Settings, SettingsError
from gateway.shared import BudgetExchange, DocumentShelf
from gateway.sweeper import Sweeper
from gateway.transports import endpoint
from gateway.transports.http import GraphQLOverHTTP
from gateway.transports.limits import Limits, cors
from gateway.transports.places import Places
from gateway.transports.sse import EventStreams
from gateway.transports.websocket import GraphQLOverWebSocket
from gateway.webhooks.deliverer import Means
from gateway.webhooks.guard import Guard
from gateway.webhooks.lanes import Lanes
from gateway.webhooks.sending import Sender
from gateway.webhooks.worker import WebhookWorker
from resolvers import chores
from resolvers.chores import Chore
from resolvers.context import Context
from resolvers.erasure import IDENTITY
from resolvers.services import Service
from schema.composition import Composed
from schema.graph import subgraph, whole_graph

Boot = Callable[[], Awaitable[graphiql.GraphiQLBoot]]
READINESS_PING_S: Final = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Data:
    """What every operation works on: the database, its commit loops, its live logs, and contexts over them."""

    database: Database
    commits: CommitLoops
    hub: Hub
    contexts: Contexts
    keys: PersonKeys
    presence: Presence


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is ready to serve. `app` is its ASGI application; `stop` makes it leave gracefully."""

    app: ASGIApp
    database: Database
    commits: CommitLoops
    hub: Hub
    contexts: Contexts
    graph: GraphExecutor
    groups: Groups
    metrics: Metrics
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    mongodb_uri: str,
    *,
    issuer: DevelopmentIssuer | None = None,
    boot: Callable[[Gateway], Boot] | None = None,
    domain: str | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway over the database at `mongodb_uri`, serving the whole graph, or one `domain` of it as a subgraph.

    `issuer` is the development issuer, where its tokens are to be accepted; `boot` makes what GraphiQL is told.
    Raises WrongDatabaseError where the database cannot be used, and WrongKeyError where it was sealed under another
    master key.
    """
    documents = load_documents()
    metrics = Metrics([document.name for document in documents.values()])
    composed = _graph(domain)
    _check_services(settings, composed if domain is None else None)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(
            open_services(composed.services, settings.services, metrics.service_call)
        )
        data = await _open_data(settings, mongodb_uri, metrics, services, stack)
        find_key = partial(partners.key_by_id, data.database)

        async def note_use(key_id: str) -> None:
            await partners.note_use(data.database, key_id, utc_now())

        uses = KeyUses(note_use)
        stack.push_async_callback(uses.close)
        authenticator = await stack.enter_async_context(
            open_authenticator(
                settings,
                find_key,
                development=issuer,
                on_credential=metrics.authentication,
                ended=EndedIdentities(
                    partial(accounts.ended_since, data.database), partial(data.keys.master.digest, IDENTITY)
                ),
                uses=uses,
            )
        )
        graph = GraphExecutor(composed, _log_unexpected, metrics.execution)
        known = Documents(
            documents,
            automatic=settings.automatic_persisted_queries,
            persisted_only=settings.persisted_only,
            shelf=DocumentShelf(data.database, utc_now),
        )
        budgets = Budgets(settings.costs)
        await stack.enter_async_context(BudgetExchange(data.database, budgets, settings.costs, data.keys.master.digest))
        groups = Groups(graph, Sharings(graph.graph), _encoded, reads=GatheredDatabase(data.database))
        metrics.registry.register(GroupCollector(groups))
        operations = Operations(
            graph,
            known,
            data.contexts.open,
            deadline_s=settings.request_deadline_s,
            metrics=metrics,
            budgets=budgets,
            streams=groups,
            here=data.presence.here,
        )
        places = Places(
            metrics, per_client=settings.max_sockets_per_client, per_address=settings.max_sockets_per_address
        )
        streams = EventStreams(operations, metrics=metrics, max_streams=settings.max_sockets, places=places)
        is_subgraph = domain is not None
        sockets = GraphQLOverWebSocket(
            operations,
            authenticator.from_connection_init,
            metrics=metrics,
            is_subgraph=is_subgraph,
            allowed_origins=settings.allowed_origins,
            max_sockets=settings.max_sockets,
            places=places,
        )

        async def page_boot() -> graphiql.GraphiQLBoot:
            return await boot(gateway)() if boot else graphiql.GraphiQLBoot()

        page = None if is_subgraph else graphiql.page_app(page_boot)
        http = GraphQLOverHTTP(operations, streams, authenticator.from_header, page=page, is_subgraph=is_subgraph)
        drain = Drain()
        routes: list[BaseRoute] = [
            *endpoint.routes(http, sockets),
            *graphiql.routes(),
            *health_routes(_readiness(data, drain)),
            *proof_routes(data.database, data.keys.master),
            metrics.route(),
        ]
        served = endpoint.AtOnce(http, Router(routes))
        app = Access(Limits(cors(served, settings.allowed_origins)), drain, metrics)
        worker = WebhookWorker(data.database, _webhook_means(settings, data, metrics))
        stop = partial(_stop, settings.drain_s, drain, data.hub, worker, streams, sockets, operations)
        gateway = Gateway(app, data.database, data.commits, data.hub, data.contexts, graph, groups, metrics, stop)
        await stack.enter_async_context(Sweeper(data.database, data.contexts.of_viewer, _chores(composed, services)))
        await stack.enter_async_context(worker)
        yield gateway


async def _open_data(
    settings: Settings, mongodb_uri: str, metrics: Metrics, services: Mapping[str, Service], stack: AsyncExitStack
) -> _Data:
    database = await Database.connect(
        mongodb_uri, name=settings.database, driver=settings.mongo_driver.value, on_command=metrics.command
    )
    stack.push_async_callback(database.close)
    await create_indexes(database)
    master = master_key(settings)
    await check_master_key(database, master)
    keys = PersonKeys(master)
    commits = await stack.enter_async_context(CommitLoops(database, on_batch=metrics.batch))
    hub = await stack.enter_async_context(Hub(database))
    metrics.registry.register(HubCollector(hub))
    presence = await stack.enter_async_context(Presence(database))
    attention = await stack.enter_async_context(Attention(hub, presence.called))
    contexts = Contexts(
        database,
        commits,
        hub,
        rails=settings.rails,
        rates=SandboxRates() if settings.sandbox_rates else None,
        fees=settings.fees,
        keys=keys,
        default_tier=Tier(settings.default_tier.upper()),
        services=services,
        private_webhooks=settings.webhooks_allow_private,
        attention=attention,
    )
    return _Data(database, commits, hub, contexts, keys, presence)


async def _stop(
    drain_s: float,
    drain: Drain,
    hub: Hub,
    worker: WebhookWorker,
    streams: EventStreams,
    sockets: GraphQLOverWebSocket,
    operations: Operations,
) -> None:
    """Let nothing new in, let what runs come to its end, and tell streams to come back elsewhere."""
    drain.start()
    hub.end()
    worker.end()
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            await streams.drain()
            await sockets.drain(drain_s)
            await operations.drain(drain_s)
            await drain.idle(drain_s)


def _readiness(data: _Data, drain: Drain) -> Readiness:
    async def database_answers() -> bool:
        return await data.database.ping() <= READINESS_PING_S

    async def logs_are_watched() -> bool:
        return data.hub.is_open

    return Readiness({"database": database_answers, "live": logs_are_watched}, is_draining=lambda: drain.is_draining)


def _webhook_means(settings: Settings, data: _Data, metrics: Metrics) -> Means:
    guard = Guard(private=settings.webhooks_allow_private)
    verify = ssl.create_default_context()
    return Means(data.contexts.of_viewer, lambda: Sender(guard, verify), Lanes(), metrics.webhook)


def _graph(domain: str | None) -> Composed:
    return whole_graph() if domain is None else subgraph(domain)


def _chores(composed: Composed, services: Mapping[str, Service]) -> list[Chore]:
    """What is done by this process: for all domains, and for those that it serves with the services that they need."""
    own = [chore for domain in composed.domains for chore in domain.chores]
    return [*chores.CHORES, *(each for each in own if each.service is None or each.service in services)]


def _check_services(settings: Settings, whole: Composed | None) -> None:
    if not settings.services:
        return
    known = (whole or whole_graph()).services
    if unknown := sorted(settings.services.keys() - known):
        names = ", ".join(f"AGORA_SERVICE_{name.upper()}_URL" for name in unknown)
        raise SettingsError((f"{names}: no domain asks such a service; known are {', '.join(sorted(known))}",))


def _encoded(result: Result, context: Context) -> bytes:
    return encoded(result, context.request_id)


def _log_unexpected(error: Exception, context: Context, prepared: PreparedOperation) -> None:
    _log.error("field_failed", operation=prepared.name, request_id=context.request_id, exc_info=error)
