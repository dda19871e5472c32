"""Rides over real sockets: booked, followed and paid, in one process and as a subgraph, with a service that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import uvicorn

from datastores.mongo import Driver
from datastores.paging import encode_cursor
from gateway.app import open_gateway
from gateway.cli.serving import listen, server_config
from gateway.execution.requests import OperationRequest
from gateway.identity.identities import Person
from gateway.services import UpstreamClient
from gateway.services.breakers import Breaker
from gateway.settings import DEVELOPMENT_ISSUER, MongoDriver, Settings, SettingsError
from schema.graph import whole_graph
from tests.contract.town import Town, open_town
from tests.differential.comparing import RawExecutor, answers, differences
from tests.rides_service import PAYEE, RidesService, rides_service

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE_S = 40

QUOTES = """
{ rideQuotes(pickup: "Square", dropoff: "Ferry", currency: "EUR") { id product maxFare { amount currency } } }
"""
BOOK = """
mutation ($input: BookRideInput!) { bookRide(input: $input) { __typename
  ... on BookRideSuccess { replayed cursor ride { id state trip { driver } transfer { state recipient { handle } } } }
  ... on Error { code message } } }
"""
CANCEL = """
mutation ($input: CancelRideInput!) { cancelRide(input: $input) { __typename
  ... on CancelRideSuccess { cursor ride { id state } } ... on Error { code message } } }
"""
TRIPS = """
{ viewer { id rides(first: 5) { nodes { id state maxFare { amount } trip { pickup driver } } } }
  user(handle: "bob") { handle } }
"""
UPDATES = """
subscription ($id: ID!, $after: Cursor) {
  rideUpdated(rideId: $id, after: $after) { cursor ride { state fare { amount } transfer { state } } } }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service() -> AsyncIterator[RidesService]:
    async with rides_service() as service:
        yield service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the master key is."""
    return tmp_path_factory.mktemp("rides")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(
    service: RidesService, mongodb_uri: str, mongo_driver: Driver, folder: Path, pytestconfig: pytest.Config
) -> AsyncIterator[Town]:
    topology = pytestconfig.getoption("topology")
    async with open_town(mongodb_uri, mongo_driver, folder, topology, **service.settings) as town:
        yield town


@pytest_asyncio.fixture(loop_scope="session")
async def well(service: RidesService, town: Town) -> AsyncIterator[RidesService]:
    """The service, which is well again after the test, and the breaker closed."""
    yield service
    await service.control(way="")
    if town.subgraphs:
        # The breaker of another process closes by itself.
        async with asyncio.timeout(PATIENCE_S):
            while (await town.post("alice", QUOTES)).json()["data"]["rideQuotes"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return
    client: Any = town.gateway.contexts.of_viewer().services["rides"]
    client.breaker = Breaker()


async def quote(town: Town, who: str = "alice") -> Any:
    return (await town.ask(who, QUOTES))["rideQuotes"][0]


async def book(town: Town, who: str = "alice", **more: Any) -> Any:
    offered = await quote(town, who)
    given = {"idempotencyKey": uuid4().hex, "quoteId": offered["id"], "expectedMaxFare": offered["maxFare"], **more}
    return (await town.ask(who, BOOK, input=given))["bookRide"]


async def test_a_ride_is_booked_followed_and_paid(town: Town, well: RidesService) -> None:
    booked = await book(town)
    ride = booked["ride"]

    events = []
    async with town.subscribed("alice", UPDATES, id=ride["id"], after=booked["cursor"]) as updates:
        for stage in ("ARRIVED", "UNDERWAY", "COMPLETED"):
            await well.control(reference=ride["id"], stage=stage, fare=450)
            events.append((await updates.next())["rideUpdated"])
        end = await updates.message()

    assert booked["replayed"] is False
    assert (ride["state"], ride["transfer"]["recipient"]["handle"]) == ("ACCEPTED", PAYEE)
    assert [event["ride"]["state"] for event in events] == ["ARRIVED", "UNDERWAY", "COMPLETED"]
    assert events[-1]["ride"]["fare"] == {"amount": "4.50"}
    assert events[-1]["ride"]["transfer"]["state"] == "POSTED"
    assert end["type"] == "complete"
    async with town.subscribed("alice", UPDATES, id=ride["id"], after=events[0]["cursor"]) as updates:
        assert (await updates.next())["rideUpdated"]["cursor"] == events[1]["cursor"]


async def test_cursors_that_are_of_no_use_to_a_ride_are_refused(town: Town, well: RidesService) -> None:
    ride, another = (await book(town))["ride"]["id"], await book(town)
    future = encode_cursor(f"ride/{ride}", 2**40)

    for who, after, code in (
        ("alice", another["cursor"], "INVALID_INPUT"),
        ("alice", future, "INVALID_INPUT"),
        ("alice", "x", "INVALID_INPUT"),
        ("bob", another["cursor"], "NOT_FOUND"),
        ("bob", future, "NOT_FOUND"),
    ):
        async with town.subscribed(who, UPDATES, id=ride, after=after) as updates:
            message = await updates.message()

        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code), (who, after)


async def test_a_ride_is_called_off(town: Town, well: RidesService) -> None:
    ride = (await book(town))["ride"]

    answers = [(await town.ask("alice", CANCEL, input={"rideId": ride["id"]}))["cancelRide"] for _ in range(2)]

    assert answers[0] == answers[1]
    assert answers[0]["ride"]["state"] == "CANCELLED"


async def test_nobody_else_gets_at_a_ride(town: Town, well: RidesService) -> None:
    ride = (await book(town))["ride"]
    look = "query ($id: ID!) { ride(id: $id) { id } node(id: $id) { id } }"

    theirs = await town.ask("alice", look, id=ride["id"])
    for who in ("bob", PAYEE, None, "pay-watch"):
        seen = (await town.post(who, look, id=ride["id"])).json()
        assert seen["data"] == {"ride": None, "node": None}, who
    refused = (await town.ask("bob", CANCEL, input={"rideId": ride["id"]}))["cancelRide"]
    nobody = (await town.post(None, CANCEL, input={"rideId": ride["id"]})).json()

    assert theirs == {"ride": {"id": ride["id"]}, "node": {"id": ride["id"]}}
    assert refused["code"] == "NOT_FOUND"
    assert nobody["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await town.ask(None, QUOTES))["rideQuotes"] is None


@pytest.mark.parametrize("way", ["down", "error", "garbage", "other", "huge", "refuse", "redirect"])
async def test_where_the_service_fails_the_rest_of_the_answer_stands(town: Town, well: RidesService, way: str) -> None:
    await book(town, "carol")
    await well.control(way=way)

    # The first is executed by graphql-core, those after it are compiled.
    seen = [(await town.post("carol", TRIPS)).json() for _ in range(3)]
    quotes = (await town.post("carol", QUOTES)).json()

    for answer in seen:
        nodes = answer["data"]["viewer"]["rides"]["nodes"]
        assert answer["data"]["user"] == {"handle": "bob"}
        assert {node["trip"] and node["trip"]["pickup"] for node in nodes} == {None}
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"UPSTREAM_UNAVAILABLE"}
        assert {tuple(error["path"][:3]) for error in answer["errors"]} == {("viewer", "rides", "nodes")}
    assert quotes["data"] == {"rideQuotes": None}
    assert quotes["errors"][0]["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"
    assert well.token not in json.dumps([seen, quotes])


async def test_it_is_found_again_without_a_restart(town: Town, well: RidesService) -> None:
    await well.control(way="down")
    for _ in range(3):
        await town.post("alice", QUOTES)
    await well.control(way="")

    async with asyncio.timeout(15):
        while (await town.post("alice", QUOTES)).json()["data"]["rideQuotes"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    metrics = "".join(await town.metrics())
    assert 'agora_service_calls_total{outcome="failure",service="rides"}' in metrics
    assert 'agora_service_calls_total{outcome="open",service="rides"}' in metrics


async def test_a_booking_without_an_answer_says_so(town: Town, well: RidesService) -> None:
    offered = await quote(town)
    given = {"idempotencyKey": uuid4().hex, "quoteId": offered["id"], "expectedMaxFare": offered["maxFare"]}
    await well.control(way="down", at="POST /bookings")

    asked = (await town.post("alice", BOOK, input=given)).json()["data"]["bookRide"]
    await well.control(way="")
    async with asyncio.timeout(20):
        again = asked
        while again["ride"]["state"] == "REQUESTED":
            await asyncio.sleep(0.1)
            again = (await town.ask("alice", BOOK, input=given))["bookRide"]

    assert (asked["__typename"], asked["ride"]["state"]) == ("BookRideSuccess", "REQUESTED")
    assert (again["replayed"], again["ride"]["state"]) == (True, "ACCEPTED")


async def test_what_cannot_be_booked_is_a_typed_error(town: Town, well: RidesService) -> None:
    offered = await quote(town)
    money = offered["maxFare"]
    codes = {}

    for name, more in {
        "another fare": {"quoteId": offered["id"], "expectedMaxFare": {"amount": "0.01", "currency": "EUR"}},
        "no quote": {"quoteId": "q_none", "expectedMaxFare": money},
        "no amount": {"quoteId": offered["id"], "expectedMaxFare": {"amount": "0", "currency": "EUR"}},
        "no key": {"quoteId": offered["id"], "expectedMaxFare": money, "idempotencyKey": ""},
    }.items():
        given = {"idempotencyKey": uuid4().hex, **more}
        codes[name] = (await town.ask("alice", BOOK, input=given))["bookRide"]["code"]
    await well.control(way="down")
    given = {"idempotencyKey": uuid4().hex, "quoteId": offered["id"], "expectedMaxFare": money}
    codes["no service"] = (await town.ask("alice", BOOK, input=given))["bookRide"]["code"]

    assert codes == {
        "another fare": "CONFLICT",
        "no quote": "NOT_FOUND",
        "no amount": "INVALID_INPUT",
        "no key": "INVALID_INPUT",
        "no service": "UPSTREAM_UNAVAILABLE",
    }


@pytest.mark.parametrize("way", ["", "down", "other"])
async def test_it_answers_compiled_as_by_graphql_core(town: Town, well: RidesService, way: str) -> None:
    await book(town, "dave")
    await well.control(way=way)
    graph = whole_graph()
    reference, compiled = RawExecutor(graph, compiles=False), RawExecutor(graph, compiles=True)
    person = Person(DEVELOPMENT_ISSUER, "dave", "dave", None, 2e9)
    context = await town.gateway.contexts.open(person, "compare")
    client: Any = context.services["rides"]

    for document in (TRIPS, "{ viewer { rides(first: 1) { nodes { trip { driver vehicle minutesLeft } } } } }"):
        request = OperationRequest(document, persisted=True)
        seen = []
        for executor in (reference, compiled):
            services = {"rides": UpstreamClient("rides", well.upstream, client._client)}
            seen.append(await answers(executor, request, replace(context, services=services)))
        assert [str(each) for each in differences(seen[0], seen[1], [])] == []

    assert compiled.ran["compiled"] + compiled.ran["violation"] == 2, compiled.ran


@asynccontextmanager
async def subgraph(town: Town, uri: str, driver: Driver, service: RidesService, folder: Path) -> AsyncIterator[str]:
    """The domain alone, as `agora subgraph rides` serves it, over the town's database."""
    settings = Settings(
        port=0,
        data_dir=folder,
        database=town.gateway.database.name,
        mongo_driver=MongoDriver(driver),
        **service.settings,
    )
    async with open_gateway(settings, uri, issuer=town.issuer, domain="rides") as gateway:
        listener = listen(settings)
        server = uvicorn.Server(server_config(gateway))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        finally:
            server.should_exit = True
            await gateway.stop()
            await serving
            listener.close()


async def test_the_domain_alone_is_a_subgraph(
    town: Town, well: RidesService, mongodb_uri: str, mongo_driver: Driver, folder: Path
) -> None:
    ride = (await book(town))["ride"]["id"]
    entities = """
    query ($of: [_Any!]!) { _entities(representations: $of) {
      ... on Ride { state transfer { id } rider { id } trip { pickup } }
      ... on Viewer { rides(first: 1) { nodes { id } } } } }
    """
    alice = await town.id_of("alice")
    of = [{"__typename": "Ride", "id": ride}, {"__typename": "Viewer", "id": alice}]
    async with subgraph(town, mongodb_uri, mongo_driver, well, folder) as url:

        async def ask(who: str | None, document: str, **variables: Any) -> Any:
            body = {"query": document, "variables": variables}
            response: httpx.Response = await town.http.post(url, json=body, headers=town.authorization(who))
            return response.json()

        own = await ask("alice", entities, of=of)
        others = await ask("bob", entities, of=of)
        quotes = await ask("alice", QUOTES)
        await well.control(way="down")
        without = await ask("alice", entities, of=of)

    assert "errors" not in own, own
    assert own["data"]["_entities"][0]["rider"] == {"id": alice}
    assert own["data"]["_entities"][0]["trip"] == {"pickup": "Square"}
    assert own["data"]["_entities"][1] == {"rides": {"nodes": [{"id": ride}]}}
    assert others["data"]["_entities"] == [None, None]
    assert len(quotes["data"]["rideQuotes"]) == 3
    assert without["data"]["_entities"][0]["state"] == "ACCEPTED"
    assert without["data"]["_entities"][0]["trip"] is None
    assert without["errors"][0]["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"


async def test_a_service_that_no_domain_asks_is_refused_at_start(town: Town, mongodb_uri: str) -> None:
    settings = Settings(database=town.gateway.database.name, service_urls=(("taxis", "http://127.0.0.1:9"),))

    with pytest.raises(SettingsError, match="AGORA_SERVICE_TAXIS_URL"):
        async with open_gateway(settings, mongodb_uri):
            pass
