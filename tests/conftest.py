"""What every test may ask for: a real replica set, started once, and a clean database with all indexes in it."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from datastores.local import local_database
from datastores.mongo import Database, Driver
from tests.databases import SharedDatabase
from tests.topologies import ONE, TOPOLOGIES

# How fast an example runs says something of the machine, and nothing of the code.
settings.register_profile("agora", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agora")


def pytest_addoption(parser: pytest.Parser) -> None:
    """In which topology contract tests are run: see `tests/topologies`."""
    parser.addoption("--topology", choices=TOPOLOGIES, default=ONE, help="what serves the town of contract tests")


def pytest_configure(config: pytest.Config) -> None:
    """Set the log up, and under PyMongo's asyncio client let pass what it leaves where a test takes its server away.

    A connection that is being made at that moment stays to be collected, during whatever test runs then.
    """
    # As the gateway writes them: structlog's own way draws every local variable, for seconds at each exception.
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.stdlib.add_log_level, renderer])
    if os.environ.get("AGORA_MONGO_DRIVER") == "pymongo":
        config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket:ResourceWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the driver under test can make a difference to: the rest need not run again with another one."""
    for item in items:
        if "mongo_driver" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.driver)


def pytest_collection_finish() -> None:
    """Keep what every test needs out of the garbage collector's rounds, which would cost some a third of a second."""
    gc.collect()
    gc.freeze()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongodb_uri() -> AsyncIterator[str]:
    """The URI of a replica set: `MONGODB_URI` where it is set, else a mongod of this run's own.

    Of tests in parallel each worker is a run: it has a mongod, a database and a town of its own.
    """
    if given := os.environ.get("MONGODB_URI"):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="agora-test-") as folder:
        async with local_database(Path(folder)) as local:
            yield local.uri


@pytest.fixture(scope="session")
def mongo_driver() -> Driver:
    """The driver under test: `AGORA_MONGO_DRIVER`, else Motor."""
    return cast(Driver, os.environ.get("AGORA_MONGO_DRIVER") or "motor")


@pytest.fixture(scope="session")
def shared_database(mongodb_uri: str) -> Iterator[SharedDatabase]:
    """One database for the whole run, dropped at its end: making the indexes anew for each test takes longer."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        shared = SharedDatabase(client, f"agora_test_{uuid4().hex[:12]}")
        yield shared
        shared.drop()


@pytest.fixture
def shared_database_name(shared_database: SharedDatabase) -> str:
    """The name of that database, for what connects to it by itself."""
    return shared_database.name


@pytest.fixture
async def database(mongodb_uri: str, mongo_driver: Driver, shared_database: SharedDatabase) -> AsyncIterator[Database]:
    """A connected database with every collection and index, and not one document in it."""
    database = await Database.connect(mongodb_uri, name=shared_database.name, driver=mongo_driver)
    try:
        await shared_database.complete(database)
        yield database
    finally:
        await database.close()
        shared_database.empty()


@pytest.fixture
async def bare_database(mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Database]:
    """A connected database of the test's own, without any collection; dropped afterwards."""
    database = await Database.connect(mongodb_uri, name=f"agora_test_{uuid4().hex[:12]}", driver=mongo_driver)
    try:
        yield database
    finally:
        await database.drop()
        await database.close()
