"""The sweeper on a real replica set: chores are done, by one process at a time, whatever befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from datastores import leases
from datastores.commit import CommitLoops
from datastores.mongo import Database
from gateway import sweeper
from gateway.live import Hub
from gateway.sweeper import Sweeper
from resolvers.chores import CHORES, Chore
from resolvers.context import Context

LIMIT_S = 20.0
INTERVAL_S = 0.02


@pytest.fixture
def ctx(database: Database) -> Context:
    return Context(database, CommitLoops(database), Hub(database, {}))


def sweeper_of(ctx: Context, *chores: Chore) -> Sweeper:
    return Sweeper(ctx.database, ctx.fresh, chores)


class Work:
    """A chore that counts who is at it at once."""

    def __init__(self, answers: list[int] | None = None) -> None:
        self.answers = answers or []
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0
        self._changed = asyncio.Condition()

    async def __call__(self, ctx: Context) -> int:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await ctx.database.ping()
            return self.answers.pop(0) if self.answers else 0
        finally:
            self.at_once -= 1
            self.runs += 1
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(condition)


async def test_every_chore_runs_again_and_again(ctx: Context) -> None:
    one, other = Work([3, 2]), Work()
    chores = [Chore("one", one, interval_s=INTERVAL_S), Chore("other", other, interval_s=INTERVAL_S)]

    async with sweeper_of(ctx, *chores) as sweeping:
        await one.until(lambda: one.runs >= 5)
        await other.until(lambda: other.runs >= 5)

    assert sweeping.statistics["one"].done == 5
    assert sweeping.statistics["one"].runs >= 5
    assert sweeping.statistics["other"].failures == 0


async def test_of_two_processes_one_does_a_chore_and_the_other_takes_over(ctx: Context) -> None:
    work = Work()
    first = await sweeper_of(ctx, Chore("work", work, interval_s=INTERVAL_S)).__aenter__()
    await work.until(lambda: work.runs >= 2)

    async with sweeper_of(ctx, Chore("work", work, interval_s=INTERVAL_S)) as second:
        await work.until(lambda: work.runs >= 15)
        assert second.statistics["work"].runs == 0

        await first.__aexit__(None, None, None)
        so_far = first.statistics["work"].runs
        await work.until(lambda: second.statistics["work"].runs >= 5)

    assert first.statistics["work"].runs == so_far
    assert work.most_at_once == 1


async def test_two_processes_that_start_together_never_work_at_once(ctx: Context) -> None:
    work = Work([1] * 10)
    chores = [Chore("work", work, interval_s=INTERVAL_S)]

    async with sweeper_of(ctx, *chores), sweeper_of(ctx, *chores):
        await work.until(lambda: work.runs >= 20)

    assert work.most_at_once == 1


async def test_the_chore_of_a_process_that_died_is_taken_over_when_its_lease_expires(ctx: Context) -> None:
    work = Work()
    await leases.acquire(ctx.database, "chore/work", "a process that died", 0.5)

    async with sweeper_of(ctx, Chore("work", work, interval_s=INTERVAL_S)):
        await work.until(lambda: work.runs >= 1)


async def test_a_chore_that_fails_or_hangs_is_tried_again_and_holds_up_no_other(ctx: Context) -> None:
    answers = iter([RuntimeError("broken"), None])
    healthy, tried = Work(), Work()

    async def troubled(ctx: Context) -> int:
        answer = next(answers, 1)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return await tried(ctx)

    chores = [
        Chore("troubled", troubled, timeout_s=1.0, interval_s=INTERVAL_S),
        Chore("healthy", healthy, interval_s=INTERVAL_S),
    ]
    async with sweeper_of(ctx, *chores) as sweeping:
        await healthy.until(lambda: healthy.runs >= 3)
        await tried.until(lambda: tried.runs >= 2)

    assert sweeping.statistics["troubled"].failures == 2
    assert sweeping.statistics["healthy"].failures == 0


async def test_a_chore_under_way_may_finish_at_the_end(ctx: Context) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def long(ctx: Context) -> int:
        started.set()
        await may_end.wait()
        return 1

    sweeping = await sweeper_of(ctx, Chore("long", long)).__aenter__()
    await started.wait()
    ending = asyncio.create_task(sweeping.__aexit__(None, None, None))
    await asyncio.sleep(0)

    may_end.set()
    await ending

    assert sweeping.statistics["long"].done == 1
    lease = await ctx.database.find_one(leases.LEASES, {"_id": "chore/long"})
    assert lease is not None
    assert lease["owner"] is None


async def test_a_chore_that_does_not_end_is_broken_off(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "GRACE_S", 0.05)
    started = asyncio.Event()
    was_cancelled = False

    async def endless(ctx: Context) -> int:
        nonlocal was_cancelled
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled = True
            raise
        return 0

    async with asyncio.timeout(LIMIT_S), sweeper_of(ctx, Chore("endless", endless)):
        await started.wait()

    assert was_cancelled


async def test_chores_have_names_and_limits(ctx: Context) -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        sweeper_of(ctx, Chore("work", Work()), Chore("work", Work()))
    with pytest.raises(ValueError, match="timeout"):
        sweeper_of(ctx, Chore("work", Work(), timeout_s=281))


async def test_the_chores_of_the_system_run_on_an_empty_database(ctx: Context) -> None:
    async with sweeper_of(ctx, *CHORES) as sweeping, asyncio.timeout(LIMIT_S):
        while not all(each.runs for each in sweeping.statistics.values()):  # noqa: ASYNC110
            await asyncio.sleep(INTERVAL_S)

    assert {name: each.failures for name, each in sweeping.statistics.items()} == {chore.name: 0 for chore in CHORES}
