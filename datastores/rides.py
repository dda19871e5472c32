"""Rides: what is kept of a booking with the ride service, the acts that tie it to its hold, and a log for each ride.

Where a rider goes is the service's to keep: here are ids, states and money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from . import ledger, logs
from .commit import Read, Work, by_id
from .errors import NotFoundError
from .ledger import Command, Entry, Money, Outcome, Transfer, TransferState
from .ledger.transfers import TRANSFERS
from .logs import row_id
from .mongo import Database, Document
from .paging import PageDocument, Window, keyset, page

RIDES: Final = "rides"
EVENTS: Final = "ride_events"
HOLD: Final = timedelta(hours=24)
FIRST_ASK_S: Final = 2.0
MAX_ASK_S: Final = 300.0
MAX_DUE: Final = 100
_MAX_DOUBLINGS: Final = 10
_NEWEST: Final = [("created_at", -1), ("_id", -1)]

_RUNNING: Final = {"is_over": False}
INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {
    RIDES: [
        IndexModel([("rider_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="rider_created"),
        IndexModel([("due_at", ASCENDING)], partialFilterExpression=_RUNNING, name="running_due"),
    ],
    EVENTS: [],
}
LOGS: Final[Mapping[str, Callable[[Document], Sequence[str]]]] = {EVENTS: lambda row: [row["ride_id"]]}


class RideState(StrEnum):
    """REQUESTED waits for the service's word; ACCEPTED to UNDERWAY are on their way; the last three are final."""

    REQUESTED = "REQUESTED"
    ACCEPTED = "ACCEPTED"
    ARRIVED = "ARRIVED"
    UNDERWAY = "UNDERWAY"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"


FINAL: Final = frozenset({RideState.COMPLETED, RideState.CANCELLED, RideState.REFUSED})
_ORDER: Final = list(RideState)


class RideDocument(TypedDict):
    """One ride. `transfer_id` is the hold that pays it, `fare` what was captured of it at the end, None before.

    `n` is the number of its newest event. `asks` counts how often the service was asked in vain since it last answered;
    the next time is `due_at`. `problem` is the code of what the ledger said instead of capturing the fare.
    """

    _id: str
    rider_id: str
    quote_id: str
    product: str
    transfer_id: str
    max_fare: Money
    fare: Money | None
    state: str
    is_over: bool
    is_booked: bool
    is_cancelling: bool
    problem: str | None
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    asks: int
    n: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What the service promises for a ride: its price is `max_fare` at most."""

    id: str
    product: str
    max_fare: Money


@dataclass(frozen=True, slots=True)
class Word:
    """What the service says of a booking: how far it is, and at its end what it costs."""

    state: RideState
    fare: Money | None = None


@dataclass(frozen=True, slots=True)
class BookRide:
    """Holds the most that a ride can cost, and keeps what the service is to be asked; or keeps the refusal."""

    command: Command
    transfer: Transfer
    quote: Quote
    expires_at: datetime

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield from self._hold().reads(work)

    def decide(self, work: Work) -> Outcome:
        outcome = self._hold().decide(work)
        if outcome.posted and not outcome.replayed:
            ride = self._document(outcome.entry["created_at"])
            work.insert(RIDES, cast(Document, ride))
            work.insert(EVENTS, _row(ride))
        return outcome

    def _hold(self) -> ledger.PlaceHold:
        return ledger.PlaceHold(self.command, self.transfer, self.expires_at)

    def _document(self, now: datetime) -> RideDocument:
        return {
            "_id": self.command.id("ride"),
            "rider_id": self.transfer.sender_id or "",
            "quote_id": self.quote.id,
            "product": self.quote.product,
            "transfer_id": self.command.id("trf"),
            "max_fare": self.quote.max_fare,
            "fare": None,
            "state": RideState.REQUESTED.value,
            "is_over": False,
            "is_booked": False,
            "is_cancelling": False,
            "problem": None,
            "created_at": now,
            "updated_at": now,
            # Whoever books asks at once; the sweeper asks next.
            "due_at": now + timedelta(seconds=ask_delay_s(2)),
            "asks": 0,
            "n": 1,
        }


@dataclass(frozen=True, slots=True)
class MoveRide:
    """Keeps a word that ends nothing. One that is old news, or comes after the end, changes nothing."""

    ride_id: str
    word: Word

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(RIDES, self.ride_id)]

    def decide(self, work: Work) -> RideDocument:
        ride = _ride(work, self.ride_id)
        heard: Document = {"is_booked": True, "asks": 0, "due_at": work.now + timedelta(seconds=FIRST_ASK_S)}
        if ride["is_over"]:
            return ride
        if _ORDER.index(self.word.state) <= _ORDER.index(RideState(ride["state"])):
            return cast(RideDocument, work.update(RIDES, self.ride_id, **heard))
        return _move(work, ride, work.now, state=self.word.state.value, **heard)


@dataclass(frozen=True, slots=True)
class CancelRide:
    """Keeps that the rider does not want it any more; the service is still to be told. A ride that is over stays so."""

    ride_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(RIDES, self.ride_id)]

    def decide(self, work: Work) -> RideDocument:
        ride = _ride(work, self.ride_id)
        if ride["is_over"] or ride["is_cancelling"]:
            return ride
        return _move(work, ride, work.now, is_cancelling=True, asks=0)


@dataclass(frozen=True, slots=True)
class KeepRide:
    """Forgets that the rider wanted to call it off: the service goes on with it."""

    ride_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(RIDES, self.ride_id)]

    def decide(self, work: Work) -> RideDocument:
        ride = _ride(work, self.ride_id)
        if ride["is_over"] or not ride["is_cancelling"]:
            return ride
        return _move(work, ride, work.now, is_cancelling=False, is_booked=True, asks=0)


@dataclass(frozen=True, slots=True)
class EndRide:
    """Ends a ride by the service's last word; in the same commit the fare is captured and the rest given back.

    Of a fare beyond the hold all that is held is taken. Where the hold has ended by itself, the ride ends with a
    `problem`. Raises TransferRefusedError with ACCOUNT_FROZEN, to be tried again while the hold lasts.
    """

    command: Command
    ride_id: str
    hold: Entry
    word: Word

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [*ledger.resolution_reads(self.command, self.hold), by_id(RIDES, self.ride_id)]

    def decide(self, work: Work) -> RideDocument:
        ride = _ride(work, self.ride_id)
        if ride["is_over"]:
            return ride
        due, problem, now = _due(self.word, self.hold), None, work.now
        record = work.get(TRANSFERS, ride["transfer_id"]) or {}
        # It is the payee's hold: they may have captured of it, or given it back, by themselves.
        captured: int = record.get("captured", 0)
        if record.get("state") != TransferState.PENDING:
            problem = (record.get("code") or "HOLD_RESOLVED") if captured < due else None
        else:
            entry = self._settle(work, due - captured)
            problem, now = entry["code"], entry["created_at"]
            captured = max(due, captured) if problem is None else captured
        fare = ledger.money(captured, ride["max_fare"]["currency"])
        return _move(
            work,
            ride,
            now,
            state=self.word.state.value,
            is_over=True,
            is_booked=True,
            fare=fare,
            problem=problem,
        )

    def _settle(self, work: Work, more: int) -> Entry:
        hold_id = self.hold["_id"]
        if more <= 0:
            return ledger.append_void(work, self.command, hold_id).entry
        outcome = ledger.append_capture(work, self.command, hold_id, more, final=True)
        if outcome.entry["code"] == "ACCOUNT_FROZEN":
            outcome.accepted()
        return outcome.entry


def _due(word: Word, hold: Entry) -> int:
    if word.fare is None or word.fare["currency"] != hold["currency"]:
        return 0
    return min(word.fare["minor_units"], hold["amount"])


def end_command(ride_id: str) -> Command:
    """The command under which a ride ends."""
    return ledger.system_command("end-ride", ride_id)


def ask_delay_s(asks: int) -> float:
    """How long after the nth time in vain to ask again: 2 s, then twice as long each time, 5 minutes at most."""
    doublings: int = min(max(asks - 1, 0), _MAX_DOUBLINGS)
    return min(FIRST_ASK_S * (1 << doublings), MAX_ASK_S)


async def rides_by_ids(database: Database, ids: Sequence[str]) -> list[RideDocument | None]:
    """For each id its ride or None, in the order of the ids; one read."""
    return cast("list[RideDocument | None]", await database.by_ids(RIDES, ids))


async def rides_of(database: Database, rider_id: str, window: Window) -> PageDocument:
    """A page of a person's rides, newest first; the key of the window is `(created_at, _id)`."""
    past, sort = keyset(_NEWEST, window)
    found = await database.find(RIDES, {"rider_id": rider_id, **past}, sort=sort, limit=window.limit)
    return page(found, window, lambda ride: (ride["created_at"], ride["_id"]))


async def due_rides(database: Database, now: datetime) -> list[RideDocument]:
    """The rides that it is time to ask of, the longest due first; at most 100."""
    filter = {**_RUNNING, "due_at": {"$lte": now}}
    return cast("list[RideDocument]", await database.find(RIDES, filter, sort=[("due_at", ASCENDING)], limit=MAX_DUE))


async def put_off(database: Database, rides: Sequence[RideDocument], now: datetime) -> None:
    """Let these be asked of again, the later the more often it was in vain; to be called before the service is asked.

    So one that never answers is not in the way of others.
    """
    by_asks: dict[int, list[str]] = {}
    for ride in rides:
        by_asks.setdefault(ride["asks"] + 1, []).append(ride["_id"])
    for asks, ids in by_asks.items():
        due_at = now + timedelta(seconds=ask_delay_s(asks))
        await database.update_many(RIDES, {"_id": {"$in": ids}}, {"$set": {"asks": asks, "due_at": due_at}})


async def rows_after(database: Database, ride_id: str, after: int, limit: int) -> list[Document]:
    """At most `limit` rows of a ride's log with numbers past `after`, in order."""
    return await logs.rows_after(database, EVENTS, ride_id, after, limit)


def _ride(work: Work, id: str) -> RideDocument:
    found = work.get(RIDES, id)
    if found is None:
        raise NotFoundError("There is no such ride")
    return cast(RideDocument, found)


def _move(work: Work, ride: RideDocument, now: datetime, **changes: object) -> RideDocument:
    n = ride["n"] + 1
    moved = cast(RideDocument, work.update(RIDES, ride["_id"], **changes, updated_at=now, n=n))
    work.insert(EVENTS, _row(moved))
    return moved


def _row(ride: RideDocument) -> Document:
    return {"_id": row_id(ride["_id"], ride["n"]), "ride_id": ride["_id"], "n": ride["n"]}
