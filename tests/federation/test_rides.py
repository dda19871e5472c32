"""A service of somebody else as a subgraph: booked, followed and paid behind every router."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import pytest

from tests.contract.test_rides import BOOK, QUOTES, TRIPS, UPDATES
from tests.contract.town import Town
from tests.federation.place import Place, first_of_stream, until
from tests.rides_service import PAYEE
from tests.topologies import ROUTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")
RIDE: Final = """query ($id: ID!) { ride(id: $id) {
  state fare { amount } rider { handle } transfer { state recipient { handle } } } }"""


async def book(town: Town, who: str) -> Any:
    """A ride that was booked by the first quote."""
    offered = (await town.ask(who, QUOTES))["rideQuotes"][0]
    given = {"idempotencyKey": uuid4().hex, "quoteId": offered["id"], "expectedMaxFare": offered["maxFare"]}
    return (await town.ask(who, BOOK, input=given))["bookRide"]


@pytest.mark.parametrize("name", ROUTERS)
async def test_a_ride_is_booked_followed_and_paid_by_a_hold(place: Place, name: str) -> None:
    town = place.behind(name)

    booked = await book(town, "alice")
    states: list[str] = []
    id, cursor = booked["ride"]["id"], booked["cursor"]
    for stage in ("ARRIVED", "UNDERWAY", "COMPLETED"):
        await place.rides.control(reference=id, stage=stage, fare=450)
        if town.websocket_url:
            # Each event by a subscription of its own: a socket and a stream in turn, from the cursor of the last.
            event = await followed(town, len(states) % 2 == 0, id, cursor)
            cursor = event["cursor"]
            states.append(event["ride"]["state"])
    await until(lambda: is_paid(town, id), "the ride is over and paid")
    ride = (await town.ask("alice", RIDE, id=id))["ride"]

    assert booked["ride"]["transfer"] == {"state": "PENDING", "recipient": {"handle": PAYEE}}
    assert states == (["ARRIVED", "UNDERWAY", "COMPLETED"] if town.websocket_url else [])
    assert (ride["fare"], ride["rider"]) == ({"amount": "4.50"}, {"handle": "alice"})
    assert (await town.ask("bob", RIDE, id=id))["ride"] is None


async def followed(town: Town, by_socket: bool, id: str, cursor: str) -> Any:
    """The first event after a cursor."""
    if not by_socket:
        return (await first_of_stream(town, "alice", UPDATES, id=id, after=cursor))["data"]["rideUpdated"]
    async with town.subscribed("alice", UPDATES, id=id, after=cursor) as events:
        return (await events.next())["rideUpdated"]


async def is_paid(town: Town, id: str) -> bool:
    """Whether the hold has become a payment."""
    ride = (await town.ask("alice", RIDE, id=id))["ride"]
    return bool((ride["state"], ride["transfer"]["state"]) == ("COMPLETED", "POSTED"))


@pytest.mark.parametrize("name", ROUTERS)
async def test_where_the_service_fails_the_rest_stands_with_our_code(place: Place, name: str) -> None:
    town = place.behind(name)
    await book(town, "carol")

    await place.rides.control(way="down")
    try:
        answer = (await town.post("carol", TRIPS)).json()
    finally:
        await place.rides.control(way="")

    assert answer["data"]["user"] == {"handle": "bob"}
    assert {node["trip"] for node in answer["data"]["viewer"]["rides"]["nodes"]} == {None}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"UPSTREAM_UNAVAILABLE"}
    await until(lambda: has_quotes(town), "the service is asked again")


async def has_quotes(town: Town) -> bool:
    """Whether the service answers."""
    return bool((await town.post("carol", QUOTES)).json()["data"]["rideQuotes"])
