"""The keys of partners: how they look, how they are made, and what is kept of them.

A key reads `agora_pk_<id>_<secret><checksum>`, or `agora_pk_test_…` for one of a sandbox application: a fixed prefix
that secret scanners can find, the 26 characters of the key's id, 43 characters of base 62 that hold 256 random bits,
and a CRC-32 of all before it in 6 more, so that a typing error or a made-up key is refused without any look-up.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

from datastores.ids import new_id
from datastores.partners import Mode

KEY_PREFIX: Final = "agora_pk_"
SANDBOX_MARK: Final = "test_"
KEY_ID_PREFIX: Final = "key"
SECRET_BITS: Final = 256
_BASE_62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_KEY: Final = re.compile(r"agora_pk_(test_)?([0-7][0-9A-HJKMNP-TV-Z]{25})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


@dataclass(frozen=True, slots=True)
class NewPartnerKey:
    """A key just made: `text` is for its owner and shown once, `id` and `secret_hash` are for the datastore."""

    id: str
    secret_hash: str
    text: str

    def __repr__(self) -> str:
        return f"NewPartnerKey(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class ReadPartnerKey:
    """What a key says of itself: nothing of it is proved before its hash is compared."""

    id: str
    mode: Mode
    secret_hash: str


def new_partner_key(mode: Mode = Mode.LIVE) -> NewPartnerKey:
    """A key nobody has seen before."""
    return partner_key(new_id(KEY_ID_PREFIX), secrets.randbits(SECRET_BITS), mode)


def partner_key(key_id: str, secret: int, mode: Mode = Mode.LIVE) -> NewPartnerKey:
    """The key of that id (`key_…`) with a secret of 256 random bits."""
    if not 0 <= secret < 2**SECRET_BITS:
        raise ValueError(f"a secret has {SECRET_BITS} bits")
    digits = _base_62(secret, _SECRET_LENGTH)
    mark = SANDBOX_MARK if mode is Mode.SANDBOX else ""
    signed = f"{KEY_PREFIX}{mark}{key_id.removeprefix(KEY_ID_PREFIX + '_')}_{digits}"
    return NewPartnerKey(id=key_id, secret_hash=_hash(digits), text=signed + _checksum(signed))


def is_partner_key(credential: str) -> bool:
    """Whether a credential means to be a partner's key rather than an access token."""
    return credential.startswith(KEY_PREFIX)


def read_partner_key(credential: str) -> ReadPartnerKey | None:
    """What a key says of itself; None for what is no key, or was not copied whole."""
    match = _KEY.fullmatch(credential)
    if match is None or _checksum(credential[:-_CHECKSUM_LENGTH]) != match[4]:
        return None
    mode = Mode.SANDBOX if match[1] else Mode.LIVE
    return ReadPartnerKey(f"{KEY_ID_PREFIX}_{match[2]}", mode, _hash(match[3]))


def _hash(digits: str) -> str:
    # Fast hashing is right here: 256 random bits cannot be guessed, however fast a guess is checked.
    return hashlib.sha256(digits.encode("ascii")).hexdigest()


def _checksum(text: str) -> str:
    return _base_62(zlib.crc32(text.encode("ascii")), _CHECKSUM_LENGTH)


def _base_62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE_62))
        digits.append(_BASE_62[digit])
    return "".join(reversed(digits))
