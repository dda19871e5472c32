"""Several processes on one database are one gateway: the contract holds through a proxy that knows nothing of them."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from datastores import ledger
from datastores.mongo import Driver
from tests.contract import (
    test_semantics_conversations,
    test_semantics_exchanges,
    test_semantics_holds,
    test_semantics_money,
    test_semantics_orders,
    test_semantics_paging,
    test_semantics_posts,
    test_semantics_requests,
    test_semantics_streams,
    test_semantics_who,
)
from tests.contract.fleet import Fleet, fleet_of
from tests.contract.town import Town, open_town

pytestmark = pytest.mark.asyncio(loop_scope="session")

Case = Callable[[Town], Awaitable[None]]
PAY = """
mutation ($input: TransferFundsInput!) { transferFunds(input: $input) { __typename
  ... on TransferFundsSuccess { replayed cursor transfer { id } } ... on Error { code } } }
"""
BALANCES = """
subscription ($after: Cursor) { balanceChanged(after: $after) { cursor entry { seq transfer { id } } } }
"""
MODULES = (
    test_semantics_money,
    test_semantics_posts,
    test_semantics_conversations,
    test_semantics_requests,
    test_semantics_holds,
    test_semantics_streams,
    test_semantics_orders,
    test_semantics_exchanges,
    test_semantics_paging,
    test_semantics_who,
)


def cases() -> list[Any]:
    """Every test of these modules that needs nothing but the town."""
    found = []
    for module in MODULES:
        for name, test in inspect.getmembers(module, inspect.iscoroutinefunction):
            if name.startswith("test_") and list(inspect.signature(test).parameters) == ["town"]:
                where = str(module.__name__).rpartition(".test_semantics_")[2]
                found.append(pytest.param(test, id=f"{where}-{name.removeprefix('test_')}"))
    return found


CASES = cases()
KILLED_AT = {CASES[len(CASES) // 3].values[0], CASES[2 * len(CASES) // 3].values[0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(mongodb_uri: str, mongo_driver: Driver, folder: Path) -> AsyncIterator[tuple[Fleet, Town]]:
    async with open_town(mongodb_uri, mongo_driver, folder) as town, fleet_of(town, mongodb_uri, folder) as served:
        yield served


@pytest.fixture
def fleet(served: tuple[Fleet, Town]) -> Fleet:
    return served[0]


@pytest.fixture
def town(served: tuple[Fleet, Town]) -> Town:
    return served[1]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("case", CASES)
async def test_the_contract_holds(fleet: Fleet, town: Town, case: Case) -> None:
    if case in KILLED_AT:
        await fleet.replace(next(iter(fleet.processes)))

    await case(town)


async def test_there_was_a_turn_for_each(fleet: Fleet, town: Town) -> None:
    for _ in range(4):
        await town.ask(None, "{ __typename }")

    assert len(CASES) > 80
    assert all(fleet.proxy.taken.get(port, 0) > 1 for port in fleet.processes)
    assert len(fleet.processes) == 2


async def test_no_payment_is_lost_or_doubled_where_a_process_is_killed(fleet: Fleet, town: Town) -> None:
    bob = await town.id_of("bob")
    keys = [uuid4().hex for _ in range(60)]
    victim = next(iter(fleet.processes))
    unanswered: list[str] = []
    answered = asyncio.Event()

    async def pay(key: str) -> tuple[str, bool]:
        given = {"idempotencyKey": key, "to": {"userId": bob}, "amount": {"amount": "0.01", "currency": "EUR"}}
        while True:
            try:
                paid = (await town.ask("alice", PAY, input=given))["transferFunds"]
            except (httpx.TransportError, ValueError):
                unanswered.append(key)
                await asyncio.sleep(0.05)
                continue
            answered.set()
            assert paid["__typename"] == "TransferFundsSuccess", paid
            return paid["transfer"]["id"], paid["replayed"]

    async with asyncio.TaskGroup() as group:
        payments = [group.create_task(pay(key)) for key in keys[:30]]
        await answered.wait()
        replaced = group.create_task(fleet.replace(victim))
        payments += [group.create_task(pay(key)) for key in keys[30:]]

    ids = {task.result()[0] for task in payments}
    assert len(ids) == 60
    assert replaced.result() in fleet.processes
    report = await ledger.verify(town.gateway.database)
    assert report.problems == []
    written = await town.gateway.database.find("entries", {"key": {"$in": keys}}, limit=100)
    assert len(written) == 60


async def test_a_stream_goes_on_from_its_cursor_at_another_process(fleet: Fleet, town: Town) -> None:
    bob = await town.id_of("bob")

    async def pay() -> Any:
        given = {
            "idempotencyKey": uuid4().hex, "to": {"userId": bob}, "amount": {"amount": "0.02", "currency": "EUR"},
        }  # fmt: skip
        return (await town.ask("alice", PAY, input=given))["transferFunds"]

    first = await pay()
    socket = await subscribe(town, first["cursor"])
    second = await pay()
    heard = await next_event(socket)
    for port in list(fleet.processes):
        await fleet.replace(port)
    with pytest.raises(Exception, match=r"no close frame|ConnectionClosed|connection"):
        await socket.recv()
    while_away = [await pay() for _ in range(3)]
    again = await subscribe(town, heard["cursor"])
    missed = [await next_event(again) for _ in range(3)]
    await again.close()

    assert heard["entry"]["transfer"]["id"] == second["transfer"]["id"]
    assert [event["entry"]["transfer"]["id"] for event in missed] == [paid["transfer"]["id"] for paid in while_away]


async def test_what_happens_at_one_process_is_live_at_the_other(fleet: Fleet, town: Town) -> None:
    bob = await town.id_of("bob")
    since = await money(town, bob)
    # One connection after the other: the two sockets are at different processes.
    sockets = [await subscribe(town, since) for _ in range(2)]

    paid = [await money(town, bob) for _ in range(2)]
    heard = [[(await next_event(socket))["cursor"] for _ in paid] for socket in sockets]
    for socket in sockets:
        await socket.close()

    assert heard == [paid, paid]


async def money(town: Town, to: str) -> str:
    """The cursor of a payment of Alice's."""
    given = {"idempotencyKey": uuid4().hex, "to": {"userId": to}, "amount": {"amount": "0.03", "currency": "EUR"}}
    return str((await town.ask("alice", PAY, input=given))["transferFunds"]["cursor"])


async def test_a_document_registered_at_one_process_is_known_at_the_other(fleet: Fleet, town: Town) -> None:
    text = f"query Registered{uuid4().hex[:8]} {{ __typename }}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    ports = list(fleet.processes)

    async def ask(port: int, **body: Any) -> Any:
        return (await town.http.post(f"http://127.0.0.1:{port}/graphql", json=body)).json()

    unknown = await ask(ports[0], extensions=extensions)
    registered = await ask(ports[0], query=text, extensions=extensions)
    found = await ask(ports[1], extensions=extensions)
    await fleet.replace(ports[0])
    after_restart = await ask(list(fleet.processes)[-1], documentId=f"sha256:{digest}")

    assert unknown["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert registered == found == after_restart == {"data": {"__typename": "Query"}}


async def subscribe(town: Town, after: str) -> Any:
    socket = await connect(town.url.replace("http", "ws", 1), subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
    await socket.send(json.dumps({"type": "connection_init", "payload": town.authorization("alice")}))
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    payload = {"query": BALANCES, "variables": {"after": after}}
    await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
    return socket


async def next_event(socket: Any) -> Any:
    async with asyncio.timeout(20):
        message = json.loads(await socket.recv())
    assert message["type"] == "next", message
    return message["payload"]["data"]["balanceChanged"]
