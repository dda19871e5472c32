"""Presence and typing over two processes: what members hear, and that nothing is written while nobody looks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from pymongo import MongoClient

from datastores.commit import CommitLoops
from datastores.errors import NotFoundError
from datastores.mongo import Database, Document, Driver
from datastores.signals import SIGNALS
from gateway.live.attention import Attention
from gateway.live.hub import Hub
from gateway.live.presence import Presence
from resolvers import conversations
from resolvers.attention import CALL_HOLDS_S, CALLS
from resolvers.context import Context, Viewer
from resolvers.conversations import PRESENCE
from resolvers.conversations.streams import TYPING
from tests.integration.resolvers.conversations.talks import talk
from tests.integration.resolvers.listening import listening
from tests.integration.resolvers.people import people

PATIENCE_S = 30.0


class Clock:
    """Seconds that a test moves on by itself."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Process:
    """What a process of the gateway has of this, and what it asked its database."""

    database: Database
    commands: list[str]
    clock: Clock
    commits: CommitLoops
    hub: Hub
    presence: Presence
    attention: Attention

    def ctx(self, user_id: str | None) -> Context:
        """The context of a person who is connected to this process."""
        viewer = Viewer("person", user_id=user_id)
        return Context(self.database, self.commits, self.hub, viewer, attention=self.attention)

    def asked(self) -> Counter[str]:
        """The commands since this was asked last, but for those by which the process hears of anything at all."""
        made = Counter(command for command in self.commands if command not in ("getMore", "hello"))
        self.commands.clear()
        return made

    def knows(self) -> None:
        """Let so much time pass since its start that it knows what nobody looks at."""
        self.clock.now += CALL_HOLDS_S + 1


@asynccontextmanager
async def process(uri: str, name: str, driver: Driver) -> AsyncIterator[Process]:
    commands: list[str] = []
    clock = Clock()
    async with AsyncExitStack() as stack:
        database = await Database.connect(
            uri, name=name, driver=driver, on_command=lambda command, *_: commands.append(command)
        )
        stack.push_async_callback(database.close)
        commits = await stack.enter_async_context(CommitLoops(database))
        hub = await stack.enter_async_context(Hub(database))
        presence = await stack.enter_async_context(Presence(database, now=clock))
        attention = await stack.enter_async_context(Attention(hub, presence.called, now=clock))
        await until(lambda: hub.statistics[SIGNALS].feeds == 1)
        yield Process(database, commands, clock, commits, hub, presence, attention)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


@pytest.fixture
async def one(database: Database, mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Process]:
    async with process(mongodb_uri, database.name, mongo_driver) as made:
        yield made


@pytest.fixture
async def two(database: Database, mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Process]:
    async with process(mongodb_uri, database.name, mongo_driver) as made:
        yield made


def seen(events: list[Document]) -> list[tuple[str, bool]]:
    return [(event["user_id"], event["online"]) for event in events]


async def signals_of(database: Database) -> Counter[str]:
    return Counter(row["channel"] for row in await database.find(SIGNALS, {}, limit=1_000))


async def test_nobody_who_comes_goes_or_types_costs_a_write_while_nobody_looks(one: Process, two: Process) -> None:
    ann, bob = await people(one.database, "ann", "bob")
    id = (await talk(one.ctx, ann, bob))["_id"]
    two.knows()
    two.asked()

    for _ in range(200):
        with two.presence.here(ann), two.presence.here(bob):
            await asyncio.sleep(0)
    came_and_went = two.asked()
    for _ in range(20):
        await conversations.set_typing(two.ctx(ann), conversation_id=id, typing=True)
    typed = two.asked()

    assert came_and_went == {}
    # What says that they may is read, and nothing is written.
    assert set(typed) == {"find"}
    assert await signals_of(one.database) == {}


async def test_members_hear_who_is_here_and_who_comes_and_goes_in_any_process(one: Process, two: Process) -> None:
    ann, bob, cem, dan = await people(one.database, "ann", "bob", "cem", "dan")
    id = (await talk(one.ctx, ann, bob, cem))["_id"]

    with two.presence.here(ann), two.presence.here(dan), one.presence.here(bob):
        stream = conversations.presence(one.ctx(bob), conversation_id=id)
        async with listening(stream, one.hub) as listener:
            there = await listener.hear(1)
            with one.presence.here(cem), one.presence.here(cem):
                came = await listener.hear(1)
            went = await listener.hear(1)
            # Who looks later is told what is so by then.
            async with listening(conversations.presence(two.ctx(cem), conversation_id=id), two.hub) as late:
                both = await late.hear(2)

    assert seen(there) == [(ann, True)]
    assert seen(came) == [(cem, True)]
    assert seen(went) == [(cem, False)]
    assert sorted(seen(both)) == sorted([(ann, True), (bob, True)])


async def test_who_went_while_nothing_could_be_written_is_said_to_have_gone_at_the_next_call(
    one: Process, two: Process, mongodb_uri: str
) -> None:
    ann, bob = await people(one.database, "ann", "bob")
    id = (await talk(one.ctx, ann, bob))["_id"]

    async with listening(conversations.presence(one.ctx(bob), conversation_id=id), one.hub) as listener:
        with MongoClient[Document](mongodb_uri) as client:
            signals = client[one.database.name]
            with two.presence.here(ann):
                await listener.hear(1)
                await asyncio.to_thread(signals.command, "collMod", SIGNALS, validator={"_id": {"$type": "int"}})
                two.asked()
            await until(lambda: "insert" in two.commands)
            await asyncio.to_thread(signals.command, "collMod", SIGNALS, validator={})
        hearing = asyncio.create_task(listener.hear(1))
        while not hearing.done():
            # Whoever looks calls again and again: one call may come before it is known that the last try failed.
            two.presence.called({"channel": PRESENCE, "topic": id, "people": [ann, bob], "is_first": False})
            await asyncio.sleep(0.05)
        went = await hearing

    assert seen(went) == [(ann, False)]


async def test_what_was_perhaps_not_heard_is_said_again_at_the_next_call(
    one: Process, two: Process, mongodb_uri: str
) -> None:
    ann, bob = await people(one.database, "ann", "bob")
    id = (await talk(one.ctx, ann, bob))["_id"]
    call: Document = {"channel": PRESENCE, "topic": id, "people": [ann, bob], "is_first": False}
    with MongoClient[Document](mongodb_uri) as client:
        signals = client[one.database.name]
        await asyncio.to_thread(signals.command, "collMod", SIGNALS, validator={"_id": {"$type": "int"}})
        two.presence.called(call)
        two.asked()
        with two.presence.here(ann):
            await until(lambda: "insert" in two.commands)
        await asyncio.to_thread(signals.command, "collMod", SIGNALS, validator={})

    # That ann is here may have been heard, for all that anybody knows.
    async with asyncio.timeout(PATIENCE_S):
        while not (said := await one.database.find(SIGNALS, {"channel": PRESENCE}, limit=10)):
            two.presence.called(call)
            await asyncio.sleep(0.05)

    assert [row["message"]["here"] for row in said] == [[]]


async def test_who_changes_the_process_was_here_all_the_while(one: Process, two: Process) -> None:
    ann, bob, cem = await people(one.database, "ann", "bob", "cem")
    id = (await talk(one.ctx, ann, bob, cem))["_id"]

    async with listening(conversations.presence(one.ctx(bob), conversation_id=id), one.hub) as listener:
        with one.presence.here(ann):
            came = await listener.hear(1)
        with two.presence.here(ann), two.presence.here(cem):
            next_one = await listener.hear(1)

    assert (seen(came), seen(next_one)) == ([(ann, True)], [(cem, True)])


async def test_only_members_may_look_and_who_is_removed_hears_no_more(one: Process) -> None:
    ann, bob, cem = await people(one.database, "ann", "bob", "cem")
    id = (await talk(one.ctx, ann, bob))["_id"]
    group = (await talk(one.ctx, ann, bob, cem))["_id"]
    with pytest.raises(NotFoundError):
        await anext(conversations.presence(one.ctx(cem), conversation_id=id))

    async with listening(conversations.presence(one.ctx(cem), conversation_id=group), one.hub) as listener:
        await conversations.remove_member(one.ctx(ann), conversation_id=group, user_id=cem)
        with one.presence.here(bob):
            assert await listener.hears_the_end()


async def test_a_look_costs_a_call_and_an_answer_of_each_process_where_somebody_is(one: Process, two: Process) -> None:
    ann, bob, cem = await people(one.database, "ann", "bob", "cem")
    id = (await talk(one.ctx, ann, bob, cem))["_id"]

    with two.presence.here(ann), two.presence.here(cem):
        async with listening(conversations.presence(one.ctx(bob), conversation_id=id), one.hub) as listener:
            await listener.hear(2)
            told = await signals_of(one.database)

    assert told == {CALLS: 1, "presence": 1}


async def test_typing_is_told_while_somebody_looks_in_another_process_and_not_after(one: Process, two: Process) -> None:
    ann, bob = await people(one.database, "ann", "bob")
    id = (await talk(one.ctx, ann, bob))["_id"]
    two.knows()

    async with listening(conversations.typing(one.ctx(bob), conversation_id=id), one.hub) as listener:
        await until(lambda: two.attention.is_wanted(TYPING, id))
        await conversations.set_typing(two.ctx(ann), conversation_id=id, typing=True)
        (begins,) = await listener.hear(1)
    two.knows()
    await conversations.set_typing(two.ctx(ann), conversation_id=id, typing=False)

    assert (begins["user_id"], begins["typing"]) == (ann, True)
    assert (await signals_of(one.database))[TYPING] == 1


async def test_a_process_that_has_just_started_takes_everything_for_wanted(one: Process) -> None:
    assert one.attention.is_wanted(TYPING, "anything")

    one.knows()

    assert not one.attention.is_wanted(TYPING, "anything")


async def test_what_nobody_looks_at_any_more_is_forgotten(one: Process) -> None:
    ann, bob, cem = await people(one.database, "ann", "bob", "cem")
    first, second = [(await talk(one.ctx, ann, other))["_id"] for other in (bob, cem)]
    async with listening(conversations.presence(one.ctx(ann), conversation_id=first), one.hub):
        await until(lambda: one.presence.watched == 1)
    one.knows()
    async with listening(conversations.presence(one.ctx(ann), conversation_id=second), one.hub):
        await until(lambda: one.attention.is_wanted("presence", second))

    assert (one.presence.watched, len(one.attention)) == (1, 1)
