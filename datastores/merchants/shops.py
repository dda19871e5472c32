"""Merchants: one a person, found by its owner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from datastores.errors import ConflictError
from datastores.ids import derived_id, is_id
from datastores.mongo import Database

MERCHANTS: Final = "merchants"
ERASED_NAME: Final = "Erased merchant"
INDEXES: Final[dict[str, Sequence[IndexModel]]] = {MERCHANTS: [IndexModel([("owner_id", ASCENDING)], unique=True)]}


class MerchantDocument(TypedDict):
    """A shop; its id follows from its owner's."""

    _id: str
    owner_id: str
    name: str
    description: str
    created_at: datetime


def merchant_id(owner_id: str) -> str:
    """The id of the one merchant that a person has, whether or not it is open yet."""
    return derived_id("mer", owner_id)


def merchant_document(*, owner_id: str, name: str, description: str, created_at: datetime) -> MerchantDocument:
    """A new merchant."""
    return {
        "_id": merchant_id(owner_id),
        "owner_id": owner_id,
        "name": name,
        "description": description,
        "created_at": created_at,
    }


async def open_merchant(database: Database, merchant: MerchantDocument) -> None:
    """Keep a new merchant; raises ConflictError where its owner has one."""
    try:
        await database.insert_one(MERCHANTS, cast(dict[str, Any], merchant))
    except DuplicateKeyError:
        raise ConflictError("You have a merchant already: a person has one") from None


async def blank_merchant(database: Database, owner_id: str) -> None:
    """Take name and description from the merchant of a person who is erased, if there is one."""
    blank = {"name": ERASED_NAME, "description": ""}
    await database.update_one(MERCHANTS, {"_id": merchant_id(owner_id)}, {"$set": blank})


async def merchants_by_ids(database: Database, ids: Sequence[str]) -> list[MerchantDocument | None]:
    """For each id the merchant or None; one read."""
    found = await database.by_ids(MERCHANTS, [id for id in ids if is_id("mer", id)])
    known = {document["_id"]: document for document in found if document is not None}
    return cast("list[MerchantDocument | None]", [known.get(id) for id in ids])
