"""How a ride ends: called off, too late for that, dearer than was held, or with the money gone another way."""

from __future__ import annotations

import pytest

from datastores import ledger
from datastores import rides as store
from datastores.errors import ConflictError
from datastores.ledger import WalletStatus
from resolvers import rides, wallets
from tests.integration.resolvers.rides.scenes import Scene
from tests.integration.resolvers.wallets.purses import amount, freeze, key, transfer


async def test_who_calls_it_off_in_time_pays_nothing(scene: Scene) -> None:
    ride = (await scene.book())["ride"]

    first = await rides.cancel_ride(scene.ctx(), ride_id=ride["_id"])
    again = await rides.cancel_ride(scene.ctx(), ride_id=ride["_id"])

    assert first["ride"]["state"] == again["ride"]["state"] == "CANCELLED"
    assert first["cursor"] == again["cursor"]
    assert await scene.money() == (10_000, 10_000)
    assert await scene.ledger_holds()


async def test_who_calls_it_off_too_late_rides_and_pays(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await scene.move(ride, "UNDERWAY")

    with pytest.raises(ConflictError, match="too late"):
        await rides.cancel_ride(scene.ctx(), ride_id=ride["_id"])

    await scene.move(ride, "COMPLETED", fare=700)
    await scene.sweep()
    assert await scene.money() == (9_300, 9_300)
    with pytest.raises(ConflictError, match="completed"):
        await rides.cancel_ride(scene.ctx(), ride_id=ride["_id"])


async def test_the_wish_to_call_it_off_outlives_a_service_that_is_down(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await scene.service.control(way="down")

    asked = (await rides.cancel_ride(scene.ctx(), ride_id=ride["_id"]))["ride"]
    await scene.service.control(way="")
    await scene.sweep()

    assert (asked["state"], asked["is_cancelling"]) == ("ACCEPTED", True)
    assert (await scene.now(ride))["state"] == "CANCELLED"
    assert await scene.money() == (10_000, 10_000)


async def test_a_booking_that_comes_after_it_was_called_off_is_none(scene: Scene) -> None:
    quote = await scene.quote()
    await scene.service.control(way="down", at="POST /bookings")
    ride = (await scene.book(quote))["ride"]
    await scene.service.control(way="")

    cancelled = (await rides.cancel_ride(scene.ctx(), ride_id=ride["_id"]))["ride"]
    late = await scene.client.act("/bookings", {"reference": ride["_id"], "quote_id": quote["_id"]}, key="late")

    assert (cancelled["state"], late["state"]) == ("CANCELLED", "CANCELLED")
    assert await scene.money() == (10_000, 10_000)


async def test_no_more_is_taken_than_was_held(scene: Scene) -> None:
    quote = await scene.quote()
    ride = (await scene.book(quote))["ride"]
    await scene.move(ride, "COMPLETED", fare=1_000_000)

    await scene.sweep()

    assert (await scene.now(ride))["fare"] == quote["max_fare"]
    assert await scene.money(scene.victor) == (quote["max_fare"]["minor_units"],) * 2
    assert await scene.ledger_holds()


async def test_a_ride_for_nothing_gives_all_back(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await scene.move(ride, "COMPLETED", fare=0)

    await scene.sweep()

    assert (await scene.now(ride))["state"] == "COMPLETED"
    assert await scene.money() == (10_000, 10_000)
    assert (await transfer(scene.ask, scene.ann, ride["transfer_id"]) or {})["state"] == "VOIDED"


async def test_what_the_payee_took_by_themselves_is_not_taken_twice(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await wallets.capture_hold(
        scene.ask(scene.victor), idempotency_key=key(), transfer_id=ride["transfer_id"], amount=amount("2")
    )
    await scene.move(ride, "COMPLETED", fare=500)

    await scene.sweep()

    assert (await scene.now(ride))["fare"] == {"minor_units": 500, "currency": "EUR"}
    assert await scene.money() == (9_500, 9_500)
    assert await scene.ledger_holds()


async def test_what_the_payee_gave_back_is_gone(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await wallets.void_hold(scene.ask(scene.victor), idempotency_key=key(), transfer_id=ride["transfer_id"])
    await scene.move(ride, "COMPLETED", fare=500)

    await scene.sweep()

    ended = await scene.now(ride)
    assert (ended["fare"], ended["problem"]) == ({"minor_units": 0, "currency": "EUR"}, "HOLD_RESOLVED")
    assert await scene.money() == (10_000, 10_000)


async def test_a_frozen_wallet_pays_once_it_is_open_again(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await freeze(scene.ask, ledger.wallet_id(scene.ann, "EUR"))
    await scene.move(ride, "COMPLETED", fare=500)

    assert await scene.sweep() == 0
    waiting = await scene.now(ride)
    await freeze(scene.ask, ledger.wallet_id(scene.ann, "EUR"), WalletStatus.OPEN)
    await scene.sweep(60)

    assert not waiting["is_over"]
    assert (await scene.now(ride))["fare"] == {"minor_units": 500, "currency": "EUR"}
    assert await scene.ledger_holds()


async def test_a_ride_that_the_service_has_forgotten_ends_with_its_hold(scene: Scene) -> None:
    ride = (await scene.book())["ride"]
    await scene.service.control(forget=ride["_id"])

    assert await scene.sweep() == 0
    await scene.sweep(store.HOLD.total_seconds() + 60)

    assert (await scene.now(ride))["state"] == "CANCELLED"
    assert await scene.money() == (10_000, 10_000)
    assert await scene.ledger_holds()


@pytest.mark.parametrize("way", ["down", "garbage", "other", "refuse"])
async def test_a_service_that_fails_on_the_way_changes_nothing(scene: Scene, way: str) -> None:
    ride = (await scene.book())["ride"]
    await scene.move(ride, "COMPLETED", fare=500)
    await scene.service.control(way=way)

    assert await scene.sweep() == 0
    before = await scene.now(ride)
    await scene.service.control(way="")
    assert await scene.sweep(60) == 1

    assert before["state"] == "ACCEPTED"
    assert (await scene.now(ride))["state"] == "COMPLETED"


async def test_a_word_that_makes_no_sense_is_not_kept(scene: Scene) -> None:
    ride = (await scene.book())["ride"]

    await scene.move(ride, "FLYING")
    assert await scene.sweep() == 0
    await scene.move(ride, "UNDERWAY")
    assert await scene.sweep(60) == 1
    await scene.move(ride, "ARRIVED")
    await scene.sweep(120)

    assert (await scene.now(ride))["state"] == "UNDERWAY"
