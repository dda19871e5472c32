"""The tail of a log: told in order, once, over killed cursors, step-downs, restarts and lost history."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import AutoReconnect, DuplicateKeyError, PyMongoError

from datastores import changes, signals
from datastores.changes import outlast, tail
from datastores.errors import UnavailableError
from datastores.local import local_database
from datastores.mongo import Database, Document, Driver

LIMIT_S = 40.0


class Record:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.rows: list[Document] = []
        self.times: list[datetime | None] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def opened(self) -> None:
        self._add("opened")

    def row(self, row: Document, inserted_at: datetime | None) -> None:
        self.rows.append(row)
        self.times.append(inserted_at)
        self._add("row")

    def gap(self) -> None:
        self._add("gap")

    def interrupted(self) -> None:
        self._add("interrupted")

    @property
    def ids(self) -> list[int]:
        return [row["_id"] for row in self.rows]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(condition)

    def _add(self, event: str) -> None:
        self.events.append(event)
        task = asyncio.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def tailing(database: Database, record: Record, collection: str = "journal") -> AsyncIterator[None]:
    task = asyncio.create_task(tail(database, collection, record))
    try:
        await record.until(lambda: "opened" in record.events)
        yield
    finally:
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Driver:
    given: Driver = request.param
    return given


@asynccontextmanager
async def connected(uri: str, driver: Driver) -> AsyncIterator[Database]:
    database = await Database.connect(uri, name=f"agora_test_{uuid4().hex[:12]}", driver=driver)
    try:
        await database.create_collections({"journal": []})
        yield database
    finally:
        await database.close()


@pytest.fixture
async def journal(mongodb_uri: str, driver: Driver) -> AsyncIterator[Database]:
    async with connected(mongodb_uri, driver) as database:
        yield database
        await database.drop()


async def write(database: Database, *numbers: int) -> None:
    """Insert each until it is there, whatever the database is going through."""
    async with asyncio.timeout(LIMIT_S):
        for number in numbers:
            while True:
                try:
                    await database.insert_one("journal", {"_id": number})
                    break
                except DuplicateKeyError:
                    break
                except PyMongoError:
                    await asyncio.sleep(0.05)


async def test_rows_inserted_after_it_opened_are_told_in_order_with_their_time(journal: Database) -> None:
    await write(journal, 0)
    record = Record()

    async with tailing(journal, record):
        await journal.insert_many("journal", [{"_id": number} for number in range(1, 3_001)])
        await record.until(lambda: len(record.rows) >= 3_000)

    assert record.ids == list(range(1, 3_001))
    assert record.events.count("opened") == 1
    assert "gap" not in record.events
    at = record.times[-1]
    assert at is None or abs((datetime.now(UTC).replace(tzinfo=None) - at).total_seconds()) < 60


async def test_only_inserts_are_told(journal: Database) -> None:
    record = Record()

    async with tailing(journal, record):
        await write(journal, 1)
        await journal.update_one("journal", {"_id": 1}, {"$set": {"seen": True}})
        await journal.delete_one("journal", {"_id": 1})
        await write(journal, 2)
        await record.until(lambda: len(record.rows) >= 2)

    assert record.rows == [{"_id": 1}, {"_id": 2}]


async def test_a_dropped_collection_is_a_gap_and_the_tail_goes_on(journal: Database) -> None:
    record = Record()

    async with tailing(journal, record):
        await write(journal, 1)
        await record.until(lambda: record.ids == [1])
        await _drop(journal, "journal")
        await record.until(lambda: "gap" in record.events)
        await write(journal, 2)
        await record.until(lambda: record.ids == [1, 2])

    assert record.events.index("interrupted") < record.events.index("gap")
    assert record.events[record.events.index("gap") - 1] == "opened"


async def test_what_ends_a_stream_is_noticed_by_who_was_busy_when_it_came(mongodb_uri: str, journal: Database) -> None:
    record = Record()

    async with tailing(journal, record):
        with MongoClient[Document](mongodb_uri) as client:
            client[journal.name]["journal"].insert_one({"_id": 1})
            client[journal.name].drop_collection("journal")
            # Longer than the stream waits for a change: all of it has arrived before anybody looks.
            time.sleep(1.5)  # noqa: ASYNC251
        await record.until(lambda: "gap" in record.events)
        await write(journal, 2)
        await record.until(lambda: record.ids[-1:] == [2])

    assert "interrupted" in record.events


async def _drop(database: Database, collection: str) -> None:
    await database.drop()
    await database.create_collections({collection: []})


async def test_nobody_waits_for_a_tail_to_stop(journal: Database) -> None:
    record = Record()
    async with tailing(journal, record):
        await write(journal, 1)
    started = asyncio.get_running_loop().time()

    async with tailing(journal, Record()):
        pass

    assert asyncio.get_running_loop().time() - started < 2


async def test_killed_cursors_and_a_step_down_lose_and_double_nothing(tmp_path: Path, driver: Driver) -> None:
    record = Record()
    async with (
        local_database(tmp_path) as local,
        connected(local.uri, driver) as database,
        tailing(database, record),
    ):
        writing = asyncio.create_task(write(database, *range(1, 201)))
        await record.until(lambda: len(record.rows) >= 20)

        await _admin(local.uri, {"killAllSessions": []})
        await record.until(lambda: len(record.rows) >= 100)
        await _admin(local.uri, {"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": True})
        await writing
        await record.until(lambda: len(record.rows) >= 200)
        assert (await _admin(local.uri, {"replSetGetStatus": 1}))["term"] > 1

    assert record.ids == list(range(1, 201))
    assert "gap" not in record.events


async def test_a_restart_of_the_database_loses_and_doubles_nothing(tmp_path: Path, driver: Driver) -> None:
    record = Record()
    async with local_database(tmp_path) as local:
        uri, name = local.uri, f"agora_test_{uuid4().hex[:12]}"
        database = await Database.connect(uri, name=name, driver=driver)
        await database.create_collections({"journal": []})
        task = asyncio.create_task(tail(database, "journal", record))
        await record.until(lambda: "opened" in record.events)
        await write(database, *range(1, 51))
        await record.until(lambda: len(record.rows) == 50)
        await write(database, *range(51, 61))
    await record.until(lambda: "interrupted" in record.events)
    reading = asyncio.create_task(outlast(lambda: database.count("journal", {})))

    async with local_database(tmp_path) as local:
        assert local.uri == uri
        assert await reading == 60
        await write(database, *range(61, 101))
        await record.until(lambda: len(record.rows) >= 100)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await database.close()

    assert record.ids == list(range(1, 101))
    assert "gap" not in record.events


async def test_history_that_is_lost_is_a_gap_told_once_the_stream_is_open_again(tmp_path: Path, driver: Driver) -> None:
    record = Record()
    first, second = tmp_path / "first", tmp_path / "second"
    async with local_database(first) as local:
        uri = local.uri
        database = await Database.connect(uri, name="agora_test_history", driver=driver)
        await database.create_collections({"journal": []})
        task = asyncio.create_task(tail(database, "journal", record))
        await record.until(lambda: "opened" in record.events)
        await write(database, 1, 2)
        await record.until(lambda: record.ids == [1, 2])
    second.mkdir()
    shutil.copy(first / "port", second / "port")

    # Another database stands there now, with a history of its own.
    async with local_database(second) as local:
        assert local.uri == uri
        await write(database, 1, 2, 3)
        await record.until(lambda: "gap" in record.events)
        await write(database, 4)
        await record.until(lambda: 4 in record.ids)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await database.close()

    assert record.events[record.events.index("gap") - 1] == "opened"
    assert record.ids[-1] == 4


async def test_a_read_of_a_database_that_stays_away_ends_in_a_typed_error() -> None:
    async def read() -> None:
        raise AutoReconnect("connection refused")

    with pytest.raises(UnavailableError):
        await outlast(read, limit_s=0.2)


def test_every_log_that_a_datastore_declares_is_gathered() -> None:
    declared = changes.declared_logs()

    assert declared[signals.SIGNALS] is signals.LOGS[signals.SIGNALS]
    assert declared[signals.SIGNALS]({"channel": "typing", "topic": "cnv_1"}) == ["typing/cnv_1"]


async def _admin(uri: str, command: Document) -> Document:
    client: AsyncMongoClient[Document] = AsyncMongoClient(uri)
    try:
        return await client.admin.command(command)
    except AutoReconnect:
        # Stepping down may close the connection that asked for it.
        return {}
    finally:
        await client.close()
