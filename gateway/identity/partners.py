"""The keys of partners: how they look, how they are made, and how one is recognised without being stored.

A key reads `agora_pk_<id>_<secret><checksum>`: a fixed prefix that secret scanners can find, the 26 characters of the
key's id, 43 characters of base 62 that hold 256 random bits, and a CRC-32 of all before it in 6 more, so that a typing
error or a made-up key is refused without a look into the database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from datastores.ids import new_id
from datastores.partners import PartnerKeyDocument
from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Partner

KEY_PREFIX: Final = "agora_pk_"
KEY_ID_PREFIX: Final = "key"
SECRET_BITS: Final = 256
_BASE_62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_KEY: Final = re.compile(r"agora_pk_([0-7][0-9A-HJKMNP-TV-Z]{25})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


FindPartnerKey = Callable[[str], Awaitable[PartnerKeyDocument | None]]
"""The key of that id, or None; read from the database each time, so that revoking a key works at once."""


@dataclass(frozen=True, slots=True)
class NewPartnerKey:
    """A key just made: `text` is for its owner and shown once, `id` and `secret_hash` are for the datastore."""

    id: str
    secret_hash: str
    text: str

    def __repr__(self) -> str:
        return f"NewPartnerKey(id={self.id!r})"


def new_partner_key() -> NewPartnerKey:
    """A key nobody has seen before."""
    return partner_key(new_id(KEY_ID_PREFIX), secrets.randbits(SECRET_BITS))


def partner_key(key_id: str, secret: int) -> NewPartnerKey:
    """The key of that id (`key_…`) with a secret of 256 random bits."""
    if not 0 <= secret < 2**SECRET_BITS:
        raise ValueError(f"a secret has {SECRET_BITS} bits")
    digits = _base_62(secret, _SECRET_LENGTH)
    signed = f"{KEY_PREFIX}{key_id.removeprefix(KEY_ID_PREFIX + '_')}_{digits}"
    return NewPartnerKey(id=key_id, secret_hash=_hash(digits), text=signed + _checksum(signed))


def is_partner_key(credential: str) -> bool:
    """Whether a credential means to be a partner's key rather than an access token."""
    return credential.startswith(KEY_PREFIX)


async def verify_partner_key(credential: str, find: FindPartnerKey, now: float) -> Partner:
    """The partner whose key it is at the Unix time `now`; raises `Unauthenticated`, which never says what was wrong.

    An unknown id, a wrong secret and a revoked key are one answer, so nobody learns which keys exist.
    """
    match = _KEY.fullmatch(credential)
    if match is None or _checksum(credential[:-_CHECKSUM_LENGTH]) != match[3]:
        raise Unauthenticated("The partner key is malformed: was it copied whole?")
    key = await find(f"{KEY_ID_PREFIX}_{match[1]}")
    # Fast hashing is right here: 256 random bits cannot be guessed, however fast a guess is checked.
    known = key["secret_hash"] if key is not None else ""
    if not hmac.compare_digest(_hash(match[2]), known) or key is None or key["revoked_at"] is not None:
        raise Unauthenticated("The partner key is not valid, or was revoked")
    expires_at = key["expires_at"].replace(tzinfo=UTC).timestamp() if key["expires_at"] is not None else None
    if expires_at is not None and expires_at <= now:
        raise Unauthenticated("The partner key has expired: use its successor")
    return Partner(key["partner_id"], key["_id"], frozenset(key["scopes"]), expires_at)


def _hash(digits: str) -> str:
    return hashlib.sha256(digits.encode("ascii")).hexdigest()


def _checksum(text: str) -> str:
    return _base_62(zlib.crc32(text.encode("ascii")), _CHECKSUM_LENGTH)


def _base_62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE_62))
        digits.append(_BASE_62[digit])
    return "".join(reversed(digits))
