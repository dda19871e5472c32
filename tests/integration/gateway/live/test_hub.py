"""The hub on a real replica set: every listener of every process sees its rows once, in order."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import DuplicateKeyError, PyMongoError

from datastores import signals as signals_store
from datastores.commit import CommitLoops
from datastores.errors import GoingAwayError, SlowConsumerError, UnavailableError, ValidationError
from datastores.local import local_database
from datastores.mongo import Database, Document, Driver
from gateway.live import MAX_QUEUED, Hub, hub
from resolvers.context import Context, MissedRowsError
from resolvers.streams import follow, signals

LIMIT_S = 180.0
LOGS = {"journal": lambda row: row["topics"], **signals_store.LOGS}


@pytest.fixture(params=["motor", "pymongo"])
async def database(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Database]:
    async with connected(mongodb_uri, request.param) as database:
        yield database
        await database.drop()


@asynccontextmanager
async def connected(uri: str, driver: Driver) -> AsyncIterator[Database]:
    database = await Database.connect(uri, name=f"agora_test_{uuid4().hex[:12]}", driver=driver)
    try:
        await database.create_collections({"journal": [], **signals_store.INDEXES})
        yield database
    finally:
        await database.close()


def row(n: int, *topics: str) -> Document:
    return {"_id": n, "n": n, "topics": list(topics or ("all",))}


async def write(database: Database, start: int, stop: int) -> None:
    """Insert rows one after the other, each until it is there, whatever the database is going through."""
    for n in range(start, stop):
        while True:
            try:
                await database.insert_one("journal", row(n))
                break
            except DuplicateKeyError:
                break
            except PyMongoError:
                await asyncio.sleep(0.05)


def rows_after(
    database: Database, live: Hub, after: int | None, before_head: Callable[[], Any] = lambda: None, **options: Any
) -> AsyncGenerator[Document, None]:
    async def head() -> int:
        before_head()
        newest = await database.find_one("journal", {}, sort=[("n", -1)])
        return 0 if newest is None else cast(int, newest["n"])

    async def read(past: int, limit: int) -> list[Document]:
        return await database.find("journal", {"_id": {"$gt": past}}, sort=[("_id", 1)], limit=limit)

    context = Context(database, CommitLoops(database), live)
    number: Callable[[Document], int] = lambda document: cast(int, document["n"])  # noqa: E731
    return follow(context, "journal", ["all"], after=after, head=head, read=read, number=number, **options)


async def take(rows: AsyncGenerator[Document, None], count: int) -> list[int]:
    async with asyncio.timeout(LIMIT_S):
        return [(await anext(rows))["n"] for _ in range(count)]


async def test_two_hubs_on_one_database_bring_the_same_rows(database: Database) -> None:
    async with Hub(database, LOGS) as one, Hub(database, LOGS) as other:
        first, second = rows_after(database, one, 0), rows_after(database, other, 0)
        async with aclosing(first), aclosing(second):
            seen = asyncio.gather(take(first, 300), take(second, 300))
            await write(database, 1, 301)

            assert list(await seen) == [list(range(1, 301))] * 2


async def test_ten_thousand_rows_are_seen_once_by_readers_from_anywhere(database: Database) -> None:
    await database.insert_many("journal", [row(n) for n in range(1, 6_001)])
    async with Hub(database, LOGS) as live, AsyncExitStack() as stack:
        starts = [0, 1, 2_999, 5_999, 6_000]
        readers = [await stack.enter_async_context(aclosing(rows_after(database, live, after))) for after in starts]
        pairs = zip(readers, starts, strict=True)
        seen = asyncio.gather(*(take(reader, 10_000 - after) for reader, after in pairs))
        for start in range(6_001, 10_001, 50):
            await database.insert_many("journal", [row(n) for n in range(start, start + 50)])

        assert await seen == [list(range(after + 1, 10_001)) for after in starts]
        assert live.statistics["journal"].feeds == 5
    assert live.statistics["journal"].feeds == live.statistics["journal"].topics == 0


async def test_without_a_cursor_the_rows_from_then_on_are_seen(database: Database) -> None:
    await write(database, 1, 11)
    async with Hub(database, LOGS) as live:
        async with live.open("journal", ["all"]):
            pass
        head_asked = asyncio.Event()
        async with aclosing(rows_after(database, live, None, head_asked.set)) as rows:
            seen = asyncio.create_task(take(rows, 5))
            await head_asked.wait()
            # The head is read before these are written, or with some of them: none later is left out.
            await write(database, 11, 26)

            numbers = await seen
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert numbers[0] >= 11


async def test_a_cursor_from_the_future_is_refused(database: Database) -> None:
    await write(database, 1, 4)
    async with Hub(database, LOGS) as live:
        with pytest.raises(ValidationError):
            await anext(rows_after(database, live, 4))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.integers(0, 30),
    after=st.integers(0, 30),
    pauses=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    batch=st.integers(1, 150),
)
def test_whenever_rows_are_written_a_reader_sees_each_once(
    mongodb_uri: str, mongo_driver: Driver, written: int, after: int, pauses: list[int], batch: int
) -> None:
    async def writer(database: Database) -> int:
        n = written
        for pause in pauses:
            # Turns of the event loop, not time: the writes fall between the steps of the reader.
            for _ in range(pause):
                await asyncio.sleep(0)
            await database.insert_many("journal", [row(at) for at in range(n + 1, n + batch + 1)])
            n += batch
        return n

    async def run() -> None:
        async with connected(mongodb_uri, mongo_driver) as database:
            if written:
                await database.insert_many("journal", [row(n) for n in range(1, written + 1)])
            start = min(after, written)
            async with Hub(database, LOGS) as live, aclosing(rows_after(database, live, start)) as rows:
                writing = asyncio.create_task(writer(database))
                numbers = await take(rows, written - start + batch * len(pauses))
                assert await writing == written + batch * len(pauses)
            await database.drop()
            assert numbers == list(range(start + 1, written + batch * len(pauses) + 1))

    asyncio.run(run())


async def test_rows_are_routed_by_topic_and_come_once_to_who_wants_several(database: Database) -> None:
    async with Hub(database, LOGS) as live, live.open("journal", ["a", "b"]) as both, live.open("journal", ["b"]) as b:
        await database.insert_many("journal", [row(1, "a"), row(2, "a", "b"), row(3, "c"), row(4, "b")])

        async with asyncio.timeout(LIMIT_S):
            assert [(await both.take())["n"] for _ in range(3)] == [1, 2, 4]
            assert [(await b.take())["n"] for _ in range(2)] == [2, 4]
        assert both.is_idle


async def test_readers_share_the_document_of_a_row(database: Database) -> None:
    async with Hub(database, LOGS) as live, live.open("journal", ["a"]) as one, live.open("journal", ["a"]) as other:
        await database.insert_one("journal", row(1, "a"))

        async with asyncio.timeout(LIMIT_S):
            assert await one.take() is await other.take()


async def test_a_slow_reader_ends_with_its_cursor_and_slows_nobody(database: Database) -> None:
    async with Hub(database, LOGS) as live:
        slow = rows_after(database, live, 0, scope="journal", patience_s=0.0)
        quick = rows_after(database, live, 0)
        async with aclosing(slow), aclosing(quick):
            first = asyncio.gather(take(slow, 1), take(quick, 1))
            await write(database, 1, 2)
            assert list(await first) == [[1], [1]]

            seen = asyncio.create_task(take(quick, 999))
            for start in range(2, 1_001, 37):
                await database.insert_many("journal", [row(n) for n in range(start, min(start + 37, 1_001))])

            assert await seen == list(range(2, 1_001))
            with pytest.raises(SlowConsumerError) as caught:
                await take(slow, 999)
            assert caught.value.details["cursor"]


async def test_a_slow_reader_that_coalesces_gets_the_newest_of_each_topic(database: Database) -> None:
    async with (
        Hub(database, LOGS) as live,
        live.open("journal", ["a", "b"], coalesce=lambda row: row["topics"][0]) as feed,
        live.open("journal", ["end"]) as end,
    ):
        rows = [row(n, "ab"[n % 2]) for n in range(1, 10 * MAX_QUEUED + 1)]
        await database.insert_many("journal", [*rows, row(0, "end")])
        async with asyncio.timeout(LIMIT_S):
            await end.take()

        taken = [(await feed.take())["n"] for _ in range(len(feed))]
        assert taken == sorted(taken)
        assert taken[-2:] == [999, 1_000]
        assert len(taken) <= MAX_QUEUED


async def test_a_dropped_log_is_told_to_every_feed(database: Database) -> None:
    async with Hub(database, LOGS) as live, live.open("journal", ["all"]) as feed:
        await database.drop()
        await database.create_collections({"journal": []})

        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(MissedRowsError):
                await feed.take()
            await database.insert_one("journal", row(1))
            assert (await feed.take())["n"] == 1
        assert live.statistics["journal"].gaps >= 1


async def test_followers_see_every_row_through_a_restart_of_the_database(tmp_path: Path, mongo_driver: Driver) -> None:
    async with local_database(tmp_path) as local, AsyncExitStack() as stack:
        database = await Database.connect(local.uri, name="agora_test", driver=mongo_driver)
        stack.push_async_callback(database.close)
        await database.create_collections({"journal": [], **signals_store.INDEXES})
        live = await stack.enter_async_context(Hub(database, LOGS))
        rows = await stack.enter_async_context(aclosing(rows_after(database, live, 0, contiguous=True)))
        seen = asyncio.create_task(take(rows, 600))
        writing = asyncio.create_task(write(database, 1, 601))
        async with aclosing(rows_after(database, live, 0)) as others:
            await take(others, 100)
        later = stack.pop_all()

    async with local_database(tmp_path), later:
        await writing

        assert await seen == list(range(1, 601))
        assert live.statistics["journal"].gaps == 0


async def test_followers_see_every_row_when_the_change_stream_has_lost_its_history(
    tmp_path: Path, mongo_driver: Driver
) -> None:
    async with local_database(tmp_path / "old") as local, AsyncExitStack() as stack:
        database = await Database.connect(local.uri, name="agora_test", driver=mongo_driver)
        stack.push_async_callback(database.close)
        await database.create_collections({"journal": [], **signals_store.INDEXES})
        live = await stack.enter_async_context(Hub(database, LOGS))
        rows = await stack.enter_async_context(aclosing(rows_after(database, live, 0, contiguous=True)))
        writing = asyncio.create_task(write(database, 1, 51))
        assert await take(rows, 50) == list(range(1, 51))
        await writing
        later = stack.pop_all()
    (tmp_path / "new").mkdir()
    shutil.copy(tmp_path / "old" / "port", tmp_path / "new" / "port")

    # A database restored from a copy: the same rows and more, but none of the change stream's history.
    async with local_database(tmp_path / "new"), later:
        await database.insert_many("journal", [row(n) for n in range(1, 81)])

        assert await take(rows, 30) == list(range(51, 81))
        assert live.statistics["journal"].gaps == 1


async def test_the_end_of_a_hub_ends_every_feed_after_what_is_queued(database: Database) -> None:
    async with Hub(database, LOGS) as live, live.open("journal", ["a"]) as busy, live.open("journal", ["a"]) as idle:
        await database.insert_one("journal", row(1, "a"))
        async with asyncio.timeout(LIMIT_S):
            await idle.take()
        waiting = asyncio.create_task(idle.take())

        live.end()

        assert (await busy.take())["n"] == 1
        with pytest.raises(GoingAwayError):
            await busy.take()
        with pytest.raises(GoingAwayError):
            await waiting
        with pytest.raises(GoingAwayError):
            async with live.open("journal", ["a"]):
                pass
        assert not live.is_open


async def test_nobody_hears_of_a_feed_that_was_closed(database: Database) -> None:
    async with Hub(database, LOGS) as live:
        async with live.open("journal", ["a"]):
            assert live.statistics["journal"].feeds == 1

        assert live.statistics["journal"].feeds == 0
        assert live.statistics["journal"].topics == 0


async def test_a_feed_on_a_database_that_is_away_is_refused(
    tmp_path: Path, mongo_driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "OPEN_TIMEOUT_S", 0.2)
    async with local_database(tmp_path) as local:
        database = await Database.connect(local.uri, name="agora_test", driver=mongo_driver)

    async with Hub(database, LOGS) as live:
        with pytest.raises(UnavailableError):
            async with live.open("journal", ["a"]):
                pass
    await database.close()


async def test_signals_reach_every_process_that_listens_to_the_topic(database: Database) -> None:
    async with Hub(database, LOGS) as one, Hub(database, LOGS) as other:
        contexts = [Context(database, CommitLoops(database), live) for live in (one, other)]
        streams = [signals(context, "typing", "cnv_1", key=lambda message: message["at"]) for context in contexts]
        heard = [asyncio.create_task(anext(stream)) for stream in streams]
        async with asyncio.timeout(LIMIT_S):
            while one.statistics["signals"].feeds + other.statistics["signals"].feeds < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

            await signals_store.publish(database, "typing", "cnv_2", {"at": 1})
            await signals_store.publish(database, "read", "cnv_1", {"at": 2})
            await signals_store.publish(database, "typing", "cnv_1", {"at": 3})

            assert await asyncio.gather(*heard) == [{"at": 3}, {"at": 3}]
        for stream in streams:
            await stream.aclose()
