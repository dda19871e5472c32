"""Applications of partners on the command line: made, listed, granted merchants, and their keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from datastores import merchants, partners
from datastores.accounts import by_handles
from datastores.clock import utc_now
from datastores.errors import ValidationError
from datastores.ids import is_id
from datastores.mongo import Database
from datastores.paging import MAX_PAGE, window
from datastores.partners import Mode, PartnerDocument, PartnerKeyDocument
from gateway.settings import Settings
from resolvers.partners import checked_scopes, new_partner_key

from .databases import open_database
from .errors import CommandError

MAX_NAME_LENGTH: Final = 100
MAX_OVERLAP_HOURS: Final = int(partners.MAX_OVERLAP_S) // 3600


async def create_partner(
    settings: Settings, name: str, of: Sequence[str], scopes: Sequence[str], *, sandbox: bool
) -> str:
    """The key of a new application that follows these merchants, named by id or by their owner's handle."""
    named = _name(name)
    mode = Mode.SANDBOX if sandbox else Mode.LIVE
    key = new_partner_key(mode)
    wanted = _scopes(scopes)
    async with open_database(settings) as database:
        merchant_ids = [await _merchant_id(database, one) for one in of]
        await partners.create_partner(
            database,
            name=named,
            merchant_ids=merchant_ids,
            key_id=key.id,
            secret_hash=key.secret_hash,
            scopes=wanted,
            mode=mode,
        )
    return key.text


async def list_partners(settings: Settings) -> list[str]:
    """A line for each application: id, mode, how many merchants it sees, name."""
    async with open_database(settings) as database:
        found = await partners.all_partners(database)
    return [
        f"{each['_id']}  {each.get('mode', Mode.LIVE):<7}  {len(each['merchant_ids']):>3} merchants  {each['name']}"
        for each in found
    ]


async def list_keys(settings: Settings, partner_id: str) -> list[str]:
    """A line for each of the newest 100 keys of an application: id, state, when it was last used, scopes, name."""
    async with open_database(settings) as database:
        await _partner(database, partner_id)
        asked = window(partner_id, datetime, str, first=MAX_PAGE)
        page = await partners.keys_of(database, partner_id, asked)
    now = utc_now()
    return [_key_line(edge["node"], now) for edge in page["edges"]]  # type: ignore[arg-type]


async def add_key(settings: Settings, partner_id: str, name: str, scopes: Sequence[str]) -> str:
    """Another key of an application."""
    named, wanted = _name(name), _scopes(scopes)
    async with open_database(settings) as database:
        partner = await _partner(database, partner_id)
        key = new_partner_key(Mode(partner.get("mode", Mode.LIVE)))
        made: partners.KeyToMake = {"key_id": key.id, "secret_hash": key.secret_hash, "name": named, "scopes": wanted}
        await partners.add_key(database, partner_id, made, utc_now())
    return key.text


async def rotate_key(settings: Settings, key_id: str, overlap_hours: int) -> str:
    """The successor of a key, which ends when the overlap is over."""
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise CommandError(f"keys overlap for 0 to {MAX_OVERLAP_HOURS} hours")
    async with open_database(settings) as database:
        old = await _key(database, key_id)
        key = new_partner_key(Mode(old.get("mode", Mode.LIVE)))
        made: partners.KeyToMake = {
            "key_id": key.id,
            "secret_hash": key.secret_hash,
            "name": old.get("name", "first"),
            "scopes": old["scopes"],
        }
        await partners.rotate_key(
            database, old["partner_id"], key_id, made, overlap_s=overlap_hours * 3600.0, now=utc_now()
        )
    return key.text


async def revoke_key(settings: Settings, key_id: str) -> str:
    """A line that says that nobody can use the key any more."""
    async with open_database(settings) as database:
        key = await _key(database, key_id)
        revoked = await partners.revoke_key(database, key["partner_id"], key_id, utc_now())
    return f"{key_id} was revoked at {revoked['revoked_at']:%Y-%m-%d %H:%M:%S} UTC"


async def grant(settings: Settings, partner_id: str, of: Sequence[str], *, withdraw: bool) -> str:
    """A line that says how many merchants an application sees after these were granted to it, or taken away."""
    async with open_database(settings) as database:
        ids = [await _merchant_id(database, one) for one in of]
        change: Callable[[list[str]], list[str]] = lambda now: [*now, *ids]  # noqa: E731
        if withdraw:
            change = lambda now: [id for id in now if id not in ids]  # noqa: E731
        partner = await partners.change_merchants(database, partner_id, change)
    return f"{partner_id} sees {len(partner['merchant_ids'])} merchants now"


def _key_line(key: PartnerKeyDocument, now: datetime) -> str:
    state = "valid" if partners.is_valid(key, now) else "revoked" if key["revoked_at"] else "expired"
    if state == "valid" and key["expires_at"] is not None:
        state = f"valid until {key['expires_at']:%Y-%m-%d %H:%M}"
    used = key.get("last_used_at")
    last = "never used" if used is None else f"last used {used:%Y-%m-%d %H:%M}"
    return f"{key['_id']}  {state}  {last}  {' '.join(key['scopes'])}  {key.get('name', 'first')}"


def _name(name: str) -> str:
    if not 1 <= len(name.strip()) <= MAX_NAME_LENGTH:
        raise CommandError(f"a name has 1 to {MAX_NAME_LENGTH} characters")
    return name.strip()


def _scopes(scopes: Sequence[str]) -> list[str]:
    try:
        return checked_scopes(scopes)
    except ValidationError as error:
        raise CommandError(error.message) from None


async def _partner(database: Database, id: str) -> PartnerDocument:
    (found,) = await partners.partners_by_ids(database, [id])
    if found is None:
        raise CommandError(f"{id!r} is no application's id: `agora partner list` has them")
    return found


async def _key(database: Database, id: str) -> PartnerKeyDocument:
    found = await partners.key_by_id(database, id)
    if found is None:
        raise CommandError(f"{id!r} is no key's id: `agora partner keys PARTNER` has them")
    return found


async def _merchant_id(database: Database, named: str) -> str:
    if is_id("mer", named):
        (found,) = await merchants.merchants_by_ids(database, [named])
    else:
        (owner,) = await by_handles(database, [named])
        ids = [] if owner is None else [merchants.merchant_id(owner["_id"])]
        found = next(iter(await merchants.merchants_by_ids(database, ids)), None)
    if found is None:
        raise CommandError(f"{named!r} is neither a merchant's id nor the handle of one's owner")
    return str(found["_id"])
