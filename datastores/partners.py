"""Partners: applications that follow what happens to merchants, the keys they use, and the events there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from .clock import utc_now
from .errors import ConflictError, NotFoundError
from .ids import derived_id, is_id
from .mongo import Database, Document, Session, run_transaction
from .paging import PageDocument, Window, keyset, page

PARTNERS: Final = "partners"
KEYS: Final = "partner_keys"
MERCHANT_MODES: Final = "merchant_modes"
MAX_MERCHANTS: Final = 500
MAX_PARTNERS: Final = 10_000
MAX_VALID_KEYS: Final = 20
MAX_OVERLAP_S: Final = 7 * 24 * 3600.0
# So that the time of last use costs a key one write a minute, however often it is used.
USE_NOTED_EVERY: Final = timedelta(seconds=60)

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
    KEYS: [IndexModel([("partner_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="of_partner")],
    MERCHANT_MODES: [],
}


class Mode(StrEnum):
    """Whether an application follows merchants that are for real, or such as are there to try things out."""

    LIVE = "LIVE"
    SANDBOX = "SANDBOX"


class PartnerDocument(TypedDict):
    """An application, and the merchants whose events it may see; `mode` is for ever."""

    _id: str
    name: str
    mode: str
    merchant_ids: list[str]
    created_at: datetime


class PartnerKeyDocument(TypedDict):
    """A key of a partner, without its secret; times are naive UTC.

    `successor_id` is the key that it was rotated to, `last_used_at` at most a minute older than its last use.
    """

    _id: str
    partner_id: str
    name: str
    mode: str
    secret_hash: str
    scopes: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    successor_id: str | None
    last_used_at: datetime | None
    created_at: datetime


class KeyToMake(TypedDict):
    """A key that somebody was shown: its id, the hash of its secret, what it is called and may do."""

    key_id: str
    secret_hash: str
    name: str
    scopes: Sequence[str]


async def create_partner(
    database: Database,
    *,
    name: str,
    merchant_ids: Sequence[str],
    key_id: str,
    secret_hash: str,
    scopes: Sequence[str],
    partner_id: str | None = None,
    mode: Mode = Mode.LIVE,
    key_name: str = "first",
) -> str:
    """The id of a partner with this key; made again it gets this name, these merchants (at most 500) and scopes.

    Without a `partner_id` it follows from the key's. A key that is there already stays as it is beyond that, so that
    one that was revoked stays revoked. Raises ConflictError where a merchant, or the partner, is of the other mode.
    """
    if len(merchant_ids) > MAX_MERCHANTS:
        raise ValueError(f"a partner sees at most {MAX_MERCHANTS} merchants")
    id = partner_id or derived_id("ptn", key_id)
    now = utc_now()
    merchants = list(dict.fromkeys(merchant_ids))
    made: KeyToMake = {"key_id": key_id, "secret_hash": secret_hash, "name": key_name, "scopes": scopes}
    key = _key_document(id, mode, made, now)

    async def act(session: Session) -> None:
        about = {
            "name": {"$literal": name},
            "merchant_ids": merchants,
            **_kept({"created_at": now, "mode": mode.value}),
        }
        await database.update_one(PARTNERS, {"_id": id}, [{"$set": about}], upsert=True, session=session)
        partner = await _partner(database, id, session)
        if partner["mode"] != mode:
            raise ConflictError(f"The application {id} is {partner['mode']}, and stays so")
        await _claim(database, merchants, mode, session)
        stays = {**_kept(key), "scopes": list(scopes)}
        await database.update_one(KEYS, {"_id": key_id}, [{"$set": stays}], upsert=True, session=session)

    await run_transaction(database, act)
    return id


async def change_merchants(
    database: Database, partner_id: str, change: Callable[[list[str]], list[str]]
) -> PartnerDocument:
    """The partner that sees what `change` makes of its merchants, from now on and of their whole past.

    Raises NotFoundError, and ConflictError for more than 500 merchants or one of the other mode.
    """

    async def act(session: Session) -> PartnerDocument:
        partner = await _partner(database, partner_id, session)
        wanted = list(dict.fromkeys(change(partner["merchant_ids"])))
        if len(wanted) > MAX_MERCHANTS:
            raise ConflictError(f"An application sees at most {MAX_MERCHANTS} merchants")
        await _claim(database, wanted, Mode(partner["mode"]), session)
        update = {"$set": {"merchant_ids": wanted}}
        found = await database.find_one_and_update(PARTNERS, {"_id": partner_id}, update, session=session)
        return cast(PartnerDocument, found)

    return await run_transaction(database, act)


async def partners_by_ids(database: Database, ids: Sequence[str]) -> list[PartnerDocument | None]:
    """For each id the partner or None."""
    found = await database.by_ids(PARTNERS, [id if is_id("ptn", id) else "" for id in ids])
    return cast("list[PartnerDocument | None]", found)


async def all_partners(database: Database) -> list[PartnerDocument]:
    """All partners, the oldest first; at most 10,000."""
    found = await database.find(PARTNERS, {}, sort=[("_id", ASCENDING)], limit=MAX_PARTNERS)
    return cast("list[PartnerDocument]", found)


async def add_key(database: Database, partner_id: str, made: KeyToMake, now: datetime) -> PartnerKeyDocument:
    """The key, which is the partner's from now on.

    Raises NotFoundError, and ConflictError where a valid key has this name or there are 20 valid ones.
    """

    async def act(session: Session) -> PartnerKeyDocument:
        partner = await _touched(database, partner_id, session)
        valid = await _valid_keys(database, partner_id, now, session)
        if any(key["name"] == made["name"] for key in valid):
            raise ConflictError(f"There is a valid key that is called {made['name']!r}: revoke it, or choose a name")
        return await _insert_key(database, partner, made, valid, now, session)

    return await run_transaction(database, act)


async def rotate_key(
    database: Database, partner_id: str, id: str, made: KeyToMake, *, overlap_s: float, now: datetime
) -> tuple[PartnerKeyDocument, PartnerKeyDocument]:
    """The key, which ends in `overlap_s` (or at once, for 0; at most 7 days), and its successor, which is valid now.

    Raises NotFoundError, and ConflictError for a key that has ended, or has a successor that has not, and for 20 keys.
    """
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise ValueError(f"keys overlap for 0 to {MAX_OVERLAP_S:.0f} s")

    async def act(session: Session) -> tuple[PartnerKeyDocument, PartnerKeyDocument]:
        partner = await _touched(database, partner_id, session)
        valid = await _valid_keys(database, partner_id, now, session)
        old = await _key(database, partner_id, id, session)
        if old["_id"] not in {key["_id"] for key in valid}:
            raise ConflictError("The key has ended: make another instead")
        if old["successor_id"] in {key["_id"] for key in valid}:
            raise ConflictError(f"The key was rotated to {old['successor_id']}: revoke that one to rotate again")
        new = await _insert_key(database, partner, made, valid, now, session)
        ends = now + timedelta(seconds=overlap_s)
        if old["expires_at"] is not None:
            ends = min(ends, old["expires_at"])
        update = {"$set": {"expires_at": ends, "successor_id": new["_id"]}}
        changed = await database.find_one_and_update(KEYS, {"_id": id}, update, session=session)
        return cast(PartnerKeyDocument, changed), new

    return await run_transaction(database, act)


async def revoke_key(database: Database, partner_id: str, id: str, now: datetime) -> PartnerKeyDocument:
    """The key, which nobody can use any more; one that was revoked before stays as it was. Raises NotFoundError."""
    await database.update_one(
        KEYS, {"_id": id, "partner_id": partner_id, "revoked_at": None}, {"$set": {"revoked_at": now}}
    )
    return await _key(database, partner_id, id, None)


async def key_by_id(database: Database, id: str) -> PartnerKeyDocument | None:
    """The key with this id, revoked and expired ones too, or None."""
    return cast("PartnerKeyDocument | None", await database.find_one(KEYS, {"_id": id}) if is_id("key", id) else None)


async def keys_by_ids(database: Database, ids: Sequence[str]) -> list[PartnerKeyDocument | None]:
    """For each id the key or None."""
    found = await database.by_ids(KEYS, [id if is_id("key", id) else "" for id in ids])
    return cast("list[PartnerKeyDocument | None]", found)


async def keys_of(database: Database, partner_id: str, window: Window) -> PageDocument:
    """A page of a partner's keys, those that have ended too, the newest first; the window's key is time and id."""
    past, sort = keyset([("created_at", DESCENDING), ("_id", DESCENDING)], window)
    found = await database.find(KEYS, {"partner_id": partner_id, **past}, sort=sort, limit=window.limit)
    return page(found, window, lambda key: (key["created_at"], key["_id"]))


async def note_use(database: Database, id: str, now: datetime) -> None:
    """Note that the key was used now, unless that was noted less than a minute ago."""
    stale = {"$or": [{"last_used_at": None}, {"last_used_at": {"$lte": now - USE_NOTED_EVERY}}]}
    await database.update_one(KEYS, {"_id": id, **stale}, {"$set": {"last_used_at": now}})


async def merchants_of(database: Database, partner_id: str) -> list[str]:
    """The ids of the merchants whose events a partner may see now; none for a partner that there is not."""
    found = await database.find_one(PARTNERS, {"_id": partner_id})
    return [] if found is None else list(cast(PartnerDocument, found)["merchant_ids"])


async def merchants_with_a_key(
    database: Database, partner_ids: Sequence[str], scope: str, now: datetime
) -> dict[str, list[str]]:
    """For each of these partners (at most 10,000) the merchants that it may see now.

    None for those that have no valid key with this scope: to end all keys of an application is to shut it off.
    """
    ids = list(dict.fromkeys(partner_ids))
    if not ids:
        return {}
    keys = {"partner_id": {"$in": ids}, "scopes": scope, **_valid(now)}
    stages = [{"$match": keys}, {"$group": {"_id": "$partner_id"}}]
    allowed = {each["_id"] for each in await database.aggregate(KEYS, stages)}
    found = cast("list[PartnerDocument | None]", await database.by_ids(PARTNERS, ids))
    known = {partner["_id"]: partner["merchant_ids"] for partner in found if partner is not None}
    return {id: known.get(id, []) if id in allowed else [] for id in ids}


def is_valid(key: PartnerKeyDocument, now: datetime) -> bool:
    """Whether the key can be used at this time."""
    return key["revoked_at"] is None and (key["expires_at"] is None or key["expires_at"] > now)


def _kept(values: Document) -> Document:
    """These values where there are none yet."""
    return {name: {"$ifNull": [f"${name}", {"$literal": value}]} for name, value in values.items()}


def _valid(now: datetime) -> Document:
    return {"revoked_at": None, "$or": [{"expires_at": None}, {"expires_at": {"$gt": now}}]}


def _key_document(partner_id: str, mode: str, made: KeyToMake, now: datetime) -> Document:
    return {
        "partner_id": partner_id,
        "name": made["name"],
        "mode": str(mode),
        "secret_hash": made["secret_hash"],
        "scopes": list(made["scopes"]),
        "expires_at": None,
        "revoked_at": None,
        "successor_id": None,
        "last_used_at": None,
        "created_at": now,
    }


async def _insert_key(
    database: Database,
    partner: PartnerDocument,
    made: KeyToMake,
    valid: Sequence[PartnerKeyDocument],
    now: datetime,
    session: Session,
) -> PartnerKeyDocument:
    if len(valid) >= MAX_VALID_KEYS:
        raise ConflictError(f"An application has at most {MAX_VALID_KEYS} valid keys: revoke one first")
    key = {"_id": made["key_id"], **_key_document(partner["_id"], partner["mode"], made, now)}
    await database.insert_one(KEYS, key, session=session)
    return cast(PartnerKeyDocument, key)


async def _partner(database: Database, id: str, session: Session | None) -> PartnerDocument:
    found = await database.find_one(PARTNERS, {"_id": id}, session=session)
    if found is None:
        raise NotFoundError("There is no such application")
    return cast(PartnerDocument, found)


async def _touched(database: Database, id: str, session: Session) -> PartnerDocument:
    """The partner; of two transactions that touch it, the second runs again after the first."""
    found = await database.find_one_and_update(PARTNERS, {"_id": id}, {"$inc": {"key_changes": 1}}, session=session)
    if found is None:
        raise NotFoundError("There is no such application")
    return cast(PartnerDocument, found)


async def _valid_keys(database: Database, partner_id: str, now: datetime, session: Session) -> list[PartnerKeyDocument]:
    filter = {"partner_id": partner_id, **_valid(now)}
    found = await database.find(KEYS, filter, limit=2 * MAX_VALID_KEYS, session=session)
    return cast("list[PartnerKeyDocument]", found)


async def _key(database: Database, partner_id: str, id: str, session: Session | None) -> PartnerKeyDocument:
    found = await database.find_one(KEYS, {"_id": id, "partner_id": partner_id}, session=session)
    if found is None:
        raise NotFoundError("There is no such key")
    return cast(PartnerKeyDocument, found)


async def _claim(database: Database, merchant_ids: Sequence[str], mode: Mode, session: Session) -> None:
    """Give these merchants the mode, where they have none; raises ConflictError where one has the other."""
    if not merchant_ids:
        return
    claim = {"$setOnInsert": {"mode": mode.value}}
    await database.update_by_ids(MERCHANT_MODES, dict.fromkeys(merchant_ids, claim), upsert=True, session=session)
    others = {"_id": {"$in": list(merchant_ids)}, "mode": {"$ne": mode.value}}
    if (other := await database.find_one(MERCHANT_MODES, others, session=session)) is not None:
        raise ConflictError(
            f"The merchant {other['_id']} is {other['mode']}, as the application that it was first granted to: "
            f"one that is {mode} cannot see it"
        )
