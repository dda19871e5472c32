"""Owners hear every change of their wallets, each once and in order, from any cursor on; others hear nothing."""

from __future__ import annotations

import asyncio

import pytest

from datastores.errors import InsufficientFundsError, NotFoundError, UnauthenticatedError, ValidationError
from datastores.mongo import Database, Document
from gateway.live.hub import Hub
from resolvers import wallets
from tests.integration.resolvers.listening import heard, listening
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import NO_WALLET, fill, freeze, pay


def posted(events: list[Document]) -> list[int]:
    return [event["wallet"]["posted"]["minor_units"] for event in events]


async def test_what_was_missed_comes_first_then_what_is_live(database: Database, live: Ask, hub: Hub) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(live, ann, "10")
    first = await pay(live, ann, bob, "1")
    await pay(live, ann, bob, "2")

    async with listening(wallets.balance_changed(live(ann), after=first["cursor"]), hub) as listener:
        missed = await listener.hear(1)
        listener.listen()
        last = await pay(live, ann, bob, "3")
        await pay(live, bob, ann, "0.50")
        events = missed + await listener.hear(2)

    assert posted(events) == [700, 400, 450]
    assert events[1]["cursor"] == last["cursor"]
    assert [event["entry"]["amount"]["minor_units"] for event in events] == [-200, -300, 50]
    assert [event["coalesced"] for event in events] == [0, 0, 0]
    assert [event["wallet"]["version"] for event in events] == [4, 5, 6]


async def test_every_change_of_a_crowd_is_heard_once_in_order(database: Database, live: Ask, hub: Hub) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(live, ann, "100")

    async with listening(wallets.balance_changed(live(bob)), hub) as listener:
        await asyncio.gather(*(pay(live, ann, bob, "1") for _ in range(40)))
        events = await listener.hear(40)

    assert posted(events) == [100 * n for n in range(1, 41)]


async def test_one_wallet_or_all_of_them(database: Database, live: Ask, hub: Hub) -> None:
    ann, bob = await people(database, "ann", "bob")
    euros, dollars = await fill(live, ann, "10"), await fill(live, ann, "10", "USD")
    start = (await pay(live, ann, bob, "1"))["cursor"]
    await fill(live, ann, "5", "USD")
    await pay(live, ann, bob, "1")

    every = await heard(wallets.balance_changed(live(ann), after=start), 3)
    one = await heard(wallets.balance_changed(live(ann), wallet_id=euros, after=start), 1)

    assert [event["wallet"]["_id"] for event in every] == [dollars, dollars, euros]
    assert posted(one) == [800]


async def test_refusals_are_silent_and_a_freeze_is_heard(database: Database, live: Ask, hub: Hub) -> None:
    ann, bob = await people(database, "ann", "bob")
    wallet = await fill(live, ann, "10")

    async with listening(wallets.balance_changed(live(ann)), hub) as listener:
        with pytest.raises(InsufficientFundsError):
            await pay(live, ann, bob, "11")
        await freeze(live, wallet)
        (event,) = await listener.hear(1)

    assert (event["wallet"]["status"], event["entry"]) == ("FROZEN", None)
    assert event["wallet"]["posted"]["minor_units"] == 1_000


async def test_a_slow_reader_is_told_how_much_was_left_out(database: Database, live: Ask, hub: Hub) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(live, ann, "1000")

    async with listening(wallets.balance_changed(live(bob)), hub) as listener:
        for _ in range(4):
            await asyncio.gather(*(pay(live, ann, bob, "1") for _ in range(60)))
        await _settled(hub)
        events: list[Document] = []
        while not events or posted(events)[-1] < 24_000:
            events += await listener.hear(1)

    assert len(events) + sum(event["coalesced"] for event in events) == 240
    assert posted(events) == sorted(posted(events))


async def test_denied(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    foreign = await fill(ask, bob, "10")
    cursor = (await pay(ask, bob, ann, "1"))["cursor"]

    for id in (foreign, NO_WALLET, "nonsense"):
        with pytest.raises(NotFoundError):
            await anext(wallets.balance_changed(ask(ann), wallet_id=id))
    with pytest.raises(UnauthenticatedError):
        await anext(wallets.balance_changed(ask(None)))
    for after in (cursor, "nonsense"):
        with pytest.raises(ValidationError):
            await anext(wallets.balance_changed(ask(ann), after=after))


async def _settled(hub: Hub) -> None:
    """Until the change stream has brought all that was written."""
    before = -1
    async with asyncio.timeout(20):
        while (now := hub.statistics["entries"].rows) != before:
            before = now
            await asyncio.sleep(0.5)
