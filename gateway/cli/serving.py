"""Serving: the demo town on one machine, or a graph in production; from the listening socket to the graceful stop."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from gateway.app import Boot, Gateway, open_gateway
from gateway.identity.development import DevelopmentIssuer
from gateway.logs import configure_logs
from gateway.settings import Environment, LogLevel, Settings
from gateway.transports.connections import ServedConnection, is_unheard
from gateway.transports.websocket.frames import PushingProtocol

from .databases import mongodb_uri
from .errors import CommandError
from .workers import Place, Workers, end_with_supervisor, socket_of, tell_ready, worker_command

BACKLOG: Final = 2_048
# One frame more than a socket may send, so that the socket itself says what was wrong with it.
MAX_FRAME_BYTES: Final = 128 * 1024
KEEP_ALIVE_S: Final = 75
FIRST_REQUEST_S: Final = 1.0
OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000


async def serve_demo(settings: Settings, *, lively: bool) -> None:
    """Serve the demo town until SIGINT or SIGTERM."""
    from gateway.demo.lively import live
    from gateway.demo.services import example_services
    from gateway.demo.town import plant
    from gateway.demo.welcome import boot_of, welcome

    if settings.is_production:
        raise CommandError("`agora dev` is not for production: use `agora serve`")
    configure_logs(max(settings.log_level, LogLevel.WARNING, key=list(LogLevel).index), settings.log_format)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(settings))
        _say("starting the database")
        uri = await stack.enter_async_context(mongodb_uri(settings))
        issuer = DevelopmentIssuer.open(settings.data_dir, Environment.DEVELOPMENT)
        settings = await stack.enter_async_context(example_services(settings))

        def boot(gateway: Gateway) -> Boot:
            return lambda: boot_of(gateway, issuer)

        gateway = await stack.enter_async_context(open_gateway(settings, uri, issuer=issuer, boot=boot))
        await plant(gateway, issuer, _say)
        if lively:
            await stack.enter_async_context(live(gateway))
        text = welcome(_address(settings, listener), issuer, command=_command(), lively=lively)
        await _serve(gateway, listener, lambda: print(text, flush=True))


async def serve_workers(settings: Settings, count: int) -> None:
    """Serve the whole graph by so many processes behind one socket, until SIGINT or SIGTERM; SIGHUP exchanges them."""
    configure_logs(settings.log_level, settings.log_format)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(settings))
        uri = await stack.enter_async_context(mongodb_uri(settings))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-workers-")))
        environment = settings.environment_of_child(uri)
        workers = Workers(worker_command(), environment, listener, count, settings.drain_s, folder)
        print(f"agora: serving the graph at {_address(settings, listener)} by {count} processes", flush=True)
        await workers.run()


async def serve_graph(settings: Settings, *, subgraph: str | None = None, place: Place | None = None) -> None:
    """Serve the whole graph, or one domain of it, until SIGINT or SIGTERM.

    With a `place` it is one of several workers, and ends with their supervisor.
    """
    from schema.graph import DOMAINS

    names = [domain.name for domain in DOMAINS]
    if subgraph is not None and subgraph not in names:
        raise CommandError(f"there is no domain {subgraph!r}: {', '.join(names)}")
    configure_logs(settings.log_level, settings.log_format)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(settings) if place is None else socket_of(place.descriptor))
        uri = await stack.enter_async_context(mongodb_uri(settings))
        issuer = None
        if not settings.is_production and settings.oidc_issuer is None:
            issuer = DevelopmentIssuer.open(settings.data_dir, settings.environment)
        gateway = await stack.enter_async_context(open_gateway(settings, uri, issuer=issuer, domain=subgraph))
        if place is None:
            text = f"agora: serving {subgraph or 'the graph'} at {_address(settings, listener)}"
            await _serve(gateway, listener, lambda: print(text, flush=True))
        else:
            await stack.enter_async_context(gateway.metrics.shared(place.folder, place.number))
            end_with_supervisor(asyncio.get_running_loop())
            await _serve(gateway, listener, tell_ready, has_siblings=True)


def listen(settings: Settings) -> socket.socket:
    """A socket that listens at the settings' host and port; raises CommandError where it cannot."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise CommandError(f"cannot listen at {where} ({error.strerror}): choose another AGORA_PORT") from None
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """uvicorn that lets the gateway leave before it closes connections. `on_serving` is called when it serves.

    From then on it leaves gracefully, while a signal before that just ends the process. Where others listen at the same
    socket (`has_siblings`), it lets no more connections in when it leaves, and those that it has let in ask first.
    """

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, on_serving: Callable[[], None], *, has_siblings: bool
    ) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._on_serving = on_serving
        self._has_siblings = has_siblings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_serving()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave on the first signal, at once on the second; a graceful stop is a success, not a death by signal."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._has_siblings:
            for server in self.servers:
                server.close()
            await self._let_in_ask()
        await self._gateway.stop()
        await super().shutdown(sockets)

    async def _let_in_ask(self) -> None:
        """Wait until every connection has brought a request, for at most a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_REQUEST_S):
                while any(map(is_unheard, self.server_state.connections)):  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(FIRST_REQUEST_S / 100)


def server_config(gateway: Gateway) -> uvicorn.Config:
    """How uvicorn serves a gateway, which is open already and logs by itself."""
    return uvicorn.Config(
        gateway.app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        http=ServedConnection,
        ws=PushingProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ws_ping_timeout=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
    )


def spare_collections() -> None:
    """Look for cycles of garbage less often, and not among what is there before the first request.

    A page of documents is some thousand objects, none of which is part of a cycle: by Python's own threshold of 700
    they were looked through several times for each answer. What is in a cycle is found all the same, a few MB later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])


async def _serve(
    gateway: Gateway, listener: socket.socket, on_serving: Callable[[], None], *, has_siblings: bool = False
) -> None:
    spare_collections()
    server = _Server(server_config(gateway), gateway, on_serving, has_siblings=has_siblings)
    await server.serve(sockets=[listener])


def _command() -> str:
    """How whoever started this may call `agora`: it is not on the path of a checkout's shell."""
    return "agora" if shutil.which("agora") else os.path.relpath(sys.argv[0])


def _say(text: str) -> None:
    print(f"agora: {text}", file=sys.stderr, flush=True)


def _address(settings: Settings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104  # told apart, not bound
    return f"http://{shown}:{listener.getsockname()[1]}/graphql"
