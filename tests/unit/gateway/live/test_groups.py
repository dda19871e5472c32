"""Groups: whoever joins at whatever moment hears each row once, in order, and what is told is made once for all."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastores.errors import GoingAwayError, NotFoundError
from datastores.mongo import Document
from datastores.paging import decode_cursor, encode_cursor
from gateway.execution.requests import Outlet, PreparedOperation, Result
from gateway.live import groups
from gateway.live.groups import Groups, Subscribed
from gateway.live.sharing import Sharing, Sharings
from resolvers.audiences import DELIVERY, Delivery
from resolvers.context import ANONYMOUS, Context, Viewer
from tests.unit.resolvers.journal import STEPS, Clock, World, short_queues

SCOPE = "journal"
REST = 100
SHARED = cast(Any, Sharing("viewer", True, frozenset({"after"}), cast(Any, None), None))


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _short(clock: Clock) -> Iterator[None]:
    with short_queues(clock), pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "time", clock)
        yield


@dataclass
class Listener:
    """A subscription over the world's log, as a graph gives it: `after` is its own, whatever the group's."""

    graph: Graph
    context: Context
    after: int | None

    @property
    def variables(self) -> Any:
        given = {} if self.after is None else {"after": self.after}
        return SimpleNamespace(coerced=given)

    async def events(self) -> AsyncGenerator[Document, None]:
        listening = self.context.listening
        after = None if listening.part == "live" else self.after
        if listening.cursor is not None:
            (after,) = decode_cursor(SCOPE, listening.cursor, int)
        if self.context.viewer.user_id in self.graph.strangers:
            raise NotFoundError("There is no such journal")
        rows = self.graph.world.follow(after, self.context, scope=SCOPE, contiguous=self.graph.is_contiguous)
        async with aclosing(rows):
            async for row in rows:
                yield {"n": row["n"], "cursor": encode_cursor(SCOPE, row["n"]), **self.graph.delivery(row["n"])}

    async def answer(self, event: Document, common: object = None) -> Result:
        self.graph.world.step()
        await asyncio.sleep(0)
        self.graph.answers += 1
        return {"data": event["n"]}

    def failure(self, error: Exception) -> Result:
        return {"errors": [error]}


class Graph:
    """What executes over the world's log; some rows can be for some, or let somebody go."""

    def __init__(self, world: World, *, is_contiguous: bool = True) -> None:
        self.world = world
        self.is_contiguous = is_contiguous
        self.deliveries: dict[int, Delivery] = {}
        self.strangers: set[str | None] = set()
        self.answers = 0
        self.groups = Groups(self, cast(Sharings, SimpleNamespace(of=lambda _: SHARED)), self.encode)

    def subscribe(self, prepared: PreparedOperation, context: Context) -> Subscribed:
        after = cast(Any, prepared).after
        return Listener(self, context, after)

    def stream(self, prepared: PreparedOperation, context: Context) -> AsyncGenerator[Result, None]:
        raise NotImplementedError

    def encode(self, result: Result, context: Context) -> bytes:
        return orjson.dumps(result)

    def delivery(self, n: int) -> Document:
        return {DELIVERY: self.deliveries.get(n, Delivery(n))}

    def answers_to(
        self,
        after: int | None,
        viewer: Viewer = ANONYMOUS,
        outlet: Outlet | None = None,
        *,
        is_shared: bool = True,
    ) -> AsyncGenerator[Result | bytes, None]:
        prepared = cast(Any, SimpleNamespace(digest=b"", name=None, after=after))
        context = replace(self.world.context, viewer=viewer)
        return self.groups.stream(prepared, context, outlet, is_shared=is_shared)


async def listen(
    graph: Graph,
    after: int | None,
    numbers: list[int],
    viewer: Viewer = ANONYMOUS,
    outlet: Outlet | None = None,
    *,
    is_shared: bool = True,
) -> None:
    """Take everything; raise what the stream ends with."""
    async with aclosing(graph.answers_to(after, viewer, outlet, is_shared=is_shared)) as answers:
        async for answer in answers:
            told = orjson.loads(answer) if isinstance(answer, bytes) else answer
            if "errors" in told:
                raise told["errors"][0]
            numbers.append(told["data"])
            graph.world.step()


def outlet(numbers: list[int], refuses: int) -> Outlet | None:
    """What takes all but each so many-th answer; None for 0."""
    asked = itertools.count(1)

    def take(answer: bytes) -> bool:
        if next(asked) % refuses == 0:
            return False
        numbers.append(orjson.loads(answer)["data"])
        return True

    return take if refuses else None


async def heard(world: World, joins: list[tuple[int, int]], **options: Any) -> list[tuple[int, list[int]]]:
    """What those hear who join after so many steps with such a cursor, once the change stream has caught up."""
    graph = Graph(world, **options)
    seen: list[tuple[int, list[int]]] = []
    tasks: list[asyncio.Task[None]] = []
    for pause, after in joins:
        for _ in range(pause):
            world.step()
            await asyncio.sleep(0)
        after = min(after, world.shown)
        seen.append((after, []))
        numbers = seen[-1][1]
        # Some are all served by their tasks, some by an outlet, some answer for themselves.
        how = len(seen) % 4
        told_by = outlet(numbers, (0, 2, 3, 0)[how])
        tasks.append(asyncio.create_task(listen(graph, after, numbers, ANONYMOUS, told_by, is_shared=how < 3)))
    try:
        await quiet(seen)
        while world.script:
            world.step()
            await quiet(seen)
        while world.told < len(world.log):
            world.tell(1)
            await quiet(seen)
        for task in tasks:
            if task.done():
                await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await settle()
    assert len(graph.groups) == 0
    assert graph.groups.live == 0
    return seen


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(REST):
        await asyncio.sleep(0)


async def quiet(seen: list[tuple[int, list[int]]]) -> None:
    """Let every task go as far as it can: until nobody hears anything for a while."""
    passed, count = 0, -1
    while passed < REST:
        await asyncio.sleep(0)
        now = sum(len(numbers) for _, numbers in seen)
        passed, count = (passed + 1, count) if now == count else (0, now)


joins = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), min_size=1, max_size=5)


@settings(max_examples=500, deadline=None)
@given(
    written=st.integers(0, 7),
    joins=joins,
    is_contiguous=st.booleans(),
    script=st.lists(st.sampled_from(STEPS), max_size=60),
)
def test_whoever_joins_whenever_hears_every_row_once_in_order(
    written: int, joins: list[tuple[int, int]], is_contiguous: bool, script: list[str]
) -> None:
    world = World(written, script)

    seen = asyncio.run(heard(world, joins, is_contiguous=is_contiguous))

    last = len(world.log)
    assert [numbers for _, numbers in seen] == [list(range(after + 1, last + 1)) for after, _ in seen]


class Hasty(groups._Group):
    """The mistake that makes holes: who joins does not wait until the group hears what is live."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.is_live.set()

    async def _run(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        await super()._run()


def test_who_reads_the_log_before_the_group_is_live_misses_rows_and_is_found_out() -> None:
    broken = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_Group", Hasty)
        for at in range(12):
            world = World(2, ["nothing"] * at + ["write", "stream all"] * 3)
            seen = asyncio.run(heard(world, [(0, 0), (1, 1)], is_contiguous=False))
            broken += any(numbers != list(range(after + 1, len(world.log) + 1)) for after, numbers in seen)

    assert broken > 0


async def test_what_is_live_is_executed_once_for_all() -> None:
    world = World(3)
    graph = Graph(world)
    seen: list[list[int]] = [[] for _ in range(50)]
    tasks = [asyncio.create_task(listen(graph, 3, numbers)) for numbers in seen]
    await settle()

    for _ in range(10):
        world.write(1)
        world.tell(1)
        await settle()

    assert seen == [list(range(4, 14))] * 50
    assert (len(graph.groups), graph.groups.live, graph.groups.executions) == (1, 50, 10)
    assert graph.answers == 10
    await leave(tasks)
    assert world.feeds == []


async def test_who_falls_behind_catches_up_alone_and_joins_again() -> None:
    world = World(1)
    graph = Graph(world)
    slow, quick = graph.answers_to(1), list[int]()
    task = asyncio.create_task(listen(graph, 1, quick))
    first = asyncio.create_task(anext(slow))
    await settle()
    for _ in range(12):
        world.write(1)
        world.tell(1)
        await settle()

    numbers = [told(await first)] + [told(await anext(slow)) for _ in range(11)]
    executions = graph.groups.executions
    following = asyncio.create_task(anext(slow))
    await settle()
    world.write(1)
    world.tell(1)

    assert numbers == list(range(2, 14))
    assert told(await following) == 14
    await settle()
    assert quick == list(range(2, 15))
    assert graph.groups.executions == executions + 1
    await slow.aclose()
    await leave([task])


async def test_who_never_catches_up_is_told_where_to_go_on(clock: Clock) -> None:
    world = World(1)
    graph = Graph(world)
    slow = graph.answers_to(1)
    first = asyncio.create_task(anext(slow))
    await settle()
    world.write(1)
    world.tell(1)
    assert told(await first) == 2
    for _ in range(8):
        world.write(1)
        world.tell(1)
        await settle()
    clock.now_s += 11

    last = cast(Any, await anext(slow))

    assert last["errors"][0].code == "SLOW_CONSUMER"
    assert last["errors"][0].details["cursor"] == encode_cursor(SCOPE, 2)
    assert [each async for each in slow] == []


async def test_who_is_let_go_hears_nothing_more_and_the_others_do() -> None:
    world = World(1)
    graph = Graph(world)
    graph.deliveries[3] = Delivery(3, leaves="usr_b")
    seen: dict[str, list[int]] = {"usr_a": [], "usr_b": []}
    everybody = Viewer("audience", conversation_id="cnv_1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            groups._Subscriber,
            "_together",
            lambda self, *_: (groups._Key(b"", None, b"", everybody, True), replace(self._context, viewer=everybody)),
        )
        tasks = [asyncio.create_task(listen(graph, 1, told, Viewer("person", who))) for who, told in seen.items()]
        await settle()

    world.write(1)
    world.tell(1)
    await settle()
    graph.strangers.add("usr_b")
    world.write(3)
    world.tell(3)
    await settle()

    assert seen == {"usr_a": [2, 3, 4, 5], "usr_b": [2]}
    assert tasks[1].done()
    await leave(tasks)


async def test_who_was_let_in_again_meanwhile_misses_nothing() -> None:
    world = World(1)
    graph = Graph(world)
    graph.deliveries[3] = Delivery(3, leaves="usr_b")
    numbers: list[int] = []
    task = asyncio.create_task(listen(graph, 1, numbers, Viewer("person", "usr_b")))
    await settle()

    world.write(4)
    world.tell(4)
    await settle()

    assert numbers == [2, 3, 4, 5]
    await leave([task])


async def test_an_event_is_for_those_whom_it_names() -> None:
    world = World(1)
    graph = Graph(world)
    graph.deliveries |= {2: Delivery(2, without="usr_a"), 3: Delivery(3, to=frozenset({"usr_a"}))}
    numbers: list[int] = []
    task = asyncio.create_task(listen(graph, 1, numbers, Viewer("person", "usr_a")))
    await settle()

    world.write(3)
    world.tell(3)
    await settle()

    assert numbers == [3, 4]
    await leave([task])


async def test_the_end_of_the_process_is_told_after_what_is_queued() -> None:
    world = World(1)
    graph = Graph(world)
    answers = graph.answers_to(1)
    first = asyncio.create_task(anext(answers))
    await settle()
    world.write(2)
    world.tell(2)
    assert world.feed is not None
    world.feed.end()
    await settle()

    assert [told(await first), told(await anext(answers))] == [2, 3]
    with pytest.raises(GoingAwayError):
        await anext(answers)


async def test_a_stranger_is_refused_as_they_would_be_alone() -> None:
    graph = Graph(World(1))
    graph.strangers.add("usr_x")

    answers: Any = [each async for each in graph.answers_to(1, Viewer("person", "usr_x"))]

    assert [each["errors"][0].code for each in answers] == ["NOT_FOUND"]
    await settle()
    assert len(graph.groups) == 0


def told(answer: Any) -> int:
    return cast(int, (orjson.loads(answer) if isinstance(answer, bytes) else answer)["data"])


async def leave(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settle()


async def test_who_waits_is_told_through_their_outlet_without_being_woken() -> None:
    world = World(0)
    graph = Graph(world)
    direct: list[int] = []
    woken: list[int] = []
    task = asyncio.create_task(listen(graph, 0, woken, ANONYMOUS, outlet(direct, 3)))
    await settle()

    for _ in range(6):
        world.write(1)
        world.tell(1)
        await settle()

    assert (direct, woken) == ([1, 2, 4, 5], [3, 6])
    await leave([task])


async def test_nothing_is_told_through_the_outlet_of_who_has_just_left() -> None:
    world = World(0)
    graph = Graph(world)
    direct: list[int] = []
    task = asyncio.create_task(listen(graph, 0, [], ANONYMOUS, outlet(direct, 100)))
    await settle()
    world.write(1)
    world.tell(1)
    await settle()

    ((seat,),) = [group.seats for group in graph.groups._groups.values()]
    task.cancel()
    seat.offer(cast(Any, None))

    assert direct == [1]
    await leave([task])
    assert len(graph.groups) == 0


async def test_who_is_not_told_the_same_executes_what_was_read_for_all() -> None:
    world = World(0)
    graph = Graph(world)
    seen: list[list[int]] = [[] for _ in range(5)]
    tasks = [asyncio.create_task(listen(graph, 0, numbers, is_shared=False)) for numbers in seen]
    await settle()

    world.write(3)
    world.tell(3)
    await settle()

    assert seen == [[1, 2, 3]] * 5
    assert (len(graph.groups), len(world.feeds), graph.answers) == (1, 1, 15)
    await leave(tasks)


async def test_a_crowd_that_comes_back_with_one_cursor_is_answered_together() -> None:
    world = World(0)
    graph = Graph(world)
    for _ in range(5):
        world.write(1)
        world.tell(1)
    seen: list[list[int]] = [[] for _ in range(200)]

    tasks = [asyncio.create_task(listen(graph, 1, numbers)) for numbers in seen]
    alone: list[int] = []
    tasks.append(asyncio.create_task(listen(graph, 1, alone, is_shared=False)))
    for _ in range(5):
        await settle()

    assert seen == [[2, 3, 4, 5]] * 200
    assert alone == [2, 3, 4, 5]
    # Four for the one who is alone; at most one under way and one next for each of the others' events.
    assert graph.answers <= 4 + 2 * 4
    await leave(tasks)
