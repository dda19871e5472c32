"""A database for properties, whose examples are not coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from datastores.mongo import Database, Driver
from tests.databases import SharedDatabase

from .town import Runner


@pytest.fixture
def database_runner(mongodb_uri: str, mongo_driver: Driver, shared_database: SharedDatabase) -> Iterator[Runner]:
    """Runs a coroutine on the empty database of this run, and empties it again."""

    async def connected() -> Database:
        database = await Database.connect(mongodb_uri, name=shared_database.name, driver=mongo_driver)
        await shared_database.complete(database)
        return database

    with asyncio.Runner() as runner:
        database = runner.run(connected())

        def run(act: Callable[[Database], Awaitable[None]]) -> None:
            async def acting() -> None:
                await act(database)

            try:
                runner.run(acting())
            finally:
                shared_database.empty()

        try:
            yield run
        finally:
            runner.run(database.close())
