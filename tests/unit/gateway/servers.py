"""An ASGI application on a real socket of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.transports.connections import ServedConnection


@asynccontextmanager
async def serving(app: ASGIApp, **options: Any) -> AsyncIterator[str]:
    """Serves `app` until the block ends, as in production but for the process; gives `127.0.0.1:<port>`.

    `options` are further ones of uvicorn.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    options = {"ws": "websockets-sansio", **options}
    config = uvicorn.Config(app, log_config=None, lifespan="off", http=ServedConnection, **options)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 (the server has no event to wait for)
            await asyncio.sleep(0.005)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()
