"""Which database a command talks to: MONGODB_URI, that of a running `agora dev`, or one of its own meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from datastores.indexes import create_indexes
from datastores.local import DataDirLocked, local_database
from datastores.mongo import Database
from datastores.plans import ReadLog
from gateway.settings import Settings


@asynccontextmanager
async def mongodb_uri(settings: Settings) -> AsyncIterator[str]:
    """The URI of the database for as long as the block runs; raises DataDirLocked where another has the data folder."""
    if settings.mongodb_uri is not None:
        yield settings.mongodb_uri
        return
    async with local_database(settings.data_dir) as local:
        yield local.uri


@asynccontextmanager
async def open_database(settings: Settings, *, log: ReadLog | None = None) -> AsyncIterator[Database]:
    """The database with its indexes, also while `agora dev` runs on the same data folder; `log` hears of its reads."""
    async with AsyncExitStack() as stack:
        try:
            uri = await stack.enter_async_context(mongodb_uri(settings))
        except DataDirLocked:
            port = (settings.data_dir / "port").read_text().strip()
            uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        database = await Database.connect(
            uri,
            name=settings.database,
            driver=settings.mongo_driver.value,
            listeners=[log] if log is not None else [],
        )
        stack.push_async_callback(database.close)
        await create_indexes(database)
        yield database
