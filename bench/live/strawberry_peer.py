"""Plain Strawberry as its documentation has it: a subscription that is an async generator, over its own WebSockets.

Messages come from this process's memory: there is no database, no token and no catching up.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL

_listeners: set[asyncio.Queue["Event"]] = set()


@strawberry.type
class User:
    id: strawberry.ID
    handle: str
    display_name: str


@strawberry.type
class Transfer:
    id: strawberry.ID


@strawberry.type
class Message:
    id: strawberry.ID
    seq: int
    text: str
    created_at: datetime
    sender: User
    transfer: Transfer | None = None


@strawberry.type
class Event:
    cursor: str
    message: Message


@strawberry.type
class Query:
    @strawberry.field
    def ok(self) -> bool:
        return True


@strawberry.type
class Mutation:
    _seq = 0

    @strawberry.mutation
    async def send_message(self, text: str) -> int:
        Mutation._seq += 1
        sender = User(id=strawberry.ID("usr_1"), handle="ann", display_name="Ann")
        message = Message(
            id=strawberry.ID(f"msg_{Mutation._seq}"),
            seq=Mutation._seq,
            text=text,
            created_at=datetime.now(UTC),
            sender=sender,
        )
        for queue in _listeners:
            queue.put_nowait(Event(cursor=str(Mutation._seq), message=message))
        return Mutation._seq


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def message_added(self, conversation_id: strawberry.ID) -> AsyncGenerator[Event, None]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        _listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            _listeners.discard(queue)


def main() -> None:
    """Serve at a port of the system's choice, which is printed."""
    view: GraphQL[None, None] = GraphQL(strawberry.Schema(Query, Mutation, Subscription))
    app = Starlette(routes=[Route("/graphql", view), WebSocketRoute("/graphql", view)])
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, ws_per_message_deflate=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
