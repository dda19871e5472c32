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
    with MongoClient[dict[str, object]](mongodb_uri) as client, asyncio.Runner() as runner:

        async def with_database(act: Callable[[Database], Awaitable[None]]) -> None:
            database = await Database.connect(mongodb_uri, name=shared_database_name, driver=mongo_driver)
            try:
                await create_indexes(database)
                await act(database)
            finally:
                await database.close()

        def run(act: Callable[[Database], Awaitable[None]]) -> None:
            try:
                runner.run(with_database(act))
            finally:
                for name in client[shared_database_name].list_collection_names():
                    client[shared_database_name][name].delete_many({})

        yield run
