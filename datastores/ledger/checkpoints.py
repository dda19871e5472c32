"""Checkpoints: the head of the ledger, signed now and then, so that a history that was rewritten since is found.

Each names the digest of the one before, so they are a chain of their own. Whoever keeps one outside of the database can
tell later whether the journal still leads through it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, cast

from pymongo import IndexModel

from datastores.mongo import Database, Document
from datastores.sealing import SealingKey

from . import chain
from .entries import ENTRIES, PARTITION, head
from .signing import is_signed, key_id, signing_key

CHECKPOINTS: Final = "checkpoints"
EVERY_ENTRIES: Final = 1_000
EVERY: Final = timedelta(minutes=10)
MAX_LISTED: Final = 1_000
INDEXES: Mapping[str, Sequence[IndexModel]] = {CHECKPOINTS: []}
_NEWEST_FIRST: Final = [("_id", -1)]


class Checkpoint(TypedDict):
    """Entry `seq` had this hash at that time, says the key. `number` counts checkpoints from 1.

    `previous` is the digest of the checkpoint before, None for the first; the signature is base64.
    """

    _id: str
    number: int
    seq: int
    hash: str
    created_at: datetime
    previous: str | None
    key_id: str
    signature: str


class CheckpointError(Exception):
    """A checkpoint does not hold, or cannot be made; the message says why."""


def statement(checkpoint: Mapping[str, Any]) -> bytes:
    """What is signed: canonical JSON, numbers and the time as strings."""
    return chain.canonical(
        {
            "number": str(checkpoint["number"]),
            "seq": str(checkpoint["seq"]),
            "hash": checkpoint["hash"],
            "createdAt": chain.plain(checkpoint["created_at"]),
            "previous": checkpoint["previous"],
            "keyId": checkpoint["key_id"],
        }
    )


def digest(checkpoint: Mapping[str, Any]) -> str:
    """What the next checkpoint names as the one before it; hex."""
    return hashlib.sha256(statement(checkpoint)).hexdigest()


async def make_checkpoint(database: Database, master: SealingKey, now: datetime) -> Checkpoint:
    """A checkpoint of the head as it is now, or the newest one where nothing came since.

    However many make one at once, one is made. Raises CheckpointError for an empty ledger, and where the journal does
    not lead through the newest checkpoint any more: a history that was rewritten is not signed.
    """
    last, top = await newest_checkpoint(database), await head(database)
    if top is None:
        raise CheckpointError("There is no entry to sign yet")
    if last is not None:
        await _leads_through(database, last, top["n"])
        if top["n"] == last["seq"]:
            return last
    key = await signing_key(database, master, now)
    number = 1 if last is None else last["number"] + 1
    checkpoint: Checkpoint = {
        "_id": f"{number:012}",
        "number": number,
        "seq": top["n"],
        "hash": top["hash"],
        "created_at": now if last is None else max(now, last["created_at"]),
        "previous": None if last is None else digest(last),
        "key_id": key.id,
        "signature": "",
    }
    checkpoint["signature"] = base64.b64encode(key.sign(statement(checkpoint))).decode()
    content = {name: value for name, value in checkpoint.items() if name != "_id"}
    await database.update_one(CHECKPOINTS, {"_id": checkpoint["_id"]}, {"$setOnInsert": content}, upsert=True)
    # Another process may have made it in the same moment: what is stored counts.
    return cast(Checkpoint, (await database.by_ids(CHECKPOINTS, [checkpoint["_id"]]))[0])


async def is_due(database: Database, now: datetime) -> bool:
    """Whether 1,000 entries came since the newest checkpoint, or any and 10 minutes have passed."""
    last, top = await newest_checkpoint(database), await head(database)
    if top is None or (last is not None and top["n"] <= last["seq"]):
        return False
    return last is None or top["n"] - last["seq"] >= EVERY_ENTRIES or now - last["created_at"] >= EVERY


async def newest_checkpoint(database: Database) -> Checkpoint | None:
    """The checkpoint with the highest number, or None while there is none."""
    return cast("Checkpoint | None", await database.find_one(CHECKPOINTS, {}, sort=_NEWEST_FIRST))


async def newest_checkpoints(database: Database, limit: int = MAX_LISTED) -> list[Checkpoint]:
    """The newest checkpoints, the newest first; at most 1,000."""
    found = await database.find(CHECKPOINTS, {}, sort=_NEWEST_FIRST, limit=min(limit, MAX_LISTED))
    return cast("list[Checkpoint]", found)


async def checkpoints_after(database: Database, id: str, limit: int) -> list[Checkpoint]:
    """The checkpoints with an id above this one, in order."""
    found = await database.find(CHECKPOINTS, {"_id": {"$gt": id}}, sort=[("_id", 1)], limit=limit)
    return cast("list[Checkpoint]", found)


def published(checkpoint: Checkpoint) -> Document:
    """The checkpoint as JSON for the world, and for keeping elsewhere."""
    return {
        "number": str(checkpoint["number"]),
        "seq": str(checkpoint["seq"]),
        "hash": checkpoint["hash"],
        "createdAt": chain.plain(checkpoint["created_at"]),
        "previous": checkpoint["previous"],
        "keyId": checkpoint["key_id"],
        "signature": checkpoint["signature"],
    }


def kept_checkpoint(document: object) -> Checkpoint:
    """The checkpoint in this JSON, as `published` makes it; raises CheckpointError for anything else."""
    if not isinstance(document, dict):
        raise CheckpointError("it is not a checkpoint as it was published")
    try:
        number = int(document["number"])
        return {
            "_id": f"{number:012}",
            "number": number,
            "seq": int(document["seq"]),
            "hash": str(document["hash"]),
            "created_at": datetime.fromisoformat(str(document["createdAt"]).removesuffix("Z")),
            "previous": None if document["previous"] is None else str(document["previous"]),
            "key_id": str(document["keyId"]),
            "signature": str(document["signature"]),
        }
    except (KeyError, TypeError, ValueError):
        raise CheckpointError("it is not a checkpoint as it was published") from None


def check_checkpoint(checkpoint: Checkpoint, public_keys: Mapping[str, bytes]) -> None:
    """Raise CheckpointError unless one of these keys signed this checkpoint."""
    public = public_keys.get(checkpoint["key_id"])
    if public is None or key_id(public) != checkpoint["key_id"]:
        raise CheckpointError("it is signed with a key that is not published")
    try:
        signature = base64.b64decode(checkpoint["signature"], validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise CheckpointError("its signature is malformed") from None
    if not is_signed(public, statement(checkpoint), signature):
        raise CheckpointError("its signature is not that of the ledger")


async def _leads_through(database: Database, last: Checkpoint, top: int) -> None:
    entry = await database.find_one(ENTRIES, {"partition": PARTITION, "seq": last["seq"]})
    if top < last["seq"] or entry is None or entry["hash"] != last["hash"]:
        raise CheckpointError(
            f"The journal does not lead through checkpoint {last['number']} any more: run `agora ledger verify`"
        )
