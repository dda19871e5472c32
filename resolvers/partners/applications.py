"""Applications of partners: what one sees of itself by its key, and what it does with its keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from datastores import partners as store
from datastores.errors import ForbiddenError, UnauthenticatedError, ValidationError
from datastores.mongo import Document
from datastores.paging import PageDocument, window
from datastores.partners import KeyToMake, Mode, PartnerKeyDocument
from resolvers.connections import HasId
from resolvers.context import KEYS_WRITE, SCOPES, Context
from resolvers.texts import trimmed

from .keys import new_partner_key

MAX_NAME: Final = 100
DEFAULT_OVERLAP_HOURS: Final = 24
MAX_OVERLAP_HOURS: Final = int(store.MAX_OVERLAP_S) // 3600


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key just made, and the text of it, which nobody can show again."""

    key: PartnerKeyDocument
    text: str


def partner_of(ctx: Context, scope: str | None = None) -> str:
    """The application that asks, by a key with this scope.

    Raises UnauthenticatedError for nobody, ForbiddenError for a person and for a key without the scope.
    """
    viewer = ctx.viewer
    if viewer.kind == "anonymous":
        raise UnauthenticatedError("Send a partner's key in the Authorization header")
    if viewer.partner_id is None:
        raise ForbiddenError("Only an application can do this: send a partner's key")
    if scope is not None and scope not in viewer.scopes:
        raise ForbiddenError(f"The key lacks the scope {scope}")
    return viewer.partner_id


async def application(ctx: Context) -> Document | None:
    """The application whose key is used; None for everybody else."""
    if ctx.viewer.partner_id is None:
        return None
    (found,) = await applications_by_id(ctx, [ctx.viewer.partner_id])
    return found


async def applications_by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the application, or None unless it is the one that asks."""
    found = await store.partners_by_ids(ctx.database, [id if id == ctx.viewer.partner_id else "" for id in ids])
    return cast("list[Document | None]", found)


async def keys_by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the key, or None unless it is one of the application that asks."""
    if ctx.viewer.partner_id is None:
        return [None] * len(ids)
    found = await store.keys_by_ids(ctx.database, ids)
    theirs = [key if key is not None and key["partner_id"] == ctx.viewer.partner_id else None for key in found]
    return cast("list[Document | None]", theirs)


async def keys(
    ctx: Context, applications: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument]:
    """For each application a page of its keys, those that have ended too, the newest first."""

    async def one(partner_id: str) -> PageDocument:
        asked = window(f"partner_keys/{partner_id}", datetime, str, first=first, after=after)
        return await store.keys_of(ctx.database, partner_id, asked)

    return [await one(each["_id"]) for each in applications]


async def create_key(ctx: Context, *, name: str, scopes: Sequence[str]) -> MadeKey:
    """Another key of the application that asks.

    Raises ValidationError for a scope that there is not, ForbiddenError for one that the asking key lacks, and
    ConflictError where a valid key has this name or there are 20.
    """
    partner_id = partner_of(ctx, KEYS_WRITE)
    name = trimmed(name, "name", most=MAX_NAME)
    _check_within(ctx, checked := checked_scopes(scopes))
    made, text = await _draft(ctx, partner_id, name, checked)
    return MadeKey(await store.add_key(ctx.database, partner_id, made, ctx.now()), text)


async def rotate_key(ctx: Context, *, key_id: str, overlap_hours: int | None = None) -> tuple[MadeKey, Document]:
    """A key with the name and the scopes of this one, which ends when the overlap is over; and that one.

    Raises NotFoundError, ForbiddenError for a key with scopes that the asking one lacks, and ConflictError for one that
    has ended or has a valid successor.
    """
    partner_id = partner_of(ctx, KEYS_WRITE)
    hours = DEFAULT_OVERLAP_HOURS if overlap_hours is None else overlap_hours
    if not 0 <= hours <= MAX_OVERLAP_HOURS:
        raise ValidationError(f"Keys overlap for 0 to {MAX_OVERLAP_HOURS} hours", "overlapHours")
    (old,) = await keys_by_id(ctx, [key_id])
    if old is not None:
        _check_within(ctx, old["scopes"])
    made, text = await _draft(ctx, partner_id, "" if old is None else old["name"], [] if old is None else old["scopes"])
    ended, new = await store.rotate_key(ctx.database, partner_id, key_id, made, overlap_s=hours * 3600.0, now=ctx.now())
    return MadeKey(new, text), cast(Document, ended)


async def revoke_key(ctx: Context, *, key_id: str) -> PartnerKeyDocument:
    """The key, which is of no use any more, nor are the sockets that it opened. Raises NotFoundError."""
    partner_id = partner_of(ctx, KEYS_WRITE)
    return await store.revoke_key(ctx.database, partner_id, key_id, ctx.now())


def checked_scopes(scopes: Sequence[str]) -> list[str]:
    """The scopes, each once; raises ValidationError for one that there is not, and for none at all."""
    if not scopes or any(scope not in SCOPES for scope in scopes):
        raise ValidationError(f"Scopes are one or more of {', '.join(SCOPES)}", "scopes")
    return list(dict.fromkeys(scopes))


async def _draft(ctx: Context, partner_id: str, name: str, scopes: Sequence[str]) -> tuple[KeyToMake, str]:
    (partner,) = await store.partners_by_ids(ctx.database, [partner_id])
    new = new_partner_key(Mode.LIVE if partner is None else Mode(partner.get("mode", Mode.LIVE)))
    return {"key_id": new.id, "secret_hash": new.secret_hash, "name": name, "scopes": scopes}, new.text


def _check_within(ctx: Context, scopes: Sequence[str]) -> None:
    if lacking := [scope for scope in scopes if scope not in ctx.viewer.scopes]:
        raise ForbiddenError(f"The key lacks the scope {lacking[0]} itself")
