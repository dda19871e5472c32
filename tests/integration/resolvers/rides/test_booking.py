"""Booking a ride: its most possible fare is held, the service is asked until it answers, and the fare is taken."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from datastores import rides as store
from datastores.errors import (
    ConflictError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    NotFoundError,
    UnauthenticatedError,
    UpstreamUnavailableError,
    ValidationError,
)
from resolvers import rides
from tests.integration.resolvers.people import people
from tests.integration.resolvers.rides.scenes import Scene, amount
from tests.integration.resolvers.wallets.purses import fill


async def test_a_ride_is_booked_followed_and_paid(scene: Scene) -> None:
    quote = await scene.quote()
    most, fare = quote["max_fare"]["minor_units"], quote["fare"]["minor_units"]

    booked = await scene.book(quote)

    assert booked["ride"]["state"] == "ACCEPTED"
    assert not booked["replayed"]
    assert await scene.money() == (10_000, 10_000 - most)

    states = []
    for stage in ("ARRIVED", "UNDERWAY", "COMPLETED"):
        await scene.move(booked["ride"], stage)
        assert await scene.sweep() == 1
        states.append((await scene.now(booked["ride"]))["state"])

    ride = await scene.now(booked["ride"])
    assert states == ["ARRIVED", "UNDERWAY", "COMPLETED"]
    assert (ride["fare"], ride["problem"]) == ({"minor_units": fare, "currency": "EUR"}, None)
    assert await scene.money() == (10_000 - fare, 10_000 - fare)
    assert await scene.money(scene.victor) == (fare, fare)
    assert await scene.sweep(3_600) == 0
    assert await scene.ledger_holds()


async def test_the_same_key_books_once(scene: Scene) -> None:
    quote = await scene.quote()
    first = await scene.book(quote, key="k")
    await scene.service.control(expire=True, way="down")

    again = await scene.book(quote, key="k")

    assert again["replayed"]
    assert again["ride"]["_id"] == first["ride"]["_id"]
    with pytest.raises(IdempotencyKeyReusedError):
        await rides.book_ride(scene.ctx(), idempotency_key="k", quote_id="another", expected_max_fare=amount(quote))
    await scene.service.control(way="")


async def test_many_at_once_with_one_key_are_one_ride(scene: Scene) -> None:
    quote = await scene.quote()

    booked = await asyncio.gather(*(scene.book(quote, key="k") for _ in range(12)))

    assert {each["ride"]["_id"] for each in booked} == {booked[0]["ride"]["_id"]}
    assert [each["replayed"] for each in booked].count(False) == 1
    assert (await scene.service.control())["bookings"] == [booked[0]["ride"]["_id"]]
    assert await scene.money() == (10_000, 10_000 - quote["max_fare"]["minor_units"])


async def test_who_has_too_little_books_nothing_however_often(scene: Scene) -> None:
    (bob,) = await people(scene.database, "bob")
    await fill(scene.ask, bob, "0.50")
    quote = await scene.quote()

    with pytest.raises(InsufficientFundsError):
        await scene.book(quote, key="k", who=bob)
    await fill(scene.ask, bob, "100")
    with pytest.raises(InsufficientFundsError):
        await scene.book(quote, key="k", who=bob)

    assert (await scene.service.control())["bookings"] == []
    assert await scene.money(bob) == (10_050, 10_050)


async def test_only_people_with_a_wallet_book(scene: Scene) -> None:
    quote = await scene.quote()
    (bob,) = await people(scene.database, "bob")

    with pytest.raises(UnauthenticatedError):
        await rides.book_ride(
            scene.ask(None), idempotency_key="k", quote_id=quote["_id"], expected_max_fare=amount(quote)
        )
    with pytest.raises(NotFoundError, match="wallet"):
        await scene.book(quote, who=bob)
    assert await rides.quotes(scene.ask(None), pickup="a", dropoff="b", currency="EUR") is None


async def test_the_payee_does_not_ride_for_nothing(scene: Scene) -> None:
    await fill(scene.ask, scene.victor, "100")

    with pytest.raises(ValidationError, match="yourself"):
        await scene.book(who=scene.victor)


async def test_a_ride_is_its_riders_alone(scene: Scene) -> None:
    ride = (await scene.book())["ride"]

    assert await rides.rides_by_id(scene.ctx(scene.victor), [ride["_id"]]) == [None]
    assert await rides.rides_by_id(scene.ask(None), [ride["_id"]]) == [None]
    with pytest.raises(NotFoundError):
        await rides.cancel_ride(scene.ctx(scene.victor), ride_id=ride["_id"])
    with pytest.raises(NotFoundError):
        await anext(rides.ride_updated(scene.ctx(scene.victor), ride_id=ride["_id"]))


@pytest.mark.parametrize("quote_id", ["q_0000000000000000", "", "../bookings", "a" * 101, "q?x=1"])
async def test_a_quote_that_is_not_there_is_not_found(scene: Scene, quote_id: str) -> None:
    quote = await scene.quote()

    with pytest.raises(NotFoundError):
        await rides.book_ride(scene.ctx(), idempotency_key="k", quote_id=quote_id, expected_max_fare=amount(quote))

    assert await scene.money() == (10_000, 10_000)


async def test_another_fare_than_the_rider_saw_is_a_conflict(scene: Scene) -> None:
    quote = await scene.quote()

    with pytest.raises(ConflictError, match="fare"):
        await rides.book_ride(
            scene.ctx(),
            idempotency_key="k",
            quote_id=quote["_id"],
            expected_max_fare={"amount": Decimal("1.00"), "currency": "EUR"},
        )

    assert await scene.money() == (10_000, 10_000)


@pytest.mark.parametrize("way", ["down", "error", "garbage", "other", "huge"])
async def test_without_the_service_there_are_no_quotes_and_no_bookings(scene: Scene, way: str) -> None:
    quote = await scene.quote()
    await scene.service.control(way=way)

    with pytest.raises(UpstreamUnavailableError):
        await scene.quote()
    with pytest.raises(UpstreamUnavailableError):
        await scene.book(quote)

    assert await scene.money() == (10_000, 10_000)


async def test_without_a_connection_it_is_said_so(scene: Scene) -> None:
    with pytest.raises(UpstreamUnavailableError, match="not connected"):
        await rides.quotes(scene.ask(scene.ann), pickup="a", dropoff="b", currency="EUR")


async def test_without_a_payee_nothing_is_held(scene: Scene) -> None:
    quote = await scene.quote()
    scene.client.payee = "nobody_of_that_name"

    with pytest.raises(UpstreamUnavailableError, match="paid"):
        await scene.book(quote)

    assert await scene.money() == (10_000, 10_000)


@pytest.mark.parametrize("way", ["down", "lost", "garbage", "other", "refuse"])
async def test_a_booking_that_is_not_answered_is_asked_for_again(scene: Scene, way: str) -> None:
    quote = await scene.quote()
    await scene.service.control(way=way, at="POST /bookings")
    booked = await scene.book(quote, key="k")
    there = (await scene.service.control(way=""))["bookings"]

    assert booked["ride"]["state"] == "REQUESTED"
    assert await scene.money() == (10_000, 10_000 - quote["max_fare"]["minor_units"])
    assert there == ([booked["ride"]["_id"]] if way == "lost" else [])

    assert await scene.sweep() == 1
    again = await scene.book(quote, key="k")

    assert (again["replayed"], again["ride"]["state"]) == (True, "ACCEPTED")
    assert (await scene.service.control())["bookings"] == [booked["ride"]["_id"]]


async def test_a_service_that_stays_silent_is_asked_less_and_less_often(scene: Scene) -> None:
    await scene.service.control(way="down", at="POST /bookings")
    ride = (await scene.book())["ride"]
    waits = []

    for _ in range(4):
        await scene.sweep((ride["due_at"] - scene.ctx().now()).total_seconds() + 0.5)
        later = await scene.now(ride)
        waits.append(round((later["due_at"] - ride["due_at"]).total_seconds()))
        ride = later

    assert waits == sorted(waits)
    assert waits[-1] > waits[0]
    assert store.ask_delay_s(1_000) == store.MAX_ASK_S


async def test_a_ride_that_the_service_refuses_gives_its_money_back(scene: Scene) -> None:
    quote = await scene.quote()
    await scene.service.control(way="down", at="POST /bookings")
    booked = await scene.book(quote, key="k")
    await scene.service.control(way="", expire=True)

    assert await scene.sweep() == 1

    ride = await scene.now(booked["ride"])
    assert (ride["state"], ride["fare"]) == ("REFUSED", {"minor_units": 0, "currency": "EUR"})
    assert await scene.money() == (10_000, 10_000)
    for _ in range(2):
        with pytest.raises(ConflictError, match="cannot offer"):
            await scene.book(quote, key="k")
    assert await scene.ledger_holds()


async def test_a_ride_that_nobody_promised_for_ten_minutes_is_called_off(scene: Scene) -> None:
    await scene.service.control(way="down", at="POST /bookings")
    ride = (await scene.book())["ride"]

    await scene.sweep(rides.GIVE_UP.total_seconds() + 1)

    assert (await scene.now(ride))["state"] == "CANCELLED"
    assert await scene.money() == (10_000, 10_000)
    assert (await scene.service.control())["asked"].count("POST /cancellations") == 1
