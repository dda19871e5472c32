"""A database for properties, whose examples are not coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from pymongo import MongoClient

from datastores.indexes import create_indexes
from datastores.mongo import Database, Driver

from .town import Runner


@pytest.fixture
def database_runner(mongodb_uri: str, mongo_driver: Driver, shared_database_name: str) -> Iterator[Runner]:
    """Runs a coroutine on the empty database of this run, and empties it again."""

    async def connected() -> Database:
        database = await Database.connect(mongodb_uri, name=shared_database_name, driver=mongo_driver)
        await create_indexes(database)
        return database

    with MongoClient[dict[str, object]](mongodb_uri) as client, asyncio.Runner() as runner:
        database = runner.run(connected())
        raw = client[shared_database_name]
        names = raw.list_collection_names()

        def run(act: Callable[[Database], Awaitable[None]]) -> None:
            async def acting() -> None:
                await act(database)

            try:
                runner.run(acting())
            finally:
                for name in names:
                    raw[name].delete_many({})

        try:
            yield run
        finally:
            runner.run(database.close())
