"""Plans of reads, as the database tells them: what is read by an index, and what is read whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import IndexModel

from datastores import plans
from datastores.mongo import Database, Driver
from datastores.plans import ReadLog, ReadPlan, plan_of


@pytest.fixture
def log() -> ReadLog:
    return ReadLog()


@pytest.fixture
async def town(mongodb_uri: str, mongo_driver: Driver, log: ReadLog) -> AsyncIterator[Database]:
    """A hundred houses and their owners; only the houses have an index, by street."""
    database = await Database.connect(mongodb_uri, name="agora_test_plans", driver=mongo_driver, listeners=[log])
    await database.drop()
    await database.create_collections({"houses": [IndexModel([("street", 1), ("number", 1)])], "owners": []})
    await database.insert_many(
        "houses", [{"_id": n, "street": n % 10, "number": n, "owner": f"o{n}"} for n in range(100)]
    )
    await database.insert_many("owners", [{"_id": f"o{n}", "name": f"Owner {n}"} for n in range(100)])
    yield database
    await database.drop()
    await database.close()


async def plan(town: Database, log: ReadLog) -> ReadPlan:
    (read,) = log.reads
    found = await plan_of(town, read)
    assert found is not None
    return found


async def test_a_read_by_an_index(town: Database, log: ReadLog) -> None:
    await town.find("houses", {"street": 3}, limit=4, sort=[("number", -1)])

    found = await plan(town, log)

    assert (found.indexes, found.scans) == (("houses.street_1_number_1",), ())
    assert (found.keys_examined, found.documents_examined, found.sorts_in_memory) == (4, 4, False)
    assert (found.read.command, found.read.collection) == ("find", "houses")
    assert found.read.body["filter"] == {"street": 3}
    assert "lsid" not in found.read.body
    assert found.read.duration_s is not None
    assert 0 < found.read.duration_s < 10


@pytest.mark.parametrize("filter", [{"_id": 7}, {"_id": {"$in": [7, 8, 9]}}], ids=["one", "several"])
async def test_a_read_by_id(town: Database, log: ReadLog, filter: dict[str, Any]) -> None:
    await town.find("houses", filter, limit=10)

    found = await plan(town, log)

    assert (found.indexes, found.scans) == (("houses._id_",), ())
    assert found.documents_examined == len(filter["_id"]["$in"]) if isinstance(filter["_id"], dict) else 1


async def test_a_read_of_a_whole_collection(town: Database, log: ReadLog) -> None:
    await town.find("owners", {"name": "Owner 3"}, limit=10, sort=[("name", 1)])

    found = await plan(town, log)

    assert (found.indexes, found.scans, found.documents_examined) == ((), ("owners",), 100)
    assert found.sorts_in_memory


async def test_a_count_is_a_read_too(town: Database, log: ReadLog) -> None:
    await town.count("houses", {"street": 3})
    by_index = await plan(town, log)
    log.clear()
    await town.count("houses", {"owner": "o3"})
    whole = await plan(town, log)

    assert (by_index.indexes, by_index.scans) == (("houses.street_1_number_1",), ())
    assert (whole.indexes, whole.scans) == ((), ("houses",))


@pytest.mark.parametrize(
    ("field", "indexes", "scans"),
    [
        ("_id", {"houses.street_1_number_1", "owners._id_"}, ()),
        ("name", {"houses.street_1_number_1"}, ("owners",)),
    ],
)
async def test_what_is_joined_counts(
    town: Database, log: ReadLog, field: str, indexes: set[str], scans: tuple[str, ...]
) -> None:
    join = {"from": "owners", "localField": "owner", "foreignField": field, "as": "owners"}
    await town.aggregate("houses", [{"$match": {"street": 3}}, {"$lookup": join}])

    found = await plan(town, log)

    assert (set(found.indexes), found.scans) == (indexes, scans)


@pytest.mark.parametrize(
    ("filter", "indexes", "scans"),
    [
        ({"_id": "o3"}, {"houses.street_1_number_1", "owners._id_"}, ()),
        ({"name": "Owner 3"}, {"houses.street_1_number_1"}, ("owners",)),
    ],
)
async def test_what_is_put_beside_it_counts(
    town: Database, log: ReadLog, filter: dict[str, Any], indexes: set[str], scans: tuple[str, ...]
) -> None:
    beside = {"coll": "owners", "pipeline": [{"$match": filter}, {"$limit": 5}]}
    await town.aggregate("houses", [{"$match": {"street": 3}}, {"$unionWith": beside}])

    found = await plan(town, log)

    assert (set(found.indexes), found.scans) == (indexes, scans)


async def test_only_reads_are_kept_and_no_more_than_fit(
    town: Database, log: ReadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "MAX_COMMANDS", 2)
    await town.insert_one("houses", {"_id": 1_000})
    await town.delete_one("houses", {"_id": 1_000})

    for number in range(5):
        await town.find("houses", {"_id": number}, limit=1)

    assert [read.body["filter"] for read in log.reads] == [{"_id": 0}, {"_id": 1}]
    assert log.missed == 3


async def test_a_read_that_the_database_refuses_has_no_plan(town: Database, log: ReadLog) -> None:
    with pytest.raises(Exception, match="hint"):
        await town.find("houses", {"_id": 1}, limit=1, hint=[("nothing", 1)])

    (read,) = log.reads
    assert read.failed
    assert await plan_of(town, read) is None
