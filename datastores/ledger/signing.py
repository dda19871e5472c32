"""Signing keys: the Ed25519 keys that sign what the ledger hands out, and the public halves that anyone may have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pymongo import IndexModel

from datastores.mongo import Database

SIGNING_KEYS: Final = "signing_keys"
MAX_KEYS: Final = 1_000
INDEXES: Mapping[str, Sequence[IndexModel]] = {SIGNING_KEYS: []}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the id under which its public half is published."""

    id: str
    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key; its id is made from its public half."""
        return cls.from_bytes(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_bytes(cls, raw: bytes) -> SigningKey:
        """The key in these 32 bytes."""
        private = Ed25519PrivateKey.from_private_bytes(raw)
        return cls(f"key_{hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()[:24]}", private)

    @property
    def public(self) -> bytes:
        """The 32 bytes of its public half."""
        return self.private.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of its signature."""
        return self.private.sign(message)


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the key with this public half signed the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


async def signing_key(database: Database, now: datetime) -> SigningKey:
    """The key to sign with: the newest; made at the first asking."""
    newest = await database.find_one(SIGNING_KEYS, {}, sort=[("created_at", -1), ("_id", 1)])
    if newest is not None:
        return SigningKey.from_bytes(bytes.fromhex(newest["private_key"]))
    await add_signing_key(database, SigningKey.generate(), now)
    return await signing_key(database, now)


async def add_signing_key(database: Database, key: SigningKey, now: datetime) -> None:
    """Sign with this key from now on; what older keys have signed stays good."""
    document = {"public_key": key.public.hex(), "private_key": key.private.private_bytes_raw().hex(), "created_at": now}
    await database.update_one(SIGNING_KEYS, {"_id": key.id}, {"$setOnInsert": document}, upsert=True)


async def public_keys(database: Database) -> dict[str, bytes]:
    """Key id → public half, of all keys that ever signed: for publishing and for checking receipts."""
    found = await database.find(SIGNING_KEYS, {}, limit=MAX_KEYS, projection={"public_key": 1})
    return {document["_id"]: bytes.fromhex(document["public_key"]) for document in found}
