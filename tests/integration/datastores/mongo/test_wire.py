"""Commands on connections of the driver's: to the primary alone, given up with it, and none is lost to who gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.settings import TopologySettings
from pymongo.errors import AutoReconnect, OperationFailure
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription
from pymongo.topology_description import TOPOLOGY_TYPE, TopologyDescription

from datastores.mongo import Database, Document, Driver
from datastores.mongo.wire import MAX_CONNECTIONS, Wire

NAME = "agora_test_wire"


@pytest.fixture
def told() -> list[tuple[str, str, bool]]:
    return []


class Known:
    """What is known of servers; `primary` in place of what the client found, where it is given."""

    def __init__(self, client: AsyncMongoClient[Document]) -> None:
        self._client = client
        self.instead: TopologyDescription | None = None

    def __call__(self) -> TopologyDescription:
        return self.instead or self._client.topology_description

    def primary_is(self, address: tuple[str, int | None] | None) -> None:
        """From now on this address is thought to be primary."""
        servers = (
            {}
            if address is None
            else {
                address: ServerDescription(address, Hello({"ok": 1, "isWritablePrimary": True, "maxWireVersion": 21}))
            }
        )
        self.instead = TopologyDescription(TOPOLOGY_TYPE.Single, servers, None, None, None, TopologySettings())


@pytest.fixture
async def client(mongodb_uri: str) -> AsyncIterator[AsyncMongoClient[Document]]:
    async with AsyncMongoClient[Document](mongodb_uri) as client:
        await client[NAME]["books"].insert_many([{"_id": n} for n in range(10)])
        yield client
        await client.drop_database(NAME)


@pytest.fixture
def known(client: AsyncMongoClient[Document]) -> Known:
    return Known(client)


@pytest.fixture
async def wire(mongodb_uri: str, known: Known, told: list[tuple[str, str, bool]]) -> AsyncIterator[Wire]:
    def on_command(name: str, collection: str, _seconds: float, succeeded: bool) -> None:
        told.append((name, collection, succeeded))

    wire = Wire(AsyncMongoClient(mongodb_uri), NAME, known, on_command)
    yield wire
    await wire.close()


def find(n: int) -> Document:
    return {"find": "books", "filter": {"_id": n}}


async def test_a_command_is_answered_and_told_of(wire: Wire, told: list[tuple[str, str, bool]]) -> None:
    answer = await wire.command(find(3))

    assert answer["cursor"]["firstBatch"] == [{"_id": 3}]
    assert told == [("find", "books", True)]


async def test_a_refusal_is_the_drivers_own_error(wire: Wire, told: list[tuple[str, str, bool]]) -> None:
    with pytest.raises(OperationFailure, match="no such command") as refused:
        await wire.command({"nothing": "books"})

    assert refused.value.code == 59
    assert told == [("nothing", "books", False)]
    assert (await wire.command(find(1)))["ok"] == 1


async def test_each_of_many_gets_its_own_answer_over_few_connections(wire: Wire) -> None:
    wanted = [n % 10 for n in range(400)]

    answers = await asyncio.gather(*(wire.command(find(n)) for n in wanted))

    assert [answer["cursor"]["firstBatch"] for answer in answers] == [[{"_id": n}] for n in wanted]
    assert 1 <= wire.connections <= MAX_CONNECTIONS


async def test_whoever_gives_up_costs_no_connection_and_nobody_gets_their_answer(wire: Wire) -> None:
    await wire.command(find(0))
    for _ in range(20):
        tasks = [asyncio.ensure_future(wire.command(find(n % 10))) for n in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()

        kept = await asyncio.gather(*tasks[1::2])

        assert [answer["cursor"]["firstBatch"] for answer in kept] == [[{"_id": n % 10}] for n in range(1, 50, 2)]
    assert wire.connections <= MAX_CONNECTIONS


async def test_commands_under_way_are_lost_with_their_primary(wire: Wire, known: Known) -> None:
    await wire.command(find(1))
    waiting = asyncio.ensure_future(wire.command(find(2)))
    await asyncio.sleep(0)
    known.primary_is(None)

    wire.look()

    with pytest.raises(AutoReconnect, match="connection closed"):
        await waiting
    with pytest.raises(AutoReconnect, match="no primary"):
        await wire.command(find(1))
    assert wire.connections == 0


async def test_what_another_than_the_known_primary_would_answer_is_not_asked(wire: Wire, known: Known) -> None:
    await wire.command(find(1))

    known.primary_is(("elsewhere.invalid", 27017))

    with pytest.raises(AutoReconnect, match="another primary"):
        await wire.command(find(1))
    assert wire.connections == 0


async def test_reads_of_a_database_take_this_way(mongodb_uri: str, mongo_driver: Driver) -> None:
    database = await Database.connect(mongodb_uri, name=NAME, driver=mongo_driver)
    await database.insert_one("books", {"_id": 1})

    found = await database.find_one("books", {"_id": 1})

    assert found == {"_id": 1}
    assert database._wire.connections == 1
    await database.drop()
    await database.close()
