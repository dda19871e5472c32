"""GraphQL over WebSocket: the protocol `graphql-transport-ws` of the npm library `graphql-ws`."""

from __future__ import annotations

from gateway.transports.websocket.connection import SocketLimits
from gateway.transports.websocket.sockets import GraphQLOverWebSocket

__all__ = ["GraphQLOverWebSocket", "SocketLimits"]
