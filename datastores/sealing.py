"""Sealing: what must not lie in the database in the clear, under AES-256-GCM with a key of 32 bytes."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import IndexModel

from .errors import ExpectedError
from .mongo import Database

KEY_BYTES: Final = 32
MASTER_KEYS: Final = "master_keys"
_NONCE_BYTES: Final = 12
_MASTER: Final = "master"
INDEXES: Mapping[str, Sequence[IndexModel]] = {MASTER_KEYS: []}


class WrongKeyError(ExpectedError):
    """What was sealed was sealed under another key, or has been changed since."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key of 32 bytes that seals bytes and makes digests that say nothing without it."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")

    @classmethod
    def generate(cls) -> SealingKey:
        """A new key."""
        return cls(os.urandom(KEY_BYTES))

    def seal(self, plain: bytes, about: str) -> bytes:
        """The plain bytes sealed (28 bytes more); only whoever names the same `about` can open them."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.raw).encrypt(nonce, plain, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """The plain bytes; raises WrongKeyError."""
        try:
            return AESGCM(self.raw).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError):
            raise WrongKeyError(f"{about} was sealed under another key, or has been changed since") from None

    def digest(self, *parts: str) -> str:
        """The HMAC-SHA-256 of these texts, in hex: without the key nobody can try which texts fit it."""
        # Never the key itself, which only ever encrypts.
        key = hmac.digest(self.raw, b"agora digest", "sha256")
        return hmac.digest(key, "".join(f"{len(part)}:{part}" for part in parts).encode(), "sha256").hex()


async def check_master_key(database: Database, master: SealingKey) -> None:
    """Raise WrongKeyError unless all that was sealed in this database so far was sealed under this master key."""
    check = {"check": master.digest(_MASTER)}
    await database.update_one(MASTER_KEYS, {"_id": _MASTER}, {"$setOnInsert": check}, upsert=True)
    if not await is_master_key(database, master):
        raise WrongKeyError(
            "AGORA_MASTER_KEY (in development the file master-key of the data folder) is not the key that "
            "this database was sealed with"
        )


async def is_master_key(database: Database, master: SealingKey) -> bool:
    """Whether this is the master key that things were sealed under in this database; False where nothing was yet."""
    found = await database.find_one(MASTER_KEYS, {"_id": _MASTER})
    return found is not None and hmac.compare_digest(found["check"], master.digest(_MASTER))
