"""Receipts: every party's verifies without the database, and says nothing of the others' balances."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from datastores import ledger
from datastores.ledger import Memo, Receipt, ReceiptError, SigningKey
from datastores.mongo import Database
from datastores.sealing import SealingKey, WrongKeyError

from . import town

MASTER = SealingKey.generate()


async def receipts(database: Database) -> tuple[dict[str, Receipt], dict[str, bytes]]:
    commits = town.loop(database)
    await town.fill(commits, "ann", 1_000)
    transfer = town.transfer("ann", "ben", 300)
    memo = Memo("for the rent")
    with_memo = ledger.Transfer(
        transfer.source, transfer.target, 300, "EUR", sender_id="ann", recipient_id="ben", memo=memo
    )
    entry = (await commits.submit(ledger.PostTransfer(town.command("ann", "rent"), with_memo))).accepted()
    await town.pay(commits, "ann", "ben", 1)
    head = await ledger.head(database)
    assert head is not None
    key = await ledger.signing_key(database, MASTER, datetime(2026, 1, 1))
    made = {
        reader: ledger.receipt(entry, reader, head, key, memo=memo.text, memo_salt=memo.salt)
        for reader in ("ann", "ben", "eve")
    }
    return made, await ledger.public_keys(database)


async def test_each_party_has_a_receipt_of_the_same_entry_with_their_own_leg_open(database: Database) -> None:
    made, keys = await receipts(database)

    bodies = {reader: ledger.check_receipt(receipt, keys) for reader, receipt in made.items()}

    assert len({receipt["entry_hash"] for receipt in made.values()}) == 1
    assert bodies["ann"]["legs"][0]["leg"]["posted_after"] == "700"
    assert isinstance(bodies["ann"]["legs"][1], str)
    assert isinstance(bodies["ben"]["legs"][0], str)
    assert bodies["ben"]["legs"][1]["leg"]["delta"] == "300"
    assert bodies["ann"]["request"]["request"]["key"] == "rent"
    assert isinstance(bodies["ben"]["request"], str)
    assert bodies["ben"]["memo"]["text"] == "for the rent"


async def test_a_receipt_says_nothing_of_the_other_balance(database: Database) -> None:
    made, _ = await receipts(database)

    # In quotes, as numbers stand there: three digits by themselves may be part of a hash.
    assert '"700"' not in made["ben"]["body"]
    assert '"700"' in made["ann"]["body"]
    assert '"rent"' not in made["ben"]["body"]


async def test_one_flipped_byte_anywhere_is_found(database: Database) -> None:
    made, keys = await receipts(database)
    receipt = made["ann"]
    body = receipt["body"]

    for place in range(len(body)):
        flipped = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
        with pytest.raises(ReceiptError):
            ledger.check_receipt({**receipt, "body": flipped}, keys)


CHANGES: list[dict[str, Any]] = [
    {"seq": 3},
    {"entry_hash": "0" * 64},
    {"previous_hash": "0" * 64},
    {"head_seq": 99},
    {"head_seq": 1},
    {"head_hash": "0" * 64},
    {"key_id": "key_unknown"},
    {"signature": "AAAA"},
    {"signature": "not base64!"},
    {"body": "{}"},
    {"body": None},
]


@pytest.mark.parametrize("change", CHANGES)
async def test_any_other_change_is_found(database: Database, change: dict[str, Any]) -> None:
    made, keys = await receipts(database)

    with pytest.raises(ReceiptError):
        ledger.check_receipt({**made["ann"], **change}, keys)


async def test_a_key_that_signed_before_still_proves_what_it_signed(database: Database) -> None:
    made, _ = await receipts(database)

    await ledger.add_signing_key(database, MASTER, SigningKey.generate(), datetime(2026, 2, 1))

    keys = await ledger.public_keys(database)
    assert len(keys) == 2
    assert ledger.check_receipt(json.loads(json.dumps(made["ann"])), keys)
    newest = await ledger.signing_key(database, MASTER, datetime(2026, 3, 1))
    assert newest.id != made["ann"]["key_id"]


async def test_a_rotated_key_signs_from_then_on_even_where_a_clock_goes_back(database: Database) -> None:
    first = await ledger.signing_key(database, MASTER, datetime(2026, 1, 2))

    rotated = await ledger.rotate_signing_key(database, MASTER, datetime(2026, 1, 1))

    assert (await ledger.signing_key(database, MASTER, datetime(2026, 1, 3))).id == rotated.id != first.id
    assert list(await ledger.public_keys(database)) == [rotated.id, first.id]


async def test_the_private_key_lies_sealed_under_the_master_key_alone(database: Database) -> None:
    key = await ledger.signing_key(database, MASTER, datetime(2026, 1, 1))
    (stored,) = await database.find("signing_keys", {}, limit=2)

    assert key.private.private_bytes_raw() not in stored["sealed"]
    assert key.private.private_bytes_raw().hex() not in str(stored)
    for act in (ledger.signing_key, ledger.rotate_signing_key):
        with pytest.raises(WrongKeyError):
            await act(database, SealingKey.generate(), datetime(2026, 1, 1))
    assert await database.count("signing_keys", {}) == 1


async def test_a_key_that_was_slipped_into_the_database_neither_signs_nor_is_published(database: Database) -> None:
    own = await ledger.signing_key(database, MASTER, datetime(2026, 1, 1))
    for sealed in (None, b"", SealingKey.generate().seal(SigningKey.generate().private.private_bytes_raw(), "x")):
        mallory = SigningKey.generate()
        later = {"public_key": mallory.public.hex(), "sealed": sealed, "created_at": datetime(2027, 1, 1)}
        await database.insert_one("signing_keys", {"_id": mallory.id, **later})
    (stored,) = await database.find("signing_keys", {"_id": own.id}, limit=1)
    copy = SigningKey.generate()
    await database.insert_one("signing_keys", {**stored, "_id": copy.id, "created_at": datetime(2027, 1, 2)})

    assert (await ledger.signing_key(database, MASTER, datetime(2027, 2, 1))).id == own.id
    assert list(await ledger.public_keys(database, MASTER)) == [own.id]
    rotated = await ledger.rotate_signing_key(database, MASTER, datetime(2026, 3, 1))
    assert (await ledger.signing_key(database, MASTER, datetime(2027, 2, 1))).id == rotated.id
