"""Whose key a credential is: recognised by its hash, looked up each time, so that revoking a key works at once."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC

from datastores.partners import Mode, PartnerKeyDocument
from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Partner
from resolvers.partners.keys import (
    KEY_ID_PREFIX,
    KEY_PREFIX,
    NewPartnerKey,
    is_partner_key,
    new_partner_key,
    partner_key,
    read_partner_key,
)

__all__ = [
    "KEY_ID_PREFIX",
    "KEY_PREFIX",
    "FindPartnerKey",
    "NewPartnerKey",
    "is_partner_key",
    "new_partner_key",
    "partner_key",
    "verify_partner_key",
]

FindPartnerKey = Callable[[str], Awaitable[PartnerKeyDocument | None]]
"""The key of that id, or None."""


async def verify_partner_key(credential: str, find: FindPartnerKey, now: float) -> Partner:
    """The partner whose key it is at the Unix time `now`; raises `Unauthenticated`, which never says what was wrong.

    An unknown id, a wrong secret, another mode and a revoked key are one answer, so nobody learns which keys exist.
    """
    read = read_partner_key(credential)
    if read is None:
        raise Unauthenticated("The partner key is malformed: was it copied whole?")
    key = await find(read.id)
    known = key["secret_hash"] if key is not None else ""
    if not hmac.compare_digest(read.secret_hash, known) or key is None or key["revoked_at"] is not None:
        raise Unauthenticated("The partner key is not valid, or was revoked")
    # The prefix is no part of the secret: whoever rewrites it must not be taken for another kind of application.
    if key.get("mode", Mode.LIVE) != read.mode:
        raise Unauthenticated("The partner key is not valid, or was revoked")
    expires_at = key["expires_at"].replace(tzinfo=UTC).timestamp() if key["expires_at"] is not None else None
    if expires_at is not None and expires_at <= now:
        raise Unauthenticated("The partner key has expired: use its successor")
    return Partner(key["partner_id"], key["_id"], frozenset(key["scopes"]), expires_at)
