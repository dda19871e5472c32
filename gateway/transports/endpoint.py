"""The one address of the graph: HTTP and WebSocket on the same path."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

PATH: Final = "/graphql"


def routes(http: ASGIApp, websocket: ASGIApp, path: str = PATH) -> list[BaseRoute]:
    """The routes of the endpoint; `http` sees every method, since it says itself which are allowed."""
    return [Route(path, http, name="graphql"), WebSocketRoute(path, websocket, name="graphql_socket")]
