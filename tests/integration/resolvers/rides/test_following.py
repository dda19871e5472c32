"""What a rider sees of a ride, live and from the service, and what a killed process leaves to others."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from datastores.errors import UpstreamUnavailableError, ValidationError
from datastores.ledger import decimal_amount
from datastores.mongo import Driver
from datastores.rides import RideDocument
from gateway.live.hub import Hub
from resolvers import rides
from tests.integration.resolvers.listening import Listener, heard, listening
from tests.integration.resolvers.rides.scenes import Scene

ROOT = Path(__file__).resolve().parents[4]
LIMIT_S = 30.0


def updates(scene: Scene, ride: RideDocument, after: str | None = None) -> Any:
    return cast(Any, rides.ride_updated(scene.ctx(), ride_id=ride["_id"], after=after))


async def test_it_is_followed_to_its_end(scene: Scene, hub: Hub) -> None:
    booked = await scene.book()
    ride = booked["ride"]
    states = []

    async with listening(updates(scene, ride, booked["cursor"]), hub) as listener:
        for stage in ("ARRIVED", "UNDERWAY", "COMPLETED"):
            listener.listen()
            await scene.move(ride, stage)
            await scene.sweep()
            (event,) = await listener.hear(1)
            states.append(event["ride"]["state"])
        assert await listener.hears_the_end()

    assert states == ["ARRIVED", "UNDERWAY", "COMPLETED"]


async def test_what_was_missed_is_heard_from_any_cursor(scene: Scene) -> None:
    booked = await scene.book()
    for stage in ("ARRIVED", "COMPLETED"):
        await scene.move(booked["ride"], stage)
        await scene.sweep()

    first, second = await heard(updates(scene, booked["ride"], booked["cursor"]), 2)
    (only,) = await heard(updates(scene, booked["ride"], first["cursor"]), 1)
    after_all = Listener(updates(scene, booked["ride"], second["cursor"]))
    without = Listener(updates(scene, booked["ride"]))

    assert only["cursor"] == second["cursor"]
    assert await after_all.hears_the_end()
    assert await without.hears_the_end()
    with pytest.raises(ValidationError):
        await heard(updates(scene, booked["ride"], "nonsense"), 1)


async def test_trips_are_one_call_for_all(scene: Scene) -> None:
    booked = [(await scene.book())["ride"] for _ in range(3)]
    await scene.service.control(forget=booked[1]["_id"])

    trips = await rides.trips(scene.ctx(), booked)
    asked = (await scene.service.control(way="down"))["asked"]
    with pytest.raises(UpstreamUnavailableError):
        await rides.trips(scene.ctx(), booked)

    assert [trip and trip["pickup"] for trip in trips] == ["Square", None, "Square"]
    assert asked.count("GET /bookings") == 1


async def test_rides_are_listed_newest_first(scene: Scene) -> None:
    booked = [(await scene.book())["ride"]["_id"] for _ in range(3)]

    (first,) = await rides.rides_of_viewers(scene.ctx(), [{"_id": scene.ann}], first=2)
    assert first is not None
    cursor = first["page_info"]["end_cursor"]
    (second,) = await rides.rides_of_viewers(scene.ctx(), [{"_id": scene.ann}], first=2, after=cursor)
    assert second is not None

    listed = [edge["node"]["_id"] for page in (first, second) for edge in page["edges"]]
    assert listed == booked[::-1]
    assert await rides.rides_of_viewers(scene.ctx(), [{"_id": scene.victor}]) == [None]


@pytest.mark.parametrize("arrived", [True, False], ids=["the service has got it", "the service has not got it"])
async def test_a_process_that_is_killed_before_the_answer_leaves_one_ride(
    scene: Scene, mongodb_uri: str, mongo_driver: Driver, arrived: bool
) -> None:
    quote = await scene.quote()
    fare = str(decimal_amount(quote["max_fare"]["minor_units"], "EUR"))
    await scene.service.control(way="slow", at="POST /bookings")
    arguments = (
        *(mongodb_uri, scene.database.name, mongo_driver, scene.service.url, scene.service.token),
        *(scene.ann, quote["_id"], fare, "k"),
    )
    module = "tests.integration.resolvers.rides.dying"
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, cwd=ROOT)
    try:
        async with asyncio.timeout(LIMIT_S):
            while (left := await scene.database.find_one("rides", {"rider_id": scene.ann})) is None:
                assert process.returncode is None
                await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
    await scene.service.control(way="")
    if arrived:
        await scene.client.act("/bookings", {"reference": left["_id"], "quote_id": quote["_id"]}, key="k")

    held = await scene.money()
    assert await scene.sweep() == 1
    again = await scene.book(quote, key="k")

    assert left["state"] == "REQUESTED"
    assert held == (10_000, 10_000 - quote["max_fare"]["minor_units"])
    assert (again["replayed"], again["ride"]["_id"], again["ride"]["state"]) == (True, left["_id"], "ACCEPTED")
    assert (await scene.service.control())["bookings"] == [left["_id"]]
    assert await scene.ledger_holds()
