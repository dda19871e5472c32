"""How the servers in Python listen: uvicorn with uvloop and httptools at a free port, which they print."""

from __future__ import annotations

import socket
from typing import Any, Final

import uvicorn

BACKLOG: Final = 2_048


def serve(app: Any) -> None:
    """Serve an ASGI application until the process is told to end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning", access_log=False)
    print(f"serving at http://127.0.0.1:{listener.getsockname()[1]}/graphql", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
