"""How a database is reached: the clients of either driver, with stated time-outs, and what a server must be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI, PyMongoError
from pymongo.monitoring import CommandListener

from datastores.errors import ExpectedError, UnavailableError

from .listening import Changes, EndedCommands
from .types import Document, Driver, OnCommand
from .wire import Wire

POOL_SIZE: Final = 32
CONNECT_TIMEOUT_MS: Final = 5_000
HEARTBEAT_MS: Final = 2_000
HEARTBEAT_TIMEOUT_MS: Final = 3_000


class WrongDatabaseError(ExpectedError):
    """The URI is malformed, or no usable replica set answers there."""


async def open_clients(
    uri: str, name: str, driver: Driver, on_command: OnCommand | None, listeners: Sequence[CommandListener]
) -> tuple[Any, Wire]:
    """The driver's client, and the wire to the database `name` beside it, once a replica set has answered.

    Raises `WrongDatabaseError`, at the latest after 5 s, and leaves nothing open then.
    """
    commands = [*listeners, *([EndedCommands(on_command)] if on_command else [])]
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "maxPoolSize": POOL_SIZE,
        "serverSelectionTimeoutMS": CONNECT_TIMEOUT_MS,
        # A server that has fallen silent is found within the sum of these, and then what waits for it is let go.
        # No time-out on sockets: commands may take long where the server lives.
        "heartbeatFrequencyMS": HEARTBEAT_MS,
        "connectTimeoutMS": HEARTBEAT_TIMEOUT_MS,
        "retryReads": True,
        "retryWrites": True,
        "appname": "agora",
    }
    client: Any
    try:
        opener: AsyncMongoClient[Document] = AsyncMongoClient(uri, **options)
        wire = Wire(opener, name, lambda: client.topology_description, on_command, listeners)
        options["event_listeners"] = [*commands, Changes(loop, wire.look)]
        client = AsyncIOMotorClient(uri, **options) if driver == "motor" else AsyncMongoClient(uri, **options)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise WrongDatabaseError(f"MONGODB_URI is not usable: {error}") from None
    try:
        hello = await client.admin.command("hello")
    except PyMongoError as error:
        await close_clients(client, wire)
        raise WrongDatabaseError(f"MongoDB does not answer: {str(error).partition(', Timeout:')[0]}") from None
    if "setName" not in hello:
        await close_clients(client, wire)
        raise WrongDatabaseError("MongoDB must run as a replica set (a single node will do): transactions need one")
    return client, wire


async def close_clients(client: Any, wire: Wire) -> None:
    """Close every connection."""
    closing = client.close()
    if closing is not None:
        await closing
    await wire.close()


def is_away(error: BaseException) -> bool:
    """Whether no server answered: where in the program that was noticed says nothing."""
    return isinstance(error, ConnectionFailure | UnavailableError)
