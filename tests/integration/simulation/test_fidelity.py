"""The simulated database answers what the real one answers: the same steps on both, compared word by word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from datastores import leases
from datastores.mongo import Database, Delete, Document, Filter, Insert, Replace, Session, Update, Write
from datastores.mongo.transactions import is_duplicate
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import TRANSIENT, Faults, Trace
from tests.simulation.storage import START, Storage
from tests.simulation.towns import INDEXES

Told = list[str]
Steps = Callable[["Hands"], Awaitable[None]]
ACCOUNTS = "accounts"


class Hands:
    """Takes steps in transactions and writes down what the database said."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told: Told = []

    async def write(self, session: Session, *writes: Write) -> None:
        await self._tell("write", self.database.write(ACCOUNTS, list(writes), session=session))

    async def commit(self, session: Session) -> None:
        await self._tell("commit", session.commit())

    async def read(self, session: Session | None, *ids: str) -> None:
        async def found() -> Any:
            documents = await self.database.find(ACCOUNTS, {"_id": {"$in": list(ids)}}, limit=10, session=session)
            return sorted((d["_id"], d["n"]) for d in documents)

        await self._tell("read", found())

    async def last(self, session: Session | None, *currencies: str) -> None:
        async def found() -> Any:
            either = {"$or": [{"currency": currency, "owner_id": "ann"} for currency in currencies]}
            documents = await self.database.find(ACCOUNTS, either, limit=1, sort=[("n", -1)], session=session)
            return [(d["_id"], d["n"]) for d in documents]

        await self._tell("last", found())

    async def acquire(self, owner: str, ttl_s: float = 60.0) -> None:
        lease = await leases.acquire(self.database, "turn", owner, ttl_s)
        self.told.append(f"lease: {owner} {lease and lease['term']}")

    async def release(self, owner: str) -> None:
        await leases.release(self.database, "turn", owner)

    async def change(self, filter: Filter, update: Any, *, upsert: bool = False, many: bool = False) -> None:
        async def counts() -> Any:
            if many:
                done = await self.database.update_many(ACCOUNTS, filter, update)
            else:
                done = await self.database.update_one(ACCOUNTS, filter, update, upsert=upsert)
            return done.matched_count, done.modified_count, done.upserted_id

        await self._tell("change", counts())

    async def found(self, filter: Filter, *sort: tuple[str, int]) -> None:
        async def all_of_it() -> Any:
            documents = await self.database.find(ACCOUNTS, filter, limit=10, sort=[*sort, ("_id", 1)])
            return [sorted(document.items()) for document in documents]

        await self._tell("found", all_of_it())

    async def sums(self, *pipeline: Document) -> None:
        async def rows() -> Any:
            return sorted(str(row) for row in await self.database.aggregate(ACCOUNTS, pipeline))

        await self._tell("sums", rows())

    async def _tell(self, what: str, answer: Awaitable[Any]) -> None:
        try:
            self.told.append(f"{what}: {await answer}")
        except PyMongoError as error:
            kind = "duplicate" if is_duplicate(error) else "transient" if error.has_error_label(TRANSIENT) else "error"
            self.told.append(f"{what}: {kind}")

    async def put(self, *writes: Write) -> None:
        """Write and commit in a transaction of its own."""
        async with self.database.transaction() as session:
            await self.write(session, *writes)
            await self.commit(session)


def insert(id: str, owner: str | None = None, currency: str = "EUR", n: int = 0) -> Insert:
    return Insert({"_id": id, "owner_id": owner, "currency": currency, "n": n})


def update(id: str, n: int) -> Update:
    return Update(id, {"n": n})


async def a_snapshot_stays_as_it_was(hands: Hands) -> None:
    await hands.put(insert("a"))
    async with hands.database.transaction() as session:
        await hands.read(session, "a", "b")
        await hands.put(update("a", 1), insert("b"))
        await hands.read(session, "a", "b")
    await hands.read(None, "a", "b")


async def a_snapshot_begins_with_the_first_command(hands: Hands) -> None:
    async with hands.database.transaction() as session:
        await hands.put(insert("a", n=7))
        await hands.read(session, "a")


async def own_writes_are_seen(hands: Hands) -> None:
    await hands.put(insert("a"), insert("b"), insert("c"))
    async with hands.database.transaction() as session:
        replaced = Replace({"_id": "c", "owner_id": None, "currency": "JPY", "n": 9})
        await hands.write(session, insert("d"), update("a", 5), Delete("b"), replaced)
        await hands.read(session, "a", "b", "c", "d")
        await hands.read(None, "a", "b", "c", "d")
        await hands.commit(session)
    await hands.read(None, "a", "b", "c", "d")


async def what_is_not_committed_is_not_there(hands: Hands) -> None:
    async with hands.database.transaction() as session:
        await hands.write(session, insert("a"))
    await hands.read(None, "a")


async def an_update_of_what_is_gone_matches_nothing(hands: Hands) -> None:
    await hands.put(insert("a"))
    await hands.put(update("a", 1), update("z", 1), Delete("z"))


async def a_write_after_anothers_commit_conflicts(hands: Hands) -> None:
    await hands.put(insert("a"))
    async with hands.database.transaction() as session:
        await hands.read(session, "a")
        await hands.put(update("a", 1))
        await hands.write(session, update("a", 2))
        await hands.read(session, "a")
        await hands.commit(session)
    await hands.read(None, "a")


async def two_who_write_at_once_conflict(hands: Hands) -> None:
    await hands.put(insert("a"))
    async with hands.database.transaction() as first, hands.database.transaction() as second:
        await hands.write(first, update("a", 1))
        await hands.write(second, update("a", 2))
        await hands.commit(first)
    await hands.read(None, "a")


async def two_who_insert_at_once_conflict(hands: Hands) -> None:
    async with hands.database.transaction() as first, hands.database.transaction() as second:
        await hands.write(first, insert("a", n=1))
        await hands.write(second, insert("a", n=2))
        await hands.commit(first)
    await hands.read(None, "a")


async def two_of_one_unique_key_at_once_conflict(hands: Hands) -> None:
    async with hands.database.transaction() as first, hands.database.transaction() as second:
        await hands.write(first, insert("a", "ann"))
        await hands.write(second, insert("b", "ann"))
        await hands.commit(first)
    await hands.read(None, "a", "b")


async def what_is_there_already_is_a_duplicate(hands: Hands) -> None:
    await hands.put(insert("a"))
    await hands.put(insert("a"))


async def a_unique_key_that_is_there_already_is_a_duplicate(hands: Hands) -> None:
    await hands.put(insert("a", "ann"))
    await hands.put(insert("b", "ann"))
    await hands.put(insert("b", "ann", "JPY"))
    await hands.read(None, "a", "b")


async def a_partial_index_leaves_the_others_alone(hands: Hands) -> None:
    await hands.put(insert("a"), insert("b"))
    await hands.read(None, "a", "b")


async def a_key_may_move_within_a_transaction(hands: Hands) -> None:
    await hands.put(insert("a", "ann"))
    async with hands.database.transaction() as session:
        await hands.write(session, Delete("a"))
        await hands.write(session, insert("b", "ann"))
        await hands.commit(session)
    await hands.read(None, "a", "b")


async def an_id_inserted_since_the_snapshot(hands: Hands) -> None:
    async with hands.database.transaction() as session:
        await hands.read(session, "a")
        await hands.put(insert("a", n=1))
        await hands.write(session, insert("a", n=2))


async def a_unique_key_inserted_since_the_snapshot(hands: Hands) -> None:
    async with hands.database.transaction() as session:
        await hands.read(session, "a")
        await hands.put(insert("a", "ann"))
        await hands.write(session, insert("b", "ann"))


async def a_commit_may_be_repeated(hands: Hands) -> None:
    async with hands.database.transaction() as session:
        await hands.write(session, insert("a"))
        await hands.commit(session)
        await hands.commit(session)
    await hands.read(None, "a")


async def the_last_by_a_number_is_that_of_the_snapshot(hands: Hands) -> None:
    await hands.put(insert("a", "ann", n=1), insert("b", "ann", "JPY", n=2), insert("c", "ben", n=3))
    async with hands.database.transaction() as session:
        await hands.last(session, "EUR", "JPY")
        await hands.put(insert("d", "ann", "USD", n=4), update("a", 5))
        await hands.last(session, "EUR", "JPY", "USD")
        await hands.last(session, "USD")
        await hands.write(session, insert("e", "ann", "CHF", n=9))
        await hands.last(session, "EUR", "CHF")
    await hands.last(None, "EUR", "JPY", "USD", "CHF")


async def a_lease_has_one_owner(hands: Hands) -> None:
    await hands.acquire("first")
    await hands.acquire("second")
    await hands.acquire("first")
    await hands.release("second")
    await hands.acquire("second")
    await hands.release("first")
    await hands.acquire("second")


async def updates_by_operators_outside_of_transactions(hands: Hands) -> None:
    made = {"$setOnInsert": {"n": 1, "state": None}}
    await hands.change({"_id": "a"}, made)
    await hands.change({"_id": "a"}, made, upsert=True)
    await hands.change({"_id": "a"}, made, upsert=True)
    await hands.change({"_id": "a", "n": 2}, {"$set": {"n": 3}})
    await hands.change({"_id": "a", "n": 1}, {"$set": {"n": 1}})
    await hands.change({"_id": "a", "state": None}, {"$set": {"state": {"since": START, "by": "ann"}}})
    await hands.change({"_id": "a", "state.by": {"$ne": "ann"}}, {"$set": {"n": 4}})
    await hands.found({"state.since": {"$type": "date"}})
    await hands.change({"_id": "b", "gone": None}, [{"$set": {"n": {"$ifNull": ["$n", 7]}}}], upsert=True)
    await hands.change({"n": {"$in": [1, 7]}}, {"$set": {"n": 8}}, many=True)
    await hands.change({"_id": "a", "state.by": "ann"}, {"$unset": {"state": ""}})
    await hands.found({})


async def an_update_waits_for_whoever_writes(hands: Hands) -> None:
    await hands.put(insert("a"))
    async with hands.database.transaction() as session:
        await hands.write(session, update("a", 1))
        waiting = asyncio.ensure_future(
            hands.database.update_one(ACCOUNTS, {"_id": "a"}, {"$set": {"owner_id": "ben"}})
        )
        await asyncio.sleep(0.05)
        await hands.commit(session)
    await waiting
    await hands.found({})


async def what_lies_in_lists_and_documents_is_found(hands: Hands) -> None:
    legs = [{"to": "x", "delta": 5}, {"to": "y", "delta": -5}]
    await hands.put(Insert({"_id": "a", "owner_id": None, "currency": "EUR", "legs": legs, "people": ["ann", "ben"]}))
    await hands.put(Insert({"_id": "b", "owner_id": None, "currency": "JPY", "legs": [], "n": 2, "at": START}))
    await hands.found({"legs.to": {"$in": ["y", "z"]}})
    await hands.found({"people": "ann"})
    await hands.found({"n": {"$not": {"$gt": 2}}})
    await hands.found({"n": {"$gte": 2, "$lt": 3}}, ("at", -1))
    await hands.found({"at": {"$lte": START}})
    await hands.found({"$or": [{"n": {"$ne": None}}, {"legs.delta": 5}]}, ("n", 1))


async def sums_by_group(hands: Hands) -> None:
    for id, delta in (("a", 5), ("b", -2), ("c", 4)):
        await hands.put(Insert({"_id": id, "owner_id": None, "currency": id, "day": "x", "legs": [{"delta": delta}]}))
    group = {
        "_id": {"day": "$day", "came": {"$gt": ["$legs.delta", 0]}},
        "count": {"$sum": 1},
        "sum": {"$sum": {"$toDecimal": {"$abs": "$legs.delta"}}},
    }
    await hands.sums({"$match": {"legs.delta": {"$in": [5, -2, 4]}}}, {"$unwind": "$legs"}, {"$group": group})
    await hands.sums({"$group": {"_id": "$day", "first": {"$first": "$day"}}})


async def what_is_deleted_outside_of_transactions(hands: Hands) -> None:
    await hands.put(insert("a"), insert("b"), insert("c", n=1))
    await hands._tell("one", hands.database.delete_one(ACCOUNTS, {"_id": "a"}))
    await hands._tell("many", hands.database.delete_many(ACCOUNTS, {"n": 0}))
    await hands._tell("none", hands.database.delete_one(ACCOUNTS, {"_id": "a"}))
    await hands._tell("again", hands.database.insert_one(ACCOUNTS, {"_id": "c", "owner_id": None}))
    await hands.found({})


SAME: list[Steps] = [
    a_snapshot_stays_as_it_was,
    a_snapshot_begins_with_the_first_command,
    own_writes_are_seen,
    what_is_not_committed_is_not_there,
    an_update_of_what_is_gone_matches_nothing,
    a_write_after_anothers_commit_conflicts,
    two_who_write_at_once_conflict,
    two_who_insert_at_once_conflict,
    two_of_one_unique_key_at_once_conflict,
    what_is_there_already_is_a_duplicate,
    a_unique_key_that_is_there_already_is_a_duplicate,
    a_partial_index_leaves_the_others_alone,
    a_key_may_move_within_a_transaction,
    an_id_inserted_since_the_snapshot,
    a_unique_key_inserted_since_the_snapshot,
    a_commit_may_be_repeated,
    the_last_by_a_number_is_that_of_the_snapshot,
    a_lease_has_one_owner,
    updates_by_operators_outside_of_transactions,
    an_update_waits_for_whoever_writes,
    what_lies_in_lists_and_documents_is_found,
    sums_by_group,
    what_is_deleted_outside_of_transactions,
]


@pytest.mark.parametrize("steps", SAME, ids=lambda steps: steps.__name__)
async def test_both_say_the_same(database: Database, steps: Steps) -> None:
    real = Hands(database)
    storage = Storage(INDEXES, Random(0), asyncio.get_running_loop().time)
    simulated = Hands(SimulatedDatabase(storage, Faults(Random(0), 0.0), Trace(), "process"))

    await steps(real)
    await steps(simulated)

    assert simulated.told == real.told
