"""`python -m examples.rides_service`: the service in a process of its own, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from datetime import UTC, datetime

import uvicorn

from .app import rides_app
from .rides import Rides


def main() -> None:
    """Serve at 127.0.0.1; the token is RIDES_TOKEN of the environment. Prints the port where that was left open."""
    parser = argparse.ArgumentParser(prog="python -m examples.rides_service", description=__doc__)
    parser.add_argument("--port", type=int, default=8100, help="0 for any free one")
    parser.add_argument("--pace", type=float, default=4.0, help="seconds that each stage of a ride lasts; 0: by hand")
    parser.add_argument("--controls", action="store_true", help="let faults and stages be set over HTTP, for tests")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does: with the parent")
    given = parser.parse_args()
    token = os.environ.get("RIDES_TOKEN") or parser.error("RIDES_TOKEN is missing: the token that clients must send")
    rides = Rides(lambda: datetime.now(UTC).replace(tzinfo=None), given.pace)
    listener = socket.create_server(("127.0.0.1", given.port))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        rides_app(rides, token, controls=given.controls),
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    if given.until_eof:
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _end_with_input(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
