"""Groups: subscribers who hear the same of one stream, of which each event is read once, and executed once at best."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import orjson
from graphql.execution.values import VariableValues

from datastores.errors import ForbiddenError, GoingAwayError, NotFoundError
from datastores.gathered import Gathering
from datastores.mongo import Database, Document
from gateway.execution.loads import CommonLoads
from gateway.execution.requests import Outlet, PreparedOperation, Result
from resolvers.audiences import DELIVERY, CaughtUpError, Delivery, Listening
from resolvers.context import Context, MissedRowsError, Viewer
from resolvers.streams import PATIENCE_S, slow_consumer

from .feeds import Feed
from .sharing import Sharing, Sharings

_EVERYBODY: Final = Delivery()
# After so many seats others get their turn: of a crowd none waits for all that come before it.
SEATS_AT_ONCE: Final = 256


class Subscribed(Protocol):
    """See `gateway.execution.executor.Subscribed`."""

    @property
    def variables(self) -> VariableValues: ...

    def events(self) -> AsyncGenerator[Document, None]: ...

    async def answer(self, event: Document, common: CommonLoads | None = None) -> Result: ...

    def failure(self, error: Exception) -> Result: ...


class Graph(Protocol):
    """What executes: see `gateway/execution/executor.py`."""

    def subscribe(self, prepared: PreparedOperation, context: Context) -> Subscribed: ...

    def stream(self, prepared: PreparedOperation, context: Context) -> AsyncGenerator[Result | bytes, None]: ...


class _Key(NamedTuple):
    """What those have in common who hear the same; `is_shared`: and are shown the same."""

    digest: bytes
    name: str | None
    variables: bytes
    viewer: Viewer
    is_shared: bool


class _OverError(Exception):
    """The stream of a group ended: with this last answer, or None where it had no more to tell."""

    def __init__(self, last: Result | None) -> None:
        super().__init__()
        self.last = last


@dataclass(frozen=True, slots=True)
class _Told:
    """One event as a group tells it. `stands_at` is the place of the last row before it, or of its own.

    `payload` is the answer of all; None where each makes one of their own, with what is `common` to them.
    """

    payload: bytes | None
    event: Document
    delivery: Delivery
    stands_at: int
    is_for_all: bool
    common: CommonLoads


class Groups:
    """The live streams of this process that several may hear; at most as many as there are subscribers.

    `encode` makes the bytes of an answer. A subscriber first gets what was missed by itself, then what the group tells,
    each row once. One whose queue of 100 events is full leaves the group, catches up by itself and joins again; where
    it has not caught up in 10 s, it ends with SLOW_CONSUMER.
    """

    def __init__(
        self,
        graph: Graph,
        sharings: Sharings,
        encode: Callable[[Result, Context], bytes],
        *,
        reads: Database | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.graph = graph
        self.reads = reads
        self.encode = encode
        self.patience_s = patience_s
        self._sharings = sharings
        self._groups: dict[_Key, _Group] = {}
        self.live = 0
        self.executions = 0
        self.deliveries = 0

    def __len__(self) -> int:
        return len(self._groups)

    def stream(
        self,
        prepared: PreparedOperation,
        context: Context,
        outlet: Outlet | None = None,
        *,
        is_shared: bool = True,
    ) -> AsyncGenerator[Result | bytes, None]:
        """The answers to a subscription, one an event: those that are shared as bytes. See `GraphExecutor.stream`.

        What is shared goes to `outlet` while the reader waits for the next answer, and to the reader where the outlet
        does not take it. Without `is_shared` each answer is the reader's own, of an event that was read for all.
        """
        sharing = self._sharings.of(prepared)
        if sharing.hearers == "one":
            return self.graph.stream(prepared, context)
        return _Subscriber(self, prepared, context, outlet).answers(sharing, is_shared and sharing.is_shown_alike)

    def join(
        self, key: _Key, prepared: PreparedOperation, context: Context, deal: Callable[[_Told], bool]
    ) -> tuple[_Group, Feed[_Told]]:
        """The group of this key, made if there is none, and a new seat in it."""
        group = self._groups.get(key)
        if group is None or group.is_over:
            group = self._groups[key] = _Group(self, key, prepared, context)
            group.task.add_done_callback(lambda _: self._forget(key, group))
        seat: Feed[_Told] = Feed(_superseded, deal)
        group.seats.add(seat)
        return group, seat

    def _forget(self, key: _Key, group: _Group) -> None:
        if self._groups.get(key) is group:
            del self._groups[key]


class _Group:
    """One stream: its source, and the seats of those who hear it. Ends with the last of them."""

    def __init__(self, groups: Groups, key: _Key, prepared: PreparedOperation, context: Context) -> None:
        self.key = key
        self.seats: set[Feed[_Told]] = set()
        self.is_live = asyncio.Event()
        self.is_over = False
        self.going_away: GoingAwayError | None = None
        self._groups = groups
        self._context = replace(context, listening=Listening("live", on_live=self._stands), loaders={})
        self._subscribed = groups.graph.subscribe(prepared, self._context)
        self._answers = Gathering()
        self._place = 0
        self.task = asyncio.create_task(self._run())

    def leave(self, seat: Feed[_Told]) -> None:
        """Give a seat up."""
        self.seats.discard(seat)
        if not self.seats:
            self.is_over = True
            self.task.cancel()

    def answers_past(self, event: Document) -> bool:
        """Whether `answer` shows the event as to each who hears it, when somebody has read it anew."""
        return self.key.is_shared and DELIVERY in event and _is_for_all(event[DELIVERY])

    async def answer(self, event: Document) -> bytes:
        """What all are shown of the event, executed from now on: once for those who come with the same at once."""
        answer: bytes = await self._answers.ask(repr(event), lambda: self._execute(event))
        return answer

    async def _execute(self, event: Document) -> bytes:
        self._groups.executions += 1
        return self._groups.encode(await self._subscribed.answer(event), self._context)

    def _stands(self, place: int) -> None:
        self._place = max(self._place, place)
        self.is_live.set()

    async def _run(self) -> None:
        over: Exception = _OverError(None)
        try:
            async with aclosing(self._subscribed.events()) as events:
                async for event in events:
                    await self._tell(await self._told(event))
        except GoingAwayError as error:
            self.going_away = over = error
        except Exception as error:
            over = _OverError(self._subscribed.failure(error))
        finally:
            self.is_over = True
            self.is_live.set()
            for seat in self.seats:
                seat.end(over)

    async def _told(self, event: Document) -> _Told:
        delivery: Delivery = event.get(DELIVERY, _EVERYBODY)
        if delivery.place is not None:
            self._place = delivery.place
        payload = None
        if delivery.is_told and self.key.is_shared:
            payload = await self._execute(event)
        return _Told(payload, event, delivery, self._place, _is_for_all(delivery), {})

    async def _tell(self, told: _Told) -> None:
        seats = tuple(self.seats)
        self._groups.deliveries += len(seats)
        for begin in range(0, len(seats), SEATS_AT_ONCE):
            for seat in seats[begin : begin + SEATS_AT_ONCE]:
                seat.offer(told)
            # Those who listen must come to take before their bounded queues are full.
            await asyncio.sleep(0)


class _Subscriber:
    """One who hears a stream: alone until they have caught up, then with their group."""

    __slots__ = (
        "_context",
        "_cursor",
        "_groups",
        "_is_let_in",
        "_is_live",
        "_late_since",
        "_outlet",
        "_own",
        "_place",
        "_prepared",
    )

    def __init__(self, groups: Groups, prepared: PreparedOperation, context: Context, outlet: Outlet | None) -> None:
        self._groups = groups
        self._prepared = prepared
        self._context = context
        self._outlet = outlet
        self._own: Subscribed | None = None
        self._cursor: str | None = None
        self._place = 0
        self._is_let_in = False
        self._is_live = False
        self._late_since: float | None = None

    async def answers(self, sharing: Sharing, is_shared: bool) -> AsyncGenerator[Result | bytes, None]:
        key, together = self._together(sharing, is_shared)
        try:
            while True:
                group, seat = self._groups.join(key, self._prepared, together, self._deal)
                # One key is enough for all of them.
                key = group.key
                try:
                    async with aclosing(self._missed(group, seat)) as answers:
                        async for missed in answers:
                            yield missed
                    self._groups.live += 1
                    try:
                        while (told := await self._next(seat)) is not None:
                            answer = await self._answer(told)
                            given_at = time.monotonic()
                            yield answer
                            self._check_pace(seat, given_at)
                    finally:
                        self._groups.live -= 1
                finally:
                    group.leave(seat)
        except GoingAwayError:
            raise
        except _OverError as over:
            if over.last is not None:
                yield over.last
        except Exception as error:
            is_over = self._is_let_in and isinstance(error, NotFoundError | ForbiddenError)
            if not is_over:
                yield self._alone().failure(error)

    async def _missed(self, group: _Group, seat: Feed[_Told]) -> AsyncGenerator[Result | bytes, None]:
        """What was written before the group's next event, which this subscriber is let in to hear."""
        await group.is_live.wait()
        alone = self._alone()
        try:
            async with aclosing(alone.events()) as events:
                async for event in events:
                    answer = await (group.answer(event) if group.answers_past(event) else alone.answer(event))
                    self._cursor = event.get("cursor", self._cursor)
                    given_at = time.monotonic()
                    yield answer
                    self._check_pace(seat, given_at)
                    if group.going_away is not None:
                        raise group.going_away
        except CaughtUpError as caught_up:
            self._place = caught_up.place or 0
            self._cursor = caught_up.cursor or self._cursor
            self._is_let_in = True
            return
        raise _OverError(None)

    async def _next(self, seat: Feed[_Told]) -> _Told | None:
        """The next event that is for this subscriber; None where they are to be let in anew, or have missed some."""
        user_id = self._context.viewer.user_id
        while True:
            if seat.is_idle:
                self._is_live, self._late_since = True, None
            try:
                told = await seat.take()
            except MissedRowsError as missed:
                if self._is_live and self._late_since is None:
                    self._late_since = missed.overflowed_at
                return None
            delivery = told.delivery
            if delivery.place is not None and delivery.place <= self._place:
                continue
            if delivery.leaves is not None and delivery.leaves == user_id:
                return None
            if delivery is _EVERYBODY or delivery.is_for(user_id):
                if delivery.place is not None:
                    self._cursor = told.event.get("cursor", self._cursor)
                return told

    def _deal(self, told: _Told) -> bool:
        """Do with an event what `_next` and the reader would, without waking them; False where that takes them."""
        place = told.delivery.place
        if place is not None and place <= self._place:
            return True
        if not told.is_for_all:
            user_id = self._context.viewer.user_id
            if told.delivery.leaves is not None and told.delivery.leaves == user_id:
                return False
            if not told.delivery.is_for(user_id):
                return True
        if self._outlet is None or told.payload is None or told.stands_at < self._place:
            return False
        if not self._outlet(told.payload):
            return False
        if place is not None:
            self._cursor = told.event.get("cursor", self._cursor)
        return True

    async def _answer(self, told: _Told) -> Result | bytes:
        """The answer of all, or this subscriber's own: to what takes no place itself, told by a group that is behind
        them, with their own cursor.
        """
        if told.payload is not None and told.stands_at >= self._place:
            return told.payload
        if self._own is None:
            self._own = self._alone()
        self._groups.executions += 1
        event = told.event if told.stands_at >= self._place else {**told.event, "cursor": self._cursor}
        return await self._own.answer(event, told.common)

    def _alone(self) -> Subscribed:
        database = self._groups.reads or self._context.database
        listening = Listening("past", cursor=self._cursor)
        context = replace(self._context, database=database, listening=listening, loaders={})
        return self._groups.graph.subscribe(self._prepared, context)

    def _together(self, sharing: Sharing, is_shared: bool) -> tuple[_Key, Context]:
        """What those have in common who hear the same, and the context in which it is told to them."""
        variables = self._alone().variables
        viewer = self._context.viewer
        if sharing.hearers == "members":
            viewer = Viewer("audience", conversation_id=sharing.conversation(variables))
        given = {name: value for name, value in variables.coerced.items() if name not in sharing.cursors}
        written = orjson.dumps(given, default=_written, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        key = _Key(self._prepared.digest, self._prepared.name, written, viewer, is_shared)
        return key, replace(self._context, viewer=viewer)

    def _check_pace(self, seat: Feed[_Told], given_at: float) -> None:
        now, patience_s = time.monotonic(), self._groups.patience_s
        is_stuck = seat.overflowed_at is not None and now - given_at > patience_s
        is_late = self._late_since is not None and now - self._late_since > patience_s
        if is_stuck or is_late:
            raise slow_consumer(self._cursor)


def _is_for_all(delivery: Delivery) -> bool:
    return delivery.is_told and delivery.to is None and delivery.without is None and delivery.leaves is None


def _superseded(told: _Told) -> Hashable:
    """What a later event of the same key makes superfluous to who is busy; what has a place stays."""
    return id(told) if told.delivery.place is not None else (told.delivery.key,)


def _written(value: object) -> list[str]:
    return [type(value).__name__, repr(value)]
