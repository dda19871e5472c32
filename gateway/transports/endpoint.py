"""The one address of the graph: HTTP and WebSocket on the same path."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

PATH: Final = "/graphql"


def routes(http: ASGIApp, websocket: ASGIApp, path: str = PATH) -> list[BaseRoute]:
    """The routes of the endpoint; `http` sees every method, since it says itself which are allowed."""
    return [Route(path, http, name="graphql"), WebSocketRoute(path, websocket, name="graphql_socket")]


class AtOnce:
    """Requests to `path` go to `http` without being compared with each route; all others to `router`."""

    def __init__(self, http: ASGIApp, router: ASGIApp, path: str = PATH) -> None:
        self._http = http
        self._router = router
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_endpoint = scope["type"] == "http" and scope["path"] == self._path and not scope.get("root_path")
        await (self._http if is_endpoint else self._router)(scope, receive, send)
