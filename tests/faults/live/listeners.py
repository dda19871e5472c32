"""People at their phones: subscriptions over WebSockets that are broken off, and taken up from the last cursor."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.faults.live.cast import Arrivals

AGAIN_S: Final = 0.1
OPEN_TIMEOUT_S: Final = 10.0
ADDED: Final = """
subscription ($after: Cursor, $id: ID!) { messageAdded(conversationId: $id, after: $after) {
  cursor message { id seq conversation { id } } } }
"""
INBOX: Final = """
subscription ($after: Cursor) { inbox(after: $after) { cursor message { id seq conversation { id } } } }
"""


class Listener:
    """One person who hears the messages of a conversation from a cursor on, for ever, whatever breaks in between."""

    way = "chat"

    def __init__(self, field: str, url: str, token: str, conversation_id: str, after: str | None) -> None:
        self.name = f"listener of {field}"
        self.arrivals = Arrivals()
        self.heard: list[tuple[int, str]] = []
        self.breaks = 0
        self.after = after
        self._field = field
        self._url = url.replace("http", "ws", 1)
        self._token = token
        self._conversation_id = conversation_id

    def look(self) -> None:
        """Note whether something has come."""
        self.arrivals.look(len(self.heard))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                await self._listen()
            self.breaks += 1
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        protocols = [Subprotocol("graphql-transport-ws")]
        async with connect(self._url, subprotocols=protocols, open_timeout=OPEN_TIMEOUT_S) as socket:
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self._token}"}}
            await socket.send(json.dumps(init))
            async for raw in socket:
                message = json.loads(raw)
                if message["type"] == "connection_ack":
                    await socket.send(json.dumps(self._subscribe()))
                elif message["type"] == "ping":
                    await socket.send(json.dumps({"type": "pong"}))
                elif message["type"] == "next":
                    self._take(message["payload"]["data"][self._field])
                elif message["type"] in ("error", "complete"):
                    return

    def _subscribe(self) -> dict[str, Any]:
        variables = {"after": self.after} | ({"id": self._conversation_id} if self._field == "messageAdded" else {})
        document = ADDED if self._field == "messageAdded" else INBOX
        return {"type": "subscribe", "id": "1", "payload": {"query": document, "variables": variables}}

    def _take(self, event: dict[str, Any]) -> None:
        self.after = event["cursor"]
        if event["message"]["conversation"]["id"] == self._conversation_id:
            self.heard.append((int(event["message"]["seq"]), event["message"]["id"]))
