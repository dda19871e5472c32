"""A listener's queue: bounded, in order, and open about what it left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from datastores.errors import GoingAwayError
from datastores.mongo import Document
from gateway.live import MAX_QUEUED, Feed
from resolvers.context import MissedRowsError


def row(n: int, key: str = "") -> Document:
    return {"_id": f"row/{n}", "n": n, "key": key}


async def drain(feed: Feed[Document]) -> list[int]:
    return [(await feed.take())["n"] for _ in range(len(feed))]


@pytest.fixture
async def waiting() -> AsyncIterator[tuple[Feed[Document], asyncio.Task[Document]]]:
    feed: Feed[Document] = Feed()
    task = asyncio.create_task(feed.take())
    await asyncio.sleep(0)
    yield feed, task
    task.cancel()


async def test_rows_are_taken_in_the_order_in_which_they_came() -> None:
    feed: Feed[Document] = Feed()

    for n in range(1, MAX_QUEUED + 1):
        feed.offer(row(n))

    assert await drain(feed) == list(range(1, MAX_QUEUED + 1))
    assert feed.is_idle


async def test_who_waits_is_woken_by_a_row(waiting: tuple[Feed[Document], asyncio.Task[Document]]) -> None:
    feed, task = waiting

    feed.offer(row(1))

    assert (await task)["n"] == 1


async def test_who_waits_is_woken_by_a_gap(waiting: tuple[Feed[Document], asyncio.Task[Document]]) -> None:
    feed, task = waiting

    feed.miss()

    with pytest.raises(MissedRowsError) as caught:
        await task
    assert caught.value.overflowed_at is None


async def test_who_waits_is_woken_by_the_end(waiting: tuple[Feed[Document], asyncio.Task[Document]]) -> None:
    feed, task = waiting

    feed.end()

    with pytest.raises(GoingAwayError):
        await task


async def test_a_wait_that_is_cancelled_costs_no_row(waiting: tuple[Feed[Document], asyncio.Task[Document]]) -> None:
    feed, task = waiting

    feed.offer(row(1))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert await drain(feed) == [1]


async def test_a_full_queue_lets_go_of_its_rows_says_so_once_and_goes_on() -> None:
    feed: Feed[Document] = Feed()

    for n in range(1, MAX_QUEUED + 51):
        feed.offer(row(n))

    assert len(feed) == 0
    assert not feed.is_idle
    with pytest.raises(MissedRowsError) as caught:
        await feed.take()
    assert caught.value.overflowed_at is not None
    feed.offer(row(1_000))
    assert await drain(feed) == [1_000]
    assert feed.overflows == 1


async def test_a_full_queue_that_coalesces_keeps_the_newest_of_each_key_in_order() -> None:
    feed: Feed[Document] = Feed(coalesce=lambda document: document["key"])

    for n in range(1, MAX_QUEUED + 2):
        feed.offer(row(n, key="abc"[n % 3]))

    # 98, 99 and 100 were the newest of their keys when the queue was full.
    assert await drain(feed) == [98, 99, 100, 101]
    assert feed.overflows == 0
    assert feed.coalesced == MAX_QUEUED - 3


async def test_a_queue_of_too_many_keys_overflows_though_it_coalesces() -> None:
    feed: Feed[Document] = Feed(coalesce=lambda document: document["n"])

    for n in range(1, MAX_QUEUED + 2):
        feed.offer(row(n))

    with pytest.raises(MissedRowsError):
        await feed.take()


async def test_what_was_queued_at_the_end_can_still_be_taken() -> None:
    feed: Feed[Document] = Feed()
    feed.offer(row(1))

    feed.end()
    feed.offer(row(2))

    assert feed.is_ending
    assert await drain(feed) == [1]
    with pytest.raises(GoingAwayError):
        await feed.take()


async def test_a_feed_has_one_reader(waiting: tuple[Feed[Document], asyncio.Task[Document]]) -> None:
    feed, _ = waiting

    with pytest.raises(RuntimeError, match="one reader"):
        await feed.take()
