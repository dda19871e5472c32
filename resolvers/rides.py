"""Rides: quotes of the ride service, booking one against a hold, and following it until it is paid or given up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final, TypedDict, cast

from datastores import ledger
from datastores import rides as store
from datastores.accounts import is_there
from datastores.commit import Act
from datastores.errors import ConflictError, ExpectedError, NotFoundError, UpstreamUnavailableError, ValidationError
from datastores.ids import is_id
from datastores.ledger import Command, EntryKind, Money, Outcome, Party, Transfer
from datastores.mongo import Document
from datastores.paging import PageDocument, decode_cursor, encode_cursor, window
from datastores.rides import EVENTS, MAX_DUE, Quote, RideDocument, RideState, Word

from . import accounts, services, wallets
from .chores import Chore
from .connections import HasId
from .context import Context
from .services import Service, ServiceRefusedError
from .streams import follow
from .texts import is_storable, trimmed

SERVICE: Final = "rides"
LOOP: Final = "rides"
MAX_PLACE: Final = 200
MAX_QUOTES: Final = 20
MAX_MINUTES: Final = 24 * 60
MAX_TRIPS: Final = 500
MAX_AT_ONCE: Final = 8
# Nobody waits longer for a car that nobody has promised.
GIVE_UP: Final = timedelta(minutes=10)
_QUOTE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
NOT_THERE: Final = "There is no such ride of yours"


class QuoteDocument(TypedDict):
    """One offer of the service. The fare is what it expects, and never more than `max_fare`."""

    _id: str
    product: str
    fare: Money
    max_fare: Money
    pickup_minutes: int
    expires_at: datetime


class TripDocument(TypedDict):
    """What the service knows of a ride now."""

    pickup: str
    dropoff: str
    driver: str | None
    vehicle: str | None
    minutes_left: int | None


class RideEvent(TypedDict):
    """A ride to which something happened, as it is now; `cursor` is one of `rideUpdated`."""

    cursor: str
    ride: RideDocument


class RideBooked(RideEvent):
    """As `RideEvent`; `replayed` where an earlier try with the same key had booked it."""

    replayed: bool


async def quotes(ctx: Context, *, pickup: str, dropoff: str, currency: str) -> list[QuoteDocument] | None:
    """What the service offers between two places, 20 offers at most; None for who is not signed in.

    Raises ValidationError for a place without or with more than 200 characters, and UpstreamUnavailableError.
    """
    if ctx.viewer.user_id is None:
        return None
    asked = {
        "pickup": trimmed(pickup, "pickup", most=MAX_PLACE),
        "dropoff": trimmed(dropoff, "dropoff", most=MAX_PLACE),
        "currency": currency,
    }
    answer = await ctx.service(SERVICE).read("/quotes", asked)
    return [_quote(each) for each in services.items(answer, "quotes", MAX_QUOTES)]


async def rides_by_id(ctx: Context, ids: Sequence[str]) -> list[RideDocument | None]:
    """For each id the ride, or None unless it is the viewer's; one read."""
    if ctx.viewer.user_id is None:
        return [None] * len(ids)
    found = await store.rides_by_ids(ctx.database, [id if is_id("ride", id) else "" for id in ids])
    return [each if each is not None and each["rider_id"] == ctx.viewer.user_id else None for each in found]


async def rides_of_viewers(
    ctx: Context, viewers: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | None]:
    """The rides of the viewer, newest first; None for anybody else."""
    user_id = ctx.viewer.person()
    asked = window(f"rides/{user_id}", datetime, str, first=first, after=after)
    return [await store.rides_of(ctx.database, user_id, asked) if each["_id"] == user_id else None for each in viewers]


async def trips(ctx: Context, rides: Sequence[RideDocument]) -> list[TripDocument | None]:
    """For each ride what the service knows of it now, or None where it knows nothing of it; one call for 100 rides.

    Raises UpstreamUnavailableError, ValidationError for more than 500 rides.
    """
    if len(rides) > MAX_TRIPS:
        raise ValidationError(f"Ask for the trips of at most {MAX_TRIPS} rides at once")
    found = await _bookings(ctx.service(SERVICE), [ride["_id"] for ride in rides])
    return [_trip(found[ride["_id"]]) if ride["_id"] in found else None for ride in rides]


async def book_ride(
    ctx: Context,
    *,
    idempotency_key: str,
    quote_id: str,
    expected_max_fare: wallets.AmountInput,
    from_wallet_id: str | None = None,
) -> RideBooked:
    """Book what was quoted, with its most possible fare on hold for the service's payee until the ride is over.

    The ride stays REQUESTED where the service does not answer: it is asked again until it does. The first of these that
    holds is raised; those marked * are kept under the key: ValidationError; IdempotencyKeyReusedError;
    UpstreamUnavailableError; NotFoundError for a quote that is not there or not good any more, then for the wallet;
    ConflictError for another fare than the viewer expects; TransferRefusedError* with ACCOUNT_FROZEN;
    InsufficientFundsError*; LimitExceededError*; OutcomeUnknownError; ConflictError* where the service refuses.
    """
    viewer_id = ctx.viewer.person()
    if not is_storable(idempotency_key):
        raise ValidationError("The key has characters that are not text", "idempotencyKey")
    fare = ledger.positive(expected_max_fare["amount"], expected_max_fare["currency"], "expectedMaxFare")
    asked = {"quote_id": quote_id, "max_fare": fare, "from_wallet_id": from_wallet_id}
    command = ledger.command(viewer_id, idempotency_key, "bookRide", asked)
    outcome = await ledger.stored(ctx.database, command)
    if outcome is None:

        async def prepare() -> Act[Outcome]:
            quote = await _quoted(ctx, quote_id, fare)
            transfer = await _transfer(ctx, fare, from_wallet_id)
            return store.BookRide(command, transfer, quote, ctx.now() + store.HOLD)

        outcome = await wallets.decided(ctx, command, prepare)
    outcome.accepted()
    return await _booked(ctx, command, replayed=outcome.replayed)


async def cancel_ride(ctx: Context, *, ride_id: str) -> RideEvent:
    """Call a ride off. What the service asks for that is captured, the rest given back; twice is once.

    Where the service does not answer, the wish is kept and it is told until it has heard. Raises NotFoundError for a
    ride that is not the viewer's, ConflictError for one that is over otherwise, or that the service goes on with.
    """
    ctx.viewer.person()
    (found,) = await rides_by_id(ctx, [ride_id])
    if found is None:
        raise NotFoundError(NOT_THERE)
    ride = await ctx.commits[LOOP].submit(store.CancelRide(ride_id))
    if not ride["is_over"]:
        ride = await _tell(ctx, ride)
    if ride["is_over"] and ride["state"] != RideState.CANCELLED:
        raise ConflictError(f"The ride is {ride['state'].lower()} already")
    if not (ride["is_over"] or ride["is_cancelling"]):
        raise ConflictError("It is too late: the ride takes place")
    return {"ride": ride, "cursor": _cursor(ride, ride["n"])}


async def ride_updated(ctx: Context, *, ride_id: str, after: str | None = None) -> AsyncGenerator[RideEvent, None]:
    """All that happens to a ride of the viewer, until it is over.

    Raises NotFoundError for a ride that is not theirs, ValidationError for a cursor of something else, and what
    `streams.follow` raises.
    """
    ctx.viewer.person()
    (ride,) = await rides_by_id(ctx, [ride_id])
    if ride is None:
        raise NotFoundError(NOT_THERE)
    place = None if after is None else cast(int, decode_cursor(_scope(ride_id), after, int)[0])
    if ride["is_over"] and (place is None or place == ride["n"]):
        return

    async def head() -> int:
        (now,) = await store.rides_by_ids(ctx.database, [ride_id])
        return 0 if now is None else now["n"]

    rows = follow(
        ctx,
        EVENTS,
        [ride_id],
        after=place,
        head=head,
        read=lambda number, limit: store.rows_after(ctx.database, ride_id, number, limit),
        number=lambda row: cast(int, row["n"]),
        scope=_scope(ride_id),
        contiguous=True,
    )
    async with aclosing(rows):
        async for row in rows:
            (now,) = await store.rides_by_ids(ctx.database, [ride_id])
            if now is None:
                return
            yield {"cursor": _cursor(now, row["n"]), "ride": now}
            if now["is_over"] and now["n"] <= row["n"]:
                return


async def follow_rides(ctx: Context) -> int:
    """Ask the service what became of at most 100 rides; returns how many it answered for. For a sweeper.

    What the service has not heard of is asked for again, or called off, under the same key as before.
    """
    due = await store.due_rides(ctx.database, ctx.now())
    await store.put_off(ctx.database, due, ctx.now())
    booked = [ride for ride in due if ride["is_booked"] and not ride["is_cancelling"]]
    try:
        found = await _bookings(ctx.service(SERVICE), [ride["_id"] for ride in booked])
    except UpstreamUnavailableError:
        found = {}
    turns = asyncio.Semaphore(MAX_AT_ONCE)

    async def one(ride: RideDocument) -> bool:
        async with turns:
            return await _follow_one(ctx, ride, found.get(ride["_id"])) is not ride

    return sum(await asyncio.gather(*(one(ride) for ride in due)))


CHORES: Final = (Chore("follow_rides", follow_rides, timeout_s=60.0, service=SERVICE),)


async def _follow_one(ctx: Context, ride: RideDocument, answer: Document | None) -> RideDocument:
    if answer is not None:
        return await _heard(ctx, ride, answer)
    if ride["created_at"] + store.HOLD <= ctx.now():
        # Its money has gone back by itself: whatever the service says later, there is nothing to pay it with.
        return await _end(ctx, ride, Word(RideState.CANCELLED))
    if not ride["is_booked"] and ride["created_at"] + GIVE_UP <= ctx.now():
        ride = await ctx.commits[LOOP].submit(store.CancelRide(ride["_id"]))
    return ride if ride["is_booked"] and not ride["is_cancelling"] else await _tell(ctx, ride)


async def _booked(ctx: Context, command: Command, *, replayed: bool) -> RideBooked:
    (ride,) = await store.rides_by_ids(ctx.database, [command.id("ride")])
    if ride is None:
        raise NotFoundError(NOT_THERE)
    if not (ride["is_booked"] or ride["is_over"] or ride["is_cancelling"]):
        ride = await _tell(ctx, ride)
    if ride["state"] == RideState.REFUSED:
        raise ConflictError("The ride service cannot offer this ride any more: nothing was paid, ask for new quotes")
    return {"ride": ride, "replayed": replayed, "cursor": _cursor(ride, ride["n"])}


async def _tell(ctx: Context, ride: RideDocument) -> RideDocument:
    """Have the service book the ride, or call it off, and keep its word; the ride as it is after that."""
    path = "/cancellations" if ride["is_cancelling"] else "/bookings"
    asked = {"reference": ride["_id"], "quote_id": ride["quote_id"]}
    try:
        answer = await ctx.service(SERVICE).act(path, asked, key=f"{path}/{ride['_id']}")
    except ServiceRefusedError as refused:
        if ride["is_cancelling"]:
            keeps = refused.reason == "TOO_LATE"
            return await ctx.commits[LOOP].submit(store.KeepRide(ride["_id"])) if keeps else ride
        # Only what says that it is for good ends a ride: else money would go back for a ride that takes place.
        if refused.reason not in ("QUOTE_EXPIRED", "UNKNOWN_QUOTE", "NO_CARS"):
            return ride
        return await _end(ctx, ride, Word(RideState.REFUSED))
    except UpstreamUnavailableError:
        return ride
    return await _heard(ctx, ride, answer)


async def _heard(ctx: Context, ride: RideDocument, answer: object) -> RideDocument:
    """Keep what the service says of a ride; the ride as it is after that, or as it was where that cannot be kept."""
    try:
        word = _word(answer, ride)
        if word.state in store.FINAL:
            return await _end(ctx, ride, word)
        return await ctx.commits[LOOP].submit(store.MoveRide(ride["_id"], word))
    except ExpectedError:
        return ride


async def _end(ctx: Context, ride: RideDocument, word: Word) -> RideDocument:
    (hold,) = await ledger.entries_by_ids(ctx.database, [ledger.sibling_id(ride["transfer_id"], "ent")])
    if hold is None:
        raise NotFoundError(NOT_THERE)
    try:
        command = store.end_command(ride["_id"])
        return await wallets.submit(ctx, store.EndRide(command, ride["_id"], hold, word), command.key)
    except ExpectedError:
        # A frozen wallet, or a database that is away: the sweeper tries it again while the hold lasts.
        return ride


async def _quoted(ctx: Context, quote_id: str, expected: Money) -> Quote:
    if not _QUOTE_ID.match(quote_id):
        raise NotFoundError("There is no such quote")
    try:
        answer = await ctx.service(SERVICE).read(f"/quotes/{quote_id}", {})
    except ServiceRefusedError as refused:
        if refused.reason in ("UNKNOWN_QUOTE", "QUOTE_EXPIRED"):
            raise NotFoundError("There is no such quote, or it is not good any more: ask for new ones") from None
        raise
    quote = _quote(answer)
    if quote["max_fare"] != expected:
        raise ConflictError("The ride can cost another fare than you expect: look at the quote again")
    return Quote(quote["_id"], quote["product"], quote["max_fare"])


async def _transfer(ctx: Context, fare: Money, from_wallet_id: str | None) -> Transfer:
    viewer_id, currency = ctx.viewer.person(), fare["currency"]
    source = await wallets.paying_wallet(ctx, from_wallet_id, currency)
    payee = await accounts.user(ctx, id=None, handle=ctx.service(SERVICE).payee)
    if payee is None or not is_there(payee):
        raise UpstreamUnavailableError("Nobody is there to be paid for rides: try again later")
    if payee["_id"] == viewer_id:
        raise ValidationError("You cannot pay yourself", "from")
    return Transfer(
        Party(source, owner_id=viewer_id),
        Party(ledger.wallet_id(payee["_id"], currency), owner_id=payee["_id"]),
        fare["minor_units"],
        currency,
        sender_id=viewer_id,
        recipient_id=payee["_id"],
        kind=EntryKind.HOLD,
        merchants=await wallets.merchants_of(ctx, [viewer_id, payee["_id"]]),
        default_tier=ctx.default_tier,
    )


async def _bookings(service: Service, ids: Sequence[str]) -> dict[str, Document]:
    """What the service knows of these rides, by id; what it does not know is left out."""
    found: dict[str, Document] = {}
    for start in range(0, len(ids), MAX_DUE):
        some = ids[start : start + MAX_DUE]
        answer = await service.read("/bookings", {"references": ",".join(some)})
        for each in services.items(answer, "bookings", MAX_DUE):
            if (id := services.text(each, "reference")) in some:
                found[id] = cast(Document, each)
    return found


def _quote(body: object) -> QuoteDocument:
    fare, most = services.money(body, "fare"), services.money(body, "max_fare")
    if fare["currency"] != most["currency"] or not fare["minor_units"] <= most["minor_units"] > 0:
        raise UpstreamUnavailableError("The service answered without a usable `max_fare`")
    return {
        "_id": services.text(body, "id", 100),
        "product": services.text(body, "product"),
        "fare": fare,
        "max_fare": most,
        "pickup_minutes": services.whole(body, "pickup_minutes", MAX_MINUTES),
        "expires_at": services.moment(body, "expires_at"),
    }


def _trip(body: object) -> TripDocument:
    return {
        "pickup": services.text(body, "pickup"),
        "dropoff": services.text(body, "dropoff"),
        "driver": services.text(body, "driver") if services.has(body, "driver") else None,
        "vehicle": services.text(body, "vehicle") if services.has(body, "vehicle") else None,
        "minutes_left": (
            services.whole(body, "minutes_left", MAX_MINUTES) if services.has(body, "minutes_left") else None
        ),
    }


def _word(body: object, ride: RideDocument) -> Word:
    state = services.text(body, "state")
    if services.text(body, "reference") != ride["_id"] or state not in list(RideState):
        raise UpstreamUnavailableError("The service answered without a usable `state`")
    fare = services.money(body, "fare") if services.has(body, "fare") else None
    if fare is not None and fare["currency"] != ride["max_fare"]["currency"]:
        raise UpstreamUnavailableError("The service answered without a usable `fare`")
    if fare is None and state == RideState.COMPLETED:
        raise UpstreamUnavailableError("The service answered without a usable `fare`")
    return Word(RideState(state), fare)


def _cursor(ride: RideDocument, n: int) -> str:
    return encode_cursor(_scope(ride["_id"]), n)


def _scope(ride_id: str) -> str:
    return f"ride/{ride_id}"
