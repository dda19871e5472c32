"""A process that stops waits for what is under way, and only so long."""

from __future__ import annotations

from gateway.drain import Drain


async def test_idle_when_the_last_request_has_ended() -> None:
    drain = Drain()
    assert await drain.idle(0)

    drain.begin()
    drain.begin()
    assert drain.under_way == 2
    drain.end()
    assert not await drain.idle(0.01)

    drain.end()

    assert await drain.idle(0)
