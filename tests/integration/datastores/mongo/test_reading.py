"""Reads through the seam: a command where the answer fits one message, a cursor where it does not, lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.uri_parser import parse_uri

from datastores.gathered import GatheredDatabase
from datastores.mongo import Database, Driver

LARGE = "x" * 1_000_000


class Sent(CommandListener):
    """The names and bodies of the commands that were sent."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.commands]

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nobody asks."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nobody asks."""


class Wire:
    """A port of this machine that leads to a database, and is cut once at the next message with certain bytes in it.

    The message does not arrive, or, where it `delivers`, arrives and is not answered.
    """

    def __init__(self, host: str, port: int) -> None:
        self.cut_at = b""
        self.delivers = False
        self.port = 0
        self._target = (host, port)

    @classmethod
    @asynccontextmanager
    async def to(cls, uri: str) -> AsyncIterator[Wire]:
        ((host, port), *_) = parse_uri(uri)["nodelist"]
        wire = cls(host, port)
        server = await asyncio.start_server(wire._carry, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        async with server:
            yield wire

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answers, far = await asyncio.open_connection(*self._target)
        answering = asyncio.create_task(self._copy(answers, back))
        try:
            while data := await near.read(65_536):
                if self.cut_at and self.cut_at in data:
                    self.cut_at = b""
                    if self.delivers:
                        answering.cancel()
                        far.write(data)
                    break
                far.write(data)
        finally:
            answering.cancel()
            for writer in (far, back):
                writer.close()
            await asyncio.gather(answering, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
async def shelf(mongodb_uri: str, mongo_driver: Driver, sent: Sent) -> AsyncIterator[Database]:
    database = await Database.connect(mongodb_uri, name="agora_test_shelf", driver=mongo_driver, listeners=[sent])
    await database.drop()
    await database.insert_many("books", [{"_id": n, "shelf": n % 3} for n in range(300)])
    sent.commands.clear()
    yield database
    await database.drop()
    await database.close()


async def test_what_is_written_in_a_transaction_is_made_where_it_was_not(shelf: Database) -> None:
    made = {"$setOnInsert": {"shelf": 9}}

    async with shelf.transaction() as session:
        await shelf.update_by_ids("books", {1: made, "new": made}, upsert=True, session=session)
        await shelf.update_by_ids("books", {"not": {"$set": {"shelf": 9}}}, session=session)
        await session.commit()

    found = await shelf.find("books", {"_id": {"$in": [1, "new", "not"]}}, limit=9, sort=[("shelf", 1)])
    assert found == [{"_id": 1, "shelf": 1}, {"_id": "new", "shelf": 9}]


async def test_a_find_is_one_command_that_majorities_have_seen(shelf: Database, sent: Sent) -> None:
    found = await shelf.find(
        "books", {"shelf": 1}, limit=5, sort=[("shelf", 1), ("_id", -1)], projection={"_id": 1}, hint=[("_id", 1)]
    )

    assert found == [{"_id": n} for n in (298, 295, 292, 289, 286)]
    ((name, body),) = sent.commands
    assert name == "find"
    assert body["readConcern"] == {"level": "majority"}
    assert {key: body[key] for key in ("limit", "sort", "projection", "hint")} == {
        "limit": 5,
        "sort": {"shelf": 1, "_id": -1},
        "projection": {"_id": 1},
        "hint": {"_id": 1},
    }


async def test_reads_by_id_of_one_moment_are_one_command(shelf: Database, sent: Sent) -> None:
    await shelf.insert_many("people", [{"_id": f"p{n}", "friends": [n]} for n in range(30)])
    sent.commands.clear()

    found = await asyncio.gather(
        *(shelf.by_ids("people", ["nobody", f"p{n}"], projection={"friends": 1}) for n in range(30)),
        shelf.by_ids("people", ["p1"]),
        shelf.by_ids("books", ["p1"]),
    )

    assert found == [
        *([None, {"_id": f"p{n}", "friends": [n]}] for n in range(30)),
        [{"_id": "p1", "friends": [1]}],
        [None],
    ]
    assert sorted((body["find"], len(body["filter"]["_id"]["$in"])) for _, body in sent.commands) == [
        ("books", 1),
        ("people", 1),
        ("people", 31),
    ]


async def test_many_large_answers_at_once_come_to_those_who_asked(shelf: Database) -> None:
    text = "x" * 2_000
    await shelf.insert_many("papers", [{"_id": n, "shelf": n % 40, "text": text} for n in range(400)])
    asked = [asyncio.create_task(shelf.find("papers", {"shelf": n}, limit=20, sort=[("_id", 1)])) for n in range(40)]
    await asyncio.sleep(0.005)
    for task in asked[::3]:
        task.cancel()

    found = await asyncio.gather(*asked, return_exceptions=True)

    for n, papers in enumerate(found):
        if not isinstance(papers, asyncio.CancelledError):
            assert papers == [{"_id": n + 40 * at, "shelf": n, "text": text} for at in range(10)]
    assert sum(isinstance(papers, list) for papers in found) >= 26
    assert len(await shelf.find("papers", {"shelf": 1}, limit=20)) == 10


async def test_gathered_reads_stay_equal(shelf: Database, sent: Sent) -> None:
    gathered = GatheredDatabase(shelf)
    await shelf.insert_many("people", [{"_id": f"p{n}"} for n in range(3)])
    sent.commands.clear()

    asked = [gathered.by_ids("people", [f"p{n % 3}", "nobody"]) for n in range(30)]
    found = await asyncio.gather(*asked, shelf.by_ids("people", ["p1"]))

    assert found == [*([{"_id": f"p{n % 3}"}, None] for n in range(30)), [{"_id": "p1"}]]
    assert len({id(person) for person, *_ in found}) == 31
    assert sorted(body["filter"]["_id"]["$in"] for _, body in sent.commands) == [
        ["p0", "nobody"],
        ["p1"],
        ["p1", "nobody"],
        ["p2", "nobody"],
    ]


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 299, 300, 301, 100_000])
async def test_as_many_as_are_asked_for_come_in_one_message(shelf: Database, sent: Sent, limit: int) -> None:
    by_find = await shelf.find("books", {}, limit=limit)
    by_aggregation = await shelf.aggregate("books", [{"$match": {}}, {"$limit": limit}])

    assert len(by_find) == len(by_aggregation) == min(limit, 300)
    assert sent.names == ["find", "aggregate"]
    assert sent.commands[1][1]["readConcern"] == {"level": "majority"}


@pytest.mark.parametrize("read", ["find", "aggregate"])
async def test_what_does_not_fit_one_message_is_read_to_its_end(shelf: Database, sent: Sent, read: str) -> None:
    for n in range(20):
        await shelf.insert_one("tomes", {"_id": n, "text": LARGE})
    sent.commands.clear()

    found = await (shelf.find("tomes", {}, limit=50) if read == "find" else shelf.aggregate("tomes", []))

    assert [tome["_id"] for tome in found] == list(range(20))
    assert sent.names == [read, "killCursors", read, "getMore"]


@pytest.mark.parametrize("read", ["find", "aggregate"])
async def test_a_read_whose_connection_is_lost_is_sent_again(
    shelf: Database, mongodb_uri: str, mongo_driver: Driver, sent: Sent, read: str
) -> None:
    async with Wire.to(mongodb_uri) as wire:
        uri = f"mongodb://127.0.0.1:{wire.port}/?directConnection=true"
        far = await Database.connect(uri, name=shelf.name, driver=mongo_driver, listeners=[sent])
        wire.cut_at = read.encode()

        found = await (far.find("books", {}, limit=5) if read == "find" else far.aggregate("books", [{"$limit": 5}]))

        assert len(found) == 5
        assert [name for name in sent.names if name == read] == [read, read]
        await far.close()


async def test_a_read_that_is_wrong_is_sent_once(shelf: Database, sent: Sent) -> None:
    with pytest.raises(Exception, match="unknown top level operator"):
        await shelf.find("books", {"$nothing": 1}, limit=1)

    assert sent.names == ["find"]
