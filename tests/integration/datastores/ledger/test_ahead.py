"""Batches that are decided while another is written: on a real replica set, alone and against another process."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta

import pytest

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.ledger import PostTransfer
from datastores.mongo import Database

from . import town

PEOPLE = 12
START = datetime(2026, 3, 1, 9)


@pytest.fixture
async def commits(database: Database) -> CommitLoop:
    commits = CommitLoop(database, ledger.COMMIT_LOOP)
    for number in range(PEOPLE):
        await town.fill(commits, f"usr_{number}", 10_000)
    return commits


def payments(count: int, keys: str) -> list[PostTransfer]:
    return [payment(f"usr_{n % PEOPLE}", f"usr_{(n + 5) % PEOPLE}", f"{keys}-{n}") for n in range(count)]


def payment(payer: str, payee: str, key: str) -> PostTransfer:
    return PostTransfer(town.command(payer, key), town.transfer(payer, payee, 1))


async def test_acts_that_come_while_a_batch_is_written_are_decided_meanwhile(
    database: Database, commits: CommitLoop
) -> None:
    acts, attempts = payments(200, "a"), commits.statistics.attempts
    first = [asyncio.create_task(commits.submit(act)) for act in acts[:20]]
    while commits.statistics.attempts == attempts:  # noqa: ASYNC110
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*first, *(commits.submit(act) for act in acts[20:]))

    assert [outcome.posted for outcome in outcomes] == [True] * 200
    assert commits.statistics.ahead > 0
    assert sorted(outcome.entry["seq"] for outcome in outcomes) == list(range(PEOPLE + 1, PEOPLE + 201))
    assert (await ledger.verify(database)).holds


async def test_what_was_decided_ahead_is_decided_anew_where_another_process_came_first(
    database: Database, commits: CommitLoop
) -> None:
    other = CommitLoop(database, ledger.COMMIT_LOOP)
    acts = [(loop, act) for loop, keys in ((commits, "a"), (other, "b")) for act in payments(150, keys)]

    outcomes = await asyncio.gather(*(loop.submit(act, timeout_s=60) for loop, act in acts))

    assert all(outcome.posted for outcome in outcomes)
    assert (
        commits.statistics.attempts + other.statistics.attempts > commits.statistics.batches + other.statistics.batches
    )
    report = await ledger.verify(database)
    assert (report.holds, report.entries) == (True, PEOPLE + 300)


async def test_a_key_that_comes_again_while_its_first_try_is_written_has_one_outcome(
    database: Database, commits: CommitLoop
) -> None:
    first, again = payments(80, "a"), payments(80, "a")

    outcomes = await asyncio.gather(*(commits.submit(act) for act in (*first, *again)))

    assert [outcome.entry["_id"] for outcome in outcomes[:80]] == [outcome.entry["_id"] for outcome in outcomes[80:]]
    assert sum(outcome.replayed for outcome in outcomes) == 80
    assert (await ledger.verify(database)).entries == PEOPLE + 80


async def test_batches_that_are_decided_ahead_of_one_another_keep_the_time(database: Database) -> None:
    ticks = 0

    def now() -> datetime:
        return START + timedelta(seconds=ticks)

    commits = CommitLoop(database, ledger.COMMIT_LOOP, now=now)
    await asyncio.gather(*(town.fill(commits, f"usr_{number}", 10_000) for number in range(PEOPLE)))
    late: list[float] = []

    async def pay(number: int) -> None:
        nonlocal ticks
        for at in range(60):
            asked = now()
            paid = await commits.submit(payment(f"usr_{number}", f"usr_{(number + 5) % PEOPLE}", f"{number}-{at}"))
            late.append((asked - paid.entry["created_at"]).total_seconds())
            ticks += 1
            await asyncio.sleep(0.001 * (number % 5))

    await asyncio.gather(*(pay(number) for number in range(PEOPLE)))

    assert commits.statistics.ahead > 100
    # Of a batch and of the one before it, at most.
    assert max(late) <= 2 * PEOPLE


async def test_an_act_that_cannot_be_written_leaves_those_beside_it_alone(
    database: Database, commits: CommitLoop
) -> None:
    bad = payment("usr_0", "usr_1", "bad")
    unwritable = dataclasses.replace(bad, transfer=dataclasses.replace(bad.transfer, order_id="\ud800"))

    outcomes = await asyncio.gather(
        *(commits.submit(act) for act in (*payments(40, "a"), unwritable, *payments(40, "b"))), return_exceptions=True
    )

    assert [at for at, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [40]
    report = await ledger.verify(database)
    assert (report.holds, report.entries) == (True, PEOPLE + 80)
