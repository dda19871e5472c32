"""Partners: applications that follow what happens to merchants, the keys they use, and the events there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel

from .clock import utc_now
from .ids import derived_id, is_id
from .mongo import Database, Document, Session
from .transactions import run_transaction

PARTNERS: Final = "partners"
KEYS: Final = "partner_keys"
MAX_MERCHANTS: Final = 500

EVENT_TYPES: Final = (
    "payment.requested",
    "payment.held",
    "payment.captured",
    "payment.voided",
    "payment.completed",
    "payment.refused",
    "payment.refunded",
    "payment.reversed",
    "payment.disputed",
    "transfer.posted",
    "order.placed",
    "order.paid",
    "order.shipped",
    "order.completed",
    "order.cancelled",
    "order.refunded",
)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    PARTNERS: [],
    KEYS: [IndexModel([("partner_id", ASCENDING)])],
}


class PartnerDocument(TypedDict):
    """An application, and the merchants whose events it may see."""

    _id: str
    name: str
    merchant_ids: list[str]
    created_at: datetime


class PartnerKeyDocument(TypedDict):
    """A key of a partner, without its secret; times are naive UTC."""

    _id: str
    partner_id: str
    secret_hash: str
    scopes: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


async def create_partner(
    database: Database,
    *,
    name: str,
    merchant_ids: Sequence[str],
    key_id: str,
    secret_hash: str,
    scopes: Sequence[str],
    partner_id: str | None = None,
) -> str:
    """The id of a partner with this key; made again it gets this name and these merchants (at most 500).

    Without a `partner_id` it follows from the key's. A key that is there already stays as it is, so that one that was
    revoked stays revoked.
    """
    if len(merchant_ids) > MAX_MERCHANTS:
        raise ValueError(f"a partner sees at most {MAX_MERCHANTS} merchants")
    id = partner_id or derived_id("ptn", key_id)
    now = utc_now()
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    about = {"name": name, "merchant_ids": list(dict.fromkeys(merchant_ids))}
    key = {
        "partner_id": id,
        "secret_hash": secret_hash,
        "scopes": list(scopes),
        "expires_at": None,
        "revoked_at": None,
        "created_at": now,
    }

    async def act(session: Session) -> None:
        update: Document = {"$set": about, "$setOnInsert": {"created_at": now}}
        await database.update_one(PARTNERS, {"_id": id}, update, upsert=True, session=session)
        await database.update_one(KEYS, {"_id": key_id}, {"$setOnInsert": key}, upsert=True, session=session)

    await run_transaction(database, act)
    return id


async def key_by_id(database: Database, id: str) -> PartnerKeyDocument | None:
    """The key with this id, revoked and expired ones too, or None."""
    return cast("PartnerKeyDocument | None", await database.find_one(KEYS, {"_id": id}) if is_id("key", id) else None)


async def merchants_of(database: Database, partner_id: str) -> list[str]:
    """The ids of the merchants whose events a partner may see now; none for a partner that there is not."""
    found = await database.find_one(PARTNERS, {"_id": partner_id})
    return [] if found is None else list(cast(PartnerDocument, found)["merchant_ids"])
