"""What processes share of clients: how much of their budgets is used, and the documents that they registered."""

from __future__ import annotations

from datetime import timedelta

from datastores import budgets, documents
from datastores.clock import utc_now
from datastores.mongo import Database
from gateway.persisted import document_id

NOW = utc_now()
LIMITS = {"bucket": 1_000, "restore_per_s": 1}


async def test_what_is_spent_here_and_there_adds_up(database: Database) -> None:
    first = await budgets.settle(database, {"ann": 100, "bob": 7}, **LIMITS)
    second = await budgets.settle(database, {"ann": 300}, **LIMITS)
    third = await budgets.settle(database, {"ann": -50}, **LIMITS)

    assert first == {"ann": 100, "bob": 7}
    assert 390 < second["ann"] <= 400
    assert 330 < third["ann"] <= 350


async def test_a_level_falls_by_itself_and_a_debt_is_bounded(database: Database) -> None:
    await budgets.settle(database, {"ann": 10**9, "bob": 10}, **LIMITS)
    for name in ("ann", "bob"):
        await database.update_one("budgets", {"_id": name}, [{"$set": {"at": {"$subtract": ["$$NOW", 60_000]}}}])

    levels = await budgets.settle(database, {"ann": 0, "bob": 0}, **LIMITS)

    assert levels["bob"] == 0
    assert 9_000 < levels["ann"] <= budgets.MAX_BUCKETS * 1_000 - 60


async def test_a_registered_document_is_found_by_its_hash_alone(database: Database) -> None:
    text = "{ __typename }"
    id = document_id(text)

    await documents.keep(database, id, text, NOW)
    other = id[:-9] + ("0" if id[-9] != "0" else "1") + id[-8:]

    assert await documents.find(database, id) == text
    assert await documents.find(database, other) is None
    (kept,) = await database.find("registered_documents", {}, limit=10)
    assert kept["kept_until"] == NOW + timedelta(days=30)


async def test_there_are_so_many_documents_at_most_whoever_registers_them(database: Database) -> None:
    ids = [f"sha256:{'0' * 56}{place:08x}" for place in (5, 5 + documents.PLACES, 5 + 2 * documents.PLACES)]

    for id in ids:
        await documents.keep(database, id, id, NOW)
    await documents.keep(database, document_id("large"), "x" * (documents.MAX_BYTES + 1), NOW)

    assert len(await database.find("registered_documents", {}, limit=10)) == 1
    assert await documents.find(database, ids[-1]) == ids[-1]
