"""Rides in the graph: a partner's ride service as a domain, paid by a hold on the rider's wallet."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from datastores.mongo import Document
from datastores.rides import RideDocument, RideState
from resolvers import rides as use_cases

from .arguments import AFTER, FIRST, KEY, SINCE, Info, or_none
from .composition import Domain, batched, delegates, loads, plain, root
from .entities import Node, Transfer, User, Viewer
from .errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyKeyReused,
    InsufficientFunds,
    LimitExceeded,
    NotFoundError,
    OutcomeUnknown,
    TransferRefused,
    UpstreamUnavailable,
    ValidationError,
)
from .scalars import CurrencyCode, Cursor
from .values import Connection, Money, MoneyInput

strawberry.enum(
    RideState,
    description="REQUESTED waits for the service's word; ACCEPTED, ARRIVED and UNDERWAY go on; the others are final.",
)


@strawberry.federation.type(keys=["id"], description="A ride with a partner's service. Only its rider may see it.")
class Ride(Node):
    pass


@strawberry.type(description="What the service offers. Good until `expiresAt`.")
class RideQuote:
    id: strawberry.ID = plain(description="Pass it to `bookRide`.")
    product: str = plain(description="What kind of car, as the service calls it.")
    fare: Money = plain(description="What it should cost.")
    max_fare: Money = plain(description="What it costs at most: so much is held until the ride is over.")
    pickup_minutes: int = plain(description="In how many minutes a car can be there.")
    expires_at: datetime = plain(description="Until when it can be booked.")


@strawberry.type(description="What the service knows of a ride now. Agora keeps none of it.")
class RideTrip:
    pickup: str = plain(description="From where.")
    dropoff: str = plain(description="Where to.")
    driver: str | None = plain(description="Who drives; null while nobody does.")
    vehicle: str | None = plain(description="The car and its plate; null while there is none.")
    minutes_left: int | None = plain(description="Until the car is there, or the ride is over; null if not known.")


rides = Domain("rides", chores=use_cases.CHORES)
rides.owns(Ride, use_cases.rides_by_id, document=RideDocument, prefix="ride")


@rides.extends(Ride)
class RideFields:
    state: RideState = plain(description="How far it is, as the service said last.")
    product: str = plain(description="What kind of car was booked.")
    rider: User | None = loads(User, key="rider_id", description="Who booked it.")
    max_fare: Money = plain(description="What it costs at most.")
    fare: Money | None = plain(description="What was paid; null until the ride is over.")
    transfer: Transfer | None = loads(Transfer, key="transfer_id", description="The hold that pays it.")
    is_cancelling: bool = plain(description="Whether the rider called it off and the service has not said so yet.")
    problem: str | None = plain(
        description="Why the fare could not be taken, such as HOLD_EXPIRED; null where nothing is wrong."
    )
    created_at: datetime = plain(description="When it was booked.")
    updated_at: datetime = plain(description="When something last happened to it.")
    trip: RideTrip | None = delegates(
        use_cases.trips,
        service=use_cases.SERVICE,
        description="What the service knows of it now; null with UPSTREAM_UNAVAILABLE where it does not answer.",
    )


@rides.extends(Viewer)
class ViewerRides:
    rides: Connection[Ride] | None = batched(
        use_cases.rides_of_viewers, description="The viewer's rides, newest first.", first=FIRST, after=AFTER
    )


@strawberry.input(description="What is to be booked.")
class BookRideInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    quote_id: strawberry.ID = strawberry.field(description="One of `rideQuotes`.")
    expected_max_fare: MoneyInput = strawberry.field(description="The `maxFare` that the rider has seen.")
    from_wallet_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The viewer's wallet in this currency if absent."
    )


@strawberry.input(description="What is to be called off.")
class CancelRideInput:
    ride_id: strawberry.ID = strawberry.field(description="A ride of the viewer.")


@strawberry.type(description="The money is on hold and the service is asked: follow the ride to see what it says.")
class BookRideSuccess:
    ride: Ride = plain(description="The ride; REQUESTED where the service has not answered yet.")
    replayed: bool = plain(description="Whether an earlier try with the same key had done it.")
    cursor: Cursor = plain(description="Pass it to `rideUpdated` to hear of all that comes after.")


@strawberry.type(description="The ride is called off, or the service will be told.")
class CancelRideSuccess:
    ride: Ride = plain(description="The ride; `isCancelling` where the service has not answered yet.")
    cursor: Cursor = plain(description="Pass it to `rideUpdated` to hear of all that comes after.")


BookRideResult = Annotated[
    BookRideSuccess
    | InsufficientFunds
    | LimitExceeded
    | TransferRefused
    | IdempotencyKeyReused
    | OutcomeUnknown
    | UpstreamUnavailable
    | ConflictError
    | NotFoundError
    | ForbiddenError
    | ValidationError,
    strawberry.union("BookRideResult", description="What became of `bookRide`."),
]
CancelRideResult = Annotated[
    CancelRideSuccess | NotFoundError | ForbiddenError | ConflictError,
    strawberry.union("CancelRideResult", description="What became of `cancelRide`."),
]


@strawberry.type(description="Something has happened to a ride.")
class RideEvent:
    cursor: Cursor = plain(description="Where to go on after a break: pass it as `after`.")
    ride: Ride = plain(description="The ride as it is now.")


@rides.root
class Query:
    @root(
        list[RideQuote] | None,
        service=use_cases.SERVICE,
        most=use_cases.MAX_QUOTES,
        description="What the ride service offers, 20 offers at most; null with UPSTREAM_UNAVAILABLE if it is silent.",
    )
    async def ride_quotes(
        self,
        info: Info,
        pickup: Annotated[str, strawberry.argument(description="From where, 1–200 characters.")],
        dropoff: Annotated[str, strawberry.argument(description="Where to, 1–200 characters.")],
        currency: Annotated[CurrencyCode, strawberry.argument(description="In which to pay.")],
    ) -> Sequence[object] | None:
        return await use_cases.quotes(info.context, pickup=pickup, dropoff=dropoff, currency=currency)

    @root(Ride | None, description="A ride of the viewer, or null.")
    async def ride(self, info: Info, id: strawberry.ID) -> object:
        return (await use_cases.rides_by_id(info.context, [id]))[0]


@rides.root
class Mutation:
    @root(
        BookRideResult | None,
        description=(
            "Book a ride. Its `maxFare` is held; when the ride is over its fare is taken and the rest given back. Safe "
            "to repeat with the same key, refusals included."
        ),
    )
    async def book_ride(self, info: Info, input: BookRideInput) -> Document:
        fare = input.expected_max_fare
        booked = await use_cases.book_ride(
            info.context,
            idempotency_key=input.idempotency_key,
            quote_id=input.quote_id,
            expected_max_fare={"amount": fare.amount, "currency": fare.currency},
            from_wallet_id=or_none(input.from_wallet_id),
        )
        return {"__typename": "BookRideSuccess", **booked}

    @root(
        CancelRideResult | None,
        description="Call a ride off; what the service asks for that is taken from the hold. Twice is once.",
    )
    async def cancel_ride(self, info: Info, input: CancelRideInput) -> Document:
        cancelled = await use_cases.cancel_ride(info.context, ride_id=input.ride_id)
        return {"__typename": "CancelRideSuccess", **cancelled}


@rides.root
class Subscription:
    @root(
        RideEvent,
        subscription=True,
        description="All that happens to a ride of the viewer. Ends with the ride.",
    )
    async def ride_updated(
        self,
        info: Info,
        ride_id: Annotated[strawberry.ID, strawberry.argument(description="A ride of the viewer.")],
        after: Annotated[Cursor | None, strawberry.argument(description=SINCE)] = strawberry.UNSET,
    ) -> AsyncGenerator[Document, None]:
        async for event in use_cases.ride_updated(info.context, ride_id=ride_id, after=or_none(after)):
            yield {**event}
