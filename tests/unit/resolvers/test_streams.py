"""Following a log: whatever happens at whatever moment, every row is seen once, in order.

The log and the change stream are plain lists here, moved step by step, so that writes, deliveries, gaps and overflows
fall into every point of the hand-over; the queue is the real one, made short.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datastores.errors import GoingAwayError, SlowConsumerError, StreamGapError, ValidationError
from datastores.mongo import Document
from datastores.paging import decode_cursor
from resolvers.streams import merged, signals
from tests.unit.resolvers.journal import QUEUE, STEPS, Clock, World, settle, short_queues


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module", autouse=True)
def _short(clock: Clock) -> Iterator[None]:
    with short_queues(clock):
        yield


async def seen(world: World, after: int | None, **options: Any) -> list[int]:
    """What a reader who takes everything sees, once the script is played and the change stream has caught up."""
    numbers: list[int] = []

    async def reader() -> None:
        async with aclosing(world.follow(after, **options)) as rows:
            async for row in rows:
                numbers.append(row["n"])
                world.step()

    task = asyncio.create_task(reader())
    try:
        await settle(numbers)
        while world.script and not task.done():
            world.step()
            await settle(numbers)
        while world.told < len(world.log) and not task.done():
            world.tell(1)
            await settle(numbers)
        if task.done():
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return numbers


@settings(max_examples=400, deadline=None)
@given(
    written=st.integers(0, 7),
    after=st.integers(0, 7),
    contiguous=st.booleans(),
    script=st.lists(st.sampled_from(STEPS), max_size=40),
)
@example(written=3, after=0, contiguous=True, script=["nothing"] * 5 + ["write 3", "stream all", "write"])
def test_a_reader_with_a_cursor_sees_every_row_once_in_order(
    written: int, after: int, contiguous: bool, script: list[str]
) -> None:
    after = min(after, written)
    world = World(written, script)

    numbers = asyncio.run(seen(world, after, contiguous=contiguous))

    assert numbers == list(range(after + 1, len(world.log) + 1))


def test_a_feed_that_opens_after_the_log_was_read_makes_holes_that_are_found() -> None:
    broken = 0
    for at in range(12):
        world = World(1, ["nothing"] * at + ["write", "stream all"], opens_late=True)
        try:
            numbers = asyncio.run(seen(world, 0))
        except StreamGapError:
            numbers = []
        broken += numbers != [row["n"] for row in world.log]

    assert broken > 0


def test_it_holds_for_every_short_schedule() -> None:
    async def check_all() -> None:
        for script in itertools.product(("write", "stream all", "gap", "nothing"), repeat=6):
            world = World(1, script)
            numbers = await seen(world, 0, contiguous=True)
            assert numbers == list(range(1, len(world.log) + 1)), script

    asyncio.run(check_all())


@settings(max_examples=200, deadline=None)
@given(written=st.integers(0, 5), contiguous=st.booleans(), script=st.lists(st.sampled_from(STEPS), max_size=40))
def test_a_reader_without_a_cursor_sees_every_row_from_then_on(
    written: int, contiguous: bool, script: list[str]
) -> None:
    world = World(written, script)
    heads: list[int] = []
    head = world.head

    async def remembered() -> int:
        heads.append(await head())
        return heads[0]

    world.head = remembered  # type: ignore[method-assign]
    numbers = asyncio.run(seen(world, None, contiguous=contiguous))

    assert numbers == list(range(heads[0] + 1, len(world.log) + 1))


@settings(max_examples=200, deadline=None)
@given(written=st.integers(0, 5), script=st.lists(st.sampled_from(STEPS), max_size=40))
def test_a_reader_that_coalesces_misses_only_what_a_later_row_supersedes(written: int, script: list[str]) -> None:
    world = World(written, script)

    numbers = asyncio.run(seen(world, 0, coalesce=lambda row: row["n"] % 2))

    assert numbers == sorted(set(numbers))
    assert numbers[:written] == list(range(1, written + 1))
    newest = len(world.log)
    assert set(numbers) >= {n for n in (newest, newest - 1) if n > 0}


@settings(max_examples=100, deadline=None)
@given(script=st.lists(st.sampled_from(STEPS), min_size=10, max_size=40), cuts=st.lists(st.integers(1, 5), max_size=5))
def test_a_reader_that_comes_and_goes_with_its_cursor_sees_1_to_n(script: list[str], cuts: list[int]) -> None:
    world = World(2, script)

    async def sessions() -> list[int]:
        numbers: list[int] = []
        for cut in cuts:
            last = numbers[-1] if numbers else 0
            if last + cut > len(world.log):
                break
            async with aclosing(world.follow(last)) as rows:
                numbers += [(await anext(rows))["n"] for _ in range(cut)]
            world.step()
        return numbers + await seen(world, numbers[-1] if numbers else 0)

    assert asyncio.run(sessions()) == list(range(1, len(world.log) + 1))


async def test_a_cursor_from_the_future_is_refused() -> None:
    with pytest.raises(ValidationError):
        await anext(World(3).follow(4))


async def test_a_row_that_reads_do_not_show_yet_when_the_stream_begins_is_seen() -> None:
    world = World(2)
    world.write(1)
    world.lose()
    rows = world.follow(2)
    task = asyncio.create_task(anext(rows))
    await settle()

    assert task.done(), "the row is in neither"
    assert (await task)["n"] == 3
    await rows.aclose()


async def test_the_newest_cursor_is_not_from_the_future() -> None:
    world = World(3)
    rows = world.follow(3)
    task = asyncio.create_task(anext(rows))
    await settle()

    world.write(1)
    world.tell(1)

    assert (await task)["n"] == 4
    await rows.aclose()


@pytest.mark.parametrize("written", [0, 1])
async def test_a_reader_that_takes_nothing_while_its_queue_is_full_is_told_where_to_go_on(
    clock: Clock, written: int
) -> None:
    world = World(written)
    rows = world.follow(0, scope="journal/1", patience_s=5)
    task = asyncio.create_task(anext(rows))
    await settle()
    world.write(10)
    world.tell(1)
    assert (await task)["n"] == 1

    world.tell(9)
    clock.now_s += 6

    with pytest.raises(SlowConsumerError) as caught:
        await anext(rows)
    assert decode_cursor("journal/1", caught.value.details["cursor"], int) == (1,)
    assert world.feed is None


async def test_a_reader_that_never_catches_up_with_what_is_live_is_told_where_to_go_on(clock: Clock) -> None:
    world = World(0)
    rows = world.follow(0, scope="journal/1", patience_s=5)
    task = asyncio.create_task(anext(rows))
    await settle()
    world.write(1)
    world.tell(1)
    numbers = [(await task)["n"]]

    async def take_too_slowly() -> None:
        for _ in range(100):
            world.write(2)
            world.tell(2)
            clock.now_s += 1
            numbers.append((await anext(rows))["n"])

    with pytest.raises(SlowConsumerError):
        await take_too_slowly()

    assert numbers == list(range(1, numbers[-1] + 1))
    assert 5 < len(numbers) < 15


async def test_a_reader_that_takes_nothing_for_long_goes_on_where_its_queue_sufficed(clock: Clock) -> None:
    world = World(0)
    rows = world.follow(0, patience_s=5)
    task = asyncio.create_task(anext(rows))
    await settle()
    world.write(QUEUE + 1)
    world.tell(1)
    await task

    world.tell(QUEUE)
    clock.now_s += 1_000

    assert [(await anext(rows))["n"] for _ in range(QUEUE)] == list(range(2, QUEUE + 2))
    await rows.aclose()


async def test_a_burst_that_is_longer_than_the_queue_is_no_reason_to_end() -> None:
    world = World(0)
    rows = world.follow(0, patience_s=5)
    task = asyncio.create_task(anext(rows))
    await settle()

    world.write(20)
    world.tell(20)

    assert (await task)["n"] == 1
    assert [(await anext(rows))["n"] for _ in range(19)] == list(range(2, 21))
    await rows.aclose()


async def test_a_catch_up_may_take_longer_than_the_queue_lasts(clock: Clock) -> None:
    world = World(10)
    read = world.read

    async def slowly(after: int, limit: int) -> list[Document]:
        clock.now_s += 100
        return await read(after, limit)

    world.read = slowly  # type: ignore[method-assign]
    rows = world.follow(0, patience_s=5)
    assert (await anext(rows))["n"] == 1

    world.write(10)
    world.tell(10)

    assert [(await anext(rows))["n"] for _ in range(19)] == list(range(2, 21))
    task = asyncio.create_task(anext(rows))
    await settle()
    world.write(1)
    world.tell(1)
    assert (await task)["n"] == 21
    await rows.aclose()


async def test_a_hole_in_a_contiguous_log_ends_the_stream() -> None:
    world = World(5)
    del world.log[:2]

    async def read(after: int, limit: int) -> list[Document]:
        return [row for row in world.log if row["n"] > after][:limit]

    world.read = read  # type: ignore[method-assign]
    with pytest.raises(StreamGapError):
        await anext(world.follow(1, contiguous=True))


@pytest.mark.parametrize("caught_up", [True, False])
async def test_the_end_of_the_process_is_told_to_who_follows(caught_up: bool) -> None:
    world = World(5)
    rows = world.follow(0)
    for _ in range(5 if caught_up else 1):
        await anext(rows)
    assert world.feed is not None

    world.feed.end()

    # The page that was read before the end is still given.
    with pytest.raises(GoingAwayError):
        [row async for row in rows]


async def test_signals_keep_the_newest_of_each_key_for_who_is_busy() -> None:
    world = World()
    told = signals(world.context, "typing", "cnv_1", key=lambda message: message["user_id"])
    task = asyncio.create_task(anext(told))
    await settle()
    assert world.feed is not None

    for at in range(8):
        world.feed.offer({"message": {"user_id": f"usr_{at % 2}", "at": at}})

    given = [(await task)["at"]] + [(await anext(told))["at"] for _ in range(len(world.feed))]
    assert given == sorted(given)
    assert given[-2:] == [6, 7]
    assert len(given) < 8
    world.feed.miss()
    task = asyncio.create_task(anext(told))
    await settle()
    world.feed.offer({"message": {"user_id": "usr_0", "at": 9}})
    assert (await task)["at"] == 9
    await told.aclose()


async def numbers_of(*numbers: int, closed: list[str]) -> AsyncGenerator[int, None]:
    try:
        for number in numbers:
            yield number
            await asyncio.sleep(0)
    finally:
        closed.append(f"from {numbers[0]}")


async def forever(*, closed: list[str], busy: bool) -> AsyncGenerator[int, None]:
    try:
        while True:
            if busy:
                yield 0
            else:
                await asyncio.Event().wait()
    finally:
        closed.append("forever")


async def test_merged_streams_keep_their_order_and_end_when_all_have() -> None:
    closed: list[str] = []

    both = [n async for n in merged(numbers_of(*range(1, 9), closed=closed), numbers_of(*range(11, 14), closed=closed))]

    assert sorted(both) == [*range(1, 9), *range(11, 14)]
    assert [n for n in both if n < 10] == list(range(1, 9))
    assert [n for n in both if n > 10] == [11, 12, 13]
    assert sorted(closed) == ["from 1", "from 11"]


async def test_a_busy_stream_keeps_no_other_waiting() -> None:
    closed: list[str] = []
    both = merged(forever(closed=closed, busy=True), numbers_of(1, 2, 3, closed=closed))

    first = [await anext(both) for _ in range(20)]
    await both.aclose()

    assert [n for n in first if n] == [1, 2, 3]
    assert "forever" in closed


async def test_closing_merged_streams_closes_each_and_leaves_no_task() -> None:
    closed: list[str] = []
    before = asyncio.all_tasks()
    both = merged(forever(closed=closed, busy=False), numbers_of(1, 2, 3, closed=closed))
    assert await anext(both) == 1

    await both.aclose()

    assert sorted(closed) == ["forever", "from 1"]
    assert asyncio.all_tasks() == before


async def test_the_first_error_of_merged_streams_is_raised_and_closes_the_others() -> None:
    closed: list[str] = []

    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise StreamGapError("gone")

    with pytest.raises(StreamGapError):
        async for _ in merged(failing(), forever(closed=closed, busy=False)):
            pass

    assert closed == ["forever"]
