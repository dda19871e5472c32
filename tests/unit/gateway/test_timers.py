"""Timers that hardly ever come to their end: what is overdue is given up, and nothing else is."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

import pytest

from gateway.timers import TICK_S, OverdueError, Timers


async def test_a_callback_is_called_once_and_never_early() -> None:
    timers, called = Timers(), []
    began = monotonic()

    timers.after(0.12, lambda: called.append(monotonic() - began))
    await asyncio.sleep(0.4)

    assert len(called) == 1
    assert called[0] >= 0.12
    assert len(timers) == 0


async def test_what_is_cancelled_is_not_called_and_the_wheel_stands_still() -> None:
    timers, called = Timers(), []
    made = [timers.after(0.06, lambda: called.append(1)) for _ in range(1_000)]
    assert len(timers) == 1_000

    for timer in made:
        timer.cancel()
        timer.cancel()
    await asyncio.sleep(0.2)

    assert called == []
    assert not timers._is_turning
    assert not timers._slots


async def test_one_that_is_called_may_cancel_another_of_the_same_moment() -> None:
    timers, called = Timers(), []

    def call(other: int) -> None:
        called.append(other)
        made[other].cancel()

    made = [timers.after(0.01, partial(call, other)) for other in (1, 0)]
    await asyncio.sleep(3 * TICK_S)

    assert len(called) == 1


async def test_work_within_its_time_answers_and_leaves_no_timer() -> None:
    timers = Timers()

    assert await timers.within(5, asyncio.sleep(0, "done")) == "done"
    assert len(timers) == 0


async def test_work_beyond_its_time_is_cancelled_and_its_task_goes_on() -> None:
    timers, ended = Timers(), []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(OverdueError):
        await timers.within(0.01, work())

    task = asyncio.current_task()
    assert ended == [True]
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_an_error_while_it_is_given_up_is_the_cause() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while it was given up")

    with pytest.raises(OverdueError) as raised:
        await Timers().within(0.01, work())

    assert isinstance(raised.value.__cause__, ValueError)


async def test_who_does_not_heed_being_given_up_answers_and_may_be_given_up_again() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "answered"
        return "slept"

    timers, task = Timers(), asyncio.current_task()
    assert task is not None

    assert await timers.within(0.01, work()) == "answered"
    assert task.cancelling() == 0
    with pytest.raises(OverdueError):
        await timers.within(0.01, asyncio.sleep(60))


async def test_who_is_cancelled_already_may_have_a_limit_for_tidying_up() -> None:
    timers, tidied = Timers(), []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            with pytest.raises(OverdueError):
                await timers.within(0.01, asyncio.sleep(60))
            tidied.append(True)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied == [True]


async def test_its_own_errors_pass() -> None:
    async def work() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        await Timers().within(5, work())


async def test_who_is_cancelled_by_somebody_else_stays_cancelled() -> None:
    timers = Timers()
    task = asyncio.create_task(timers.within(60, asyncio.sleep(60)))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(timers) == 0


async def test_of_two_limits_the_nearer_one_counts() -> None:
    timers = Timers()

    with pytest.raises(OverdueError):
        await timers.within(60, timers.within(0.01, asyncio.sleep(60)))
    with pytest.raises(OverdueError):
        await timers.within(0.01, timers.within(60, asyncio.sleep(60)))
    assert len(timers) == 0
