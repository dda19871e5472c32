"""GraphQL over WebSocket: the protocol `graphql-transport-ws` of the npm library `graphql-ws`."""

from __future__ import annotations

from gateway.websocket.connection import SocketLimits
from gateway.websocket.sockets import GraphQLOverWebSocket

__all__ = ["GraphQLOverWebSocket", "SocketLimits"]
