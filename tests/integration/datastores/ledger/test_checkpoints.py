"""Checkpoints: a history that is rewritten or cut off is found, also one in which every hash fits every other."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from datastores import ledger
from datastores.ledger import Checkpoint, CheckpointError, chain
from datastores.ledger.checkpoints import EVERY, EVERY_ENTRIES
from datastores.mongo import Database, Document
from datastores.sealing import SealingKey

from . import town

MASTER = SealingKey.generate()
NOW = datetime(2026, 5, 1)


async def checkpoint(database: Database, now: datetime = NOW) -> Checkpoint:
    return await ledger.make_checkpoint(database, MASTER, now)


async def payments(database: Database, number: int) -> None:
    commits = town.loop(database)
    if await ledger.head(database) is None:
        await town.fill(commits, "ann", 1_000)
    for _ in range(number):
        await town.pay(commits, "ann", "ben", 1)


async def rehashed(database: Database, seq: int, change: Document) -> None:
    """Change an entry, and make all hashes from there on fit, as whoever holds the database can."""
    entries = await town.entries(database)
    previous = entries[seq - 2]["hash"] if seq > 1 else chain.GENESIS
    for entry in entries[seq - 1 :]:
        entry = {**entry, **(change if entry["seq"] == seq else {}), "previous_hash": previous}
        previous = entry["hash"] = chain.chained(previous, chain.body(entry))
        await database.update_one("entries", {"_id": entry["_id"]}, {"$set": entry})


async def lines(database: Database, *kept: Checkpoint) -> list[str]:
    return ledger.problem_lines((await ledger.verify(database, kept=kept)).problems)


async def test_checkpoints_name_one_another_and_are_signed(database: Database) -> None:
    await payments(database, 2)
    first = await checkpoint(database)
    await payments(database, 1)
    second = await checkpoint(database, NOW - timedelta(days=1))

    keys = await ledger.public_keys(database)
    for each in (first, second):
        ledger.check_checkpoint(each, keys)
    assert (first["number"], first["seq"], first["previous"]) == (1, 3, None)
    assert (second["number"], second["seq"], second["created_at"]) == (2, 4, NOW)
    assert second["previous"] is not None
    assert await ledger.newest_checkpoint(database) == second
    assert await ledger.newest_checkpoints(database) == [second, first]
    report = await ledger.verify(database, kept=[first, second], master=MASTER)
    assert (report.problems, report.checkpoints) == ([], 2)


async def test_what_is_published_is_read_back_the_same(database: Database) -> None:
    await payments(database, 1)
    made = await checkpoint(database)

    assert ledger.kept_checkpoint(ledger.published(made)) == made


@pytest.mark.parametrize("document", [None, [], {}, "x", {"number": "one"}])
def test_what_is_no_checkpoint_is_refused(document: Any) -> None:
    with pytest.raises(CheckpointError):
        ledger.kept_checkpoint(document)


async def test_an_empty_ledger_has_nothing_to_sign(database: Database) -> None:
    assert not await ledger.is_due(database, NOW)
    with pytest.raises(CheckpointError):
        await checkpoint(database)


async def test_nothing_new_makes_no_checkpoint_and_however_many_make_one_make_one(database: Database) -> None:
    await payments(database, 1)

    made = await asyncio.gather(*(checkpoint(database) for _ in range(8)))
    again = await checkpoint(database)

    assert all(each == again for each in made)
    assert await database.count("checkpoints", {}) == 1


async def test_one_is_due_after_so_many_entries_or_so_much_time(database: Database) -> None:
    await payments(database, 1)
    assert await ledger.is_due(database, NOW)
    await checkpoint(database)

    assert not await ledger.is_due(database, NOW + EVERY)
    await payments(database, 1)
    assert not await ledger.is_due(database, NOW + EVERY / 2)
    assert await ledger.is_due(database, NOW + EVERY)
    commits = town.loop(database)
    await asyncio.gather(*(town.fill(commits, f"friend{n}", 1) for n in range(EVERY_ENTRIES)))
    assert await ledger.is_due(database, NOW)


async def test_a_rewritten_history_is_found_where_every_hash_fits(database: Database) -> None:
    await payments(database, 4)
    await checkpoint(database)
    await rehashed(database, 2, {"recipient_id": "mallory"})

    found = await lines(database)

    assert len(found) == 1
    assert "checkpoint 1 names: what lies after entry 0 was rewritten" in found[0]


async def test_what_was_rewritten_is_narrowed_down_to_between_two_checkpoints(database: Database) -> None:
    for _ in range(3):
        await payments(database, 3)
        await checkpoint(database)
    await rehashed(database, 6, {"recipient_id": "mallory"})

    report = await ledger.verify(database)

    (problem,) = report.problems
    assert report.broken_at == problem.seq == 7
    assert "what lies after entry 4 was rewritten" in problem.text


async def test_a_history_rewritten_with_its_checkpoints_is_found_by_one_that_was_kept(database: Database) -> None:
    await payments(database, 2)
    kept = await checkpoint(database)
    await rehashed(database, 2, {"recipient_id": "mallory"})
    await database.delete_one("checkpoints", {})
    await checkpoint(database)

    assert await lines(database) == []
    found = await lines(database, kept)
    assert any("another than the one that was kept" in line for line in found)
    assert any("rewritten" in line for line in found)


async def test_a_forged_checkpoint_is_found(database: Database) -> None:
    await payments(database, 2)
    made = await checkpoint(database)
    forged = cast(Checkpoint, {**made, "hash": "0" * 64})

    assert any("signature" in line for line in await lines(database, forged))


async def test_an_end_that_was_taken_away_is_found_by_a_checkpoint(database: Database) -> None:
    await payments(database, 2)
    accounts = await database.find("accounts", {}, limit=10)
    await payments(database, 2)
    made = await checkpoint(database)
    for entry in (await town.entries(database))[3:]:
        await database.delete_one("entries", {"_id": entry["_id"]})
    for account in accounts:
        await database.update_one("accounts", {"_id": account["_id"]}, {"$set": account})

    found = await lines(database)

    assert found == ["main (entry 3): the journal ends before entry 5 of checkpoint 1: its end was taken away"]
    await database.delete_one("checkpoints", {})
    assert await lines(database) != found
    assert any("its end was taken away" in line for line in await lines(database, made))


async def test_an_end_that_was_taken_away_is_found_by_the_versions_of_accounts(database: Database) -> None:
    await payments(database, 4)
    (last,) = (await town.entries(database))[-1:]
    await database.delete_one("entries", {"_id": last["_id"]})

    found = await lines(database)

    assert found
    assert all("changed without an entry" in line for line in found)


async def test_a_checkpoint_that_was_taken_away_is_found(database: Database) -> None:
    for _ in range(3):
        await payments(database, 1)
        await checkpoint(database)
    await database.delete_one("checkpoints", {"number": 2})

    assert any("hole" in line for line in await lines(database))


async def test_the_last_checkpoints_taken_away_are_found_by_one_that_was_kept(database: Database) -> None:
    await payments(database, 1)
    await checkpoint(database)
    await payments(database, 1)
    kept = await checkpoint(database)
    await database.delete_one("checkpoints", {"number": 2})

    assert await lines(database) == []
    assert await lines(database, kept) == ["kept checkpoint 2: it is not among the stored checkpoints"]


async def test_a_rewritten_history_is_not_signed(database: Database) -> None:
    await payments(database, 2)
    await checkpoint(database)
    await rehashed(database, 2, {"recipient_id": "mallory"})
    await payments(database, 1)

    with pytest.raises(CheckpointError, match="agora ledger verify"):
        await checkpoint(database)


async def test_checkpoints_by_a_key_that_was_slipped_in_are_found_with_the_master_key(database: Database) -> None:
    await payments(database, 2)
    await checkpoint(database)
    await rehashed(database, 2, {"recipient_id": "mallory"})
    for name in ("checkpoints", "signing_keys"):
        await database.delete_one(name, {})
    await ledger.make_checkpoint(database, SealingKey.generate(), NOW)

    without = await ledger.verify(database)
    found = await ledger.verify(database, master=MASTER)

    assert without.holds
    texts = [problem.text for problem in found.problems]
    assert any("not the ledger's" in text for text in texts)
    assert any("not published" in text for text in texts)


async def test_checkpoints_outlive_the_rotation_of_keys(database: Database) -> None:
    await payments(database, 1)
    first = await checkpoint(database)
    await ledger.rotate_signing_key(database, MASTER, NOW)
    await payments(database, 1)
    second = await checkpoint(database)

    assert first["key_id"] != second["key_id"]
    assert await lines(database, first, second) == []
