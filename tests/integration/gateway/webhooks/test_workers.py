"""Several workers, some of which die: an event is never sent by two at once, none is lost, and all stay in order."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bson.errors import InvalidDocument

from datastores import leases
from datastores import webhooks as store
from datastores.mongo import Database
from tests.integration.gateway.webhooks.offices import Office
from tests.integration.gateway.webhooks.receivers import OK, Received, receiving, status

ROOT = Path(__file__).resolve().parents[4]
MODULE = "tests.integration.gateway.webhooks.worker_process"


@asynccontextmanager
async def worker_process(uri: str, database: Database) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, which is killed at the end if it was not before."""
    command = [sys.executable, "-m", MODULE, uri, database.name, database.driver]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.communicate()


async def late(request: Received, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.01)
    writer.write(OK)
    await writer.drain()


def in_order(seqs: Sequence[int]) -> list[int]:
    """The numbers, each once; raises where one comes after a higher one."""
    assert list(seqs) == sorted(seqs)
    return [seq for seq, _ in itertools.groupby(seqs)]


async def test_of_two_workers_one_delivers_at_a_time(office: Office) -> None:
    async with receiving(late) as receiver, AsyncExitStack() as stack:
        endpoints = [await office.endpoint(f"{receiver.url}/{n}") for n in range(4)]
        workers = [await stack.enter_async_context(office.worker()) for _ in range(3)]
        await office.happen(15)
        await receiver.has(60)
        held = [worker.held for worker in workers]
        for endpoint in endpoints:
            await office.until(endpoint, lambda each: each["cursor"] == max(receiver.seqs))

    seqs = await office.seqs()
    for n in range(4):
        assert [each.seq for each in receiver.got if each.path.endswith(f"/{n}")] == seqs
    assert sorted(shard for shards in held for shard in shards) == list(range(store.SHARDS))
    assert receiver.most_at_once <= 4


async def test_a_worker_that_ends_hands_over_at_once_and_sends_nothing_twice(office: Office) -> None:
    async with receiving(late) as receiver, office.worker(lease_ttl_s=30):
        await office.endpoint(receiver.url)
        async with office.worker(lease_ttl_s=30):
            await office.happen(5)
            await receiver.has(3)
        await office.happen(5)
        await receiver.has(10)

    assert receiver.seqs == await office.seqs()


@pytest.mark.parametrize("seed", [1, 2])
async def test_workers_that_are_killed_while_they_deliver_lose_nothing(
    mongodb_uri: str, database: Database, office: Office, seed: int
) -> None:
    chance = random.Random(seed)
    async with receiving(late) as receiver, AsyncExitStack() as stack:
        endpoint = await office.endpoint(receiver.url)
        for _ in range(2):
            process = await stack.enter_async_context(worker_process(mongodb_uri, database))
            before = len(receiver.got)
            happening = asyncio.create_task(office.happen(12))
            await receiver.has(before + chance.randint(1, 10))
            # In the middle of a delivery, or between two.
            await asyncio.sleep(chance.random() * 0.02)
            os.kill(process.pid, signal.SIGKILL)
            await happening
        await stack.enter_async_context(worker_process(mongodb_uri, database))
        await receiver.until(lambda: len(set(receiver.seqs)) == 24)
        await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[-1])

    assert in_order(receiver.seqs) == await office.seqs()
    assert len({each.id for each in receiver.got}) == 24
    # Each kill may have cost one delivery its answer.
    assert len(receiver.got) <= 24 + 2


async def test_who_lost_the_lease_writes_nothing_any_more(office: Office) -> None:
    endpoint = await office.endpoint("http://127.0.0.1:1/")
    old = await store.adopt(office.ctx.database, endpoint.endpoint["_id"], 1)
    new = await store.adopt(office.ctx.database, endpoint.endpoint["_id"], 2)
    assert old is not None
    assert new is not None

    stale = await store.settle(office.ctx.database, old, {"cursor": 7})
    again = await store.adopt(office.ctx.database, endpoint.endpoint["_id"], 1)
    current = await store.settle(office.ctx.database, new, {"cursor": 8})

    assert (stale, again, current) == (False, None, True)
    assert (await office.now(endpoint))["cursor"] == 8


async def test_an_endpoint_is_disabled_with_its_notices_or_not_at_all(office: Office) -> None:
    database = office.ctx.database
    endpoint = await office.endpoint("http://127.0.0.1:1/")
    mine = await store.adopt(database, endpoint.endpoint["_id"], 1)
    assert mine is not None
    notice: Any = {"_id": "whd_1", "endpoint_id": mine["_id"], "state": "PENDING", "queued_at": office.ctx.now()}
    unfit: Any = {**notice, "_id": "whd_2", "about": object()}
    disabling = {"enabled": False}

    stale = await store.disable(database, {**mine, "generation": 7}, disabling, [notice])
    with pytest.raises(InvalidDocument):
        await store.disable(database, mine, disabling, [notice, unfit])
    before = (await office.now(endpoint))["enabled"], await store.queued(database, mine["_id"])
    disabled = await store.disable(database, mine, disabling, [notice])

    assert (stale, before) == (False, (True, []))
    assert (disabled, (await office.now(endpoint))["enabled"]) == (True, False)
    assert await store.queued(database, mine["_id"]) == [notice]


async def test_an_attempt_begins_only_while_the_lease_outlasts_it(office: Office) -> None:
    async with receiving(status(200)) as receiver:
        await office.endpoint(receiver.url)
        for shard in range(store.SHARDS):
            assert await leases.acquire(office.ctx.database, f"webhooks/{shard}", "another", 3.0)
        async with office.worker() as worker:
            await office.happen(1)
            held_by_another = (worker.held, len(receiver.got))
            await receiver.has(1)

    assert held_by_another == (frozenset(), 0)
    with pytest.raises(ValueError, match="longer than an attempt"):
        office.worker(lease_ttl_s=4.0, timeout_s=2.0)
