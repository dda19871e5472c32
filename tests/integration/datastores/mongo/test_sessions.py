"""Transactions on connections of the driver's: they begin once, end as it says, and are lost without a trace."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pymongo.errors import AutoReconnect, PyMongoError

from datastores.mongo import Database, Driver, Insert, Update
from datastores.mongo import wire as wires
from datastores.mongo.transactions import is_unknown, may_retry

from .test_reading import Sent, Wire

BOOK = {"_id": 1}


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
async def shelf(mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Database]:
    database = await Database.connect(mongodb_uri, name="agora_test_sessions", driver=mongo_driver)
    await database.drop()
    await database.create_collections({"books": [], "tomes": []})
    yield database
    await database.drop()
    await database.close()


@pytest.fixture
async def wire(mongodb_uri: str) -> AsyncIterator[Wire]:
    async with Wire.to(mongodb_uri) as wire:
        yield wire


@pytest.fixture
async def far(shelf: Database, mongo_driver: Driver, wire: Wire, sent: Sent) -> AsyncIterator[Database]:
    """The shelf, by the wire that can be cut."""
    uri = f"mongodb://127.0.0.1:{wire.port}/?directConnection=true"
    database = await Database.connect(uri, name=shelf.name, driver=mongo_driver, listeners=[sent])
    sent.commands.clear()
    yield database
    await database.close()


async def test_a_transaction_is_its_commands_and_begins_with_the_first(far: Database, sent: Sent) -> None:
    async with far.transaction() as session:
        await far.write_and_commit({"books": [Insert(BOOK)], "tomes": [Insert({"_id": 2})]}, session)

    assert sent.names == ["insert", "insert", "commitTransaction"]
    first, second, commit = (body for _, body in sent.commands)
    assert first["startTransaction"] is True
    assert first["readConcern"] == {"level": "snapshot"}
    assert "startTransaction" not in second
    assert commit["writeConcern"] == {"w": "majority", "j": True, "wtimeout": 20_000}
    assert len({(str(body["lsid"]), body["txnNumber"], body["autocommit"]) for body in (first, second, commit)}) == 1


async def test_what_was_not_committed_is_not_there(shelf: Database) -> None:
    async with shelf.transaction() as session:
        await shelf.write("books", [Insert(BOOK)], session=session)
        within = await shelf.find("books", {}, limit=5, session=session)

    assert within == [BOOK]
    assert await shelf.find("books", {}, limit=5) == []


async def test_a_document_to_update_that_has_gone_undoes_the_transaction(shelf: Database) -> None:
    with pytest.raises(RuntimeError, match="1 documents to update have gone"):
        async with shelf.transaction() as session:
            await shelf.write_and_commit({"books": [Insert(BOOK)], "tomes": [Update("none", {"a": 1})]}, session)

    assert await shelf.find("books", {}, limit=5) == []


async def test_what_one_message_does_not_hold_is_written_in_several(
    far: Database, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As large as it really is, a transaction of several takes longer on a busy machine than the server lets it live.
    monkeypatch.setattr(wires, "MAX_COMMAND_BYTES", 20_000)
    tomes = [{"_id": n, "text": "x" * 1_000} for n in range(40)]

    async with far.transaction() as session:
        await far.write_and_commit({"tomes": [Insert(tome) for tome in tomes]}, session)

    assert sent.names == ["insert"] * 4 + ["commitTransaction"]
    assert await far.find("tomes", {}, limit=50, sort=[("_id", 1)]) == tomes


async def test_a_transaction_whose_connection_is_lost_may_be_tried_again(
    shelf: Database, far: Database, wire: Wire
) -> None:
    wire.cut_at = b"tomes"

    with pytest.raises(AutoReconnect) as lost:
        async with far.transaction() as session:
            await far.write_and_commit({"books": [Insert(BOOK)], "tomes": [Insert(BOOK)]}, session)
    async with far.transaction() as session:
        await far.write_and_commit({"books": [Insert(BOOK)]}, session)

    assert may_retry(lost.value, 0)
    assert not is_unknown(lost.value)
    assert await shelf.find("books", {}, limit=5) == [BOOK]
    assert await shelf.find("tomes", {}, limit=5) == []


@pytest.mark.parametrize("delivers", [True, False])
async def test_a_commit_whose_connection_is_lost_is_sent_again(
    shelf: Database, far: Database, wire: Wire, sent: Sent, delivers: bool
) -> None:
    wire.cut_at, wire.delivers = b"commitTransaction", delivers

    async with far.transaction() as session:
        await far.write_and_commit({"books": [Insert(BOOK)]}, session)

    assert sent.names == ["insert", "commitTransaction", "commitTransaction"]
    assert await shelf.find("books", {}, limit=5) == [BOOK]


async def test_a_commit_of_what_the_server_has_ended_may_be_tried_again(shelf: Database) -> None:
    async with shelf.transaction() as session:
        await shelf.write("books", [Insert(BOOK)], session=session)
        await shelf._raw.command({"killSessions": [session.raw.session_id]})

        with pytest.raises(PyMongoError) as ended:
            await session.commit()

    assert may_retry(ended.value, 0)
    assert await shelf.find("books", {}, limit=5) == []
