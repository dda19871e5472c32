"""Signing keys: the Ed25519 keys that sign what the ledger hands out, and the public halves that anyone may have."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pymongo import IndexModel

from datastores.mongo import Database, Document
from datastores.sealing import SealingKey, WrongKeyError

SIGNING_KEYS: Final = "signing_keys"
MAX_KEYS: Final = 1_000
_NEWEST_FIRST: Final = [("created_at", -1), ("_id", 1)]
INDEXES: Mapping[str, Sequence[IndexModel]] = {SIGNING_KEYS: [IndexModel(_NEWEST_FIRST, name="newest_first")]}


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
        return cls(key_id(private.public_key().public_bytes_raw()), private)

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


def key_id(public: bytes) -> str:
    """The id of the key with this public half: whoever has the half can tell that it has this id."""
    return f"key_{hashlib.sha256(public).hexdigest()[:24]}"


async def signing_key(database: Database, master: SealingKey, now: datetime) -> SigningKey:
    """The key to sign with: the newest; made at the first asking. Raises WrongKeyError under another master key."""
    if (stored := await _stored(database)) == []:
        await add_signing_key(database, master, SigningKey.generate(), now)
        stored = await _stored(database)
    return _ours(stored, master)[0]


async def add_signing_key(database: Database, master: SealingKey, key: SigningKey, now: datetime) -> None:
    """Sign with this key from now on; what older keys have signed stays good. Its private half lies sealed."""
    sealed = master.seal(key.private.private_bytes_raw(), _about(key.id))
    document = {"public_key": key.public.hex(), "sealed": sealed, "created_at": now}
    await database.update_one(SIGNING_KEYS, {"_id": key.id}, {"$setOnInsert": document}, upsert=True)


async def rotate_signing_key(database: Database, master: SealingKey, now: datetime) -> SigningKey:
    """A new key, which signs from now on. Raises WrongKeyError, and adds none, under another master key."""
    if stored := await _stored(database):
        _ours(stored, master)
        # The newest signs, so the new one must be newer, whatever this clock says.
        now = max(now, stored[0]["created_at"] + timedelta(milliseconds=1))
    key = SigningKey.generate()
    await add_signing_key(database, master, key, now)
    return key


async def public_keys(database: Database, master: SealingKey | None = None) -> dict[str, bytes]:
    """Key id → public half, of all keys that ever signed, the newest first: for publishing and for checking.

    With the master key, of the ledger's own alone: not of one that somebody has slipped into the database.
    """
    stored = await _stored(database)
    if master is not None:
        return {key.id: key.public for document in stored if (key := _opened(document, master)) is not None}
    return {document["_id"]: _public(document) for document in stored}


def key_set(keys: Mapping[str, bytes]) -> dict[str, list[dict[str, str]]]:
    """The keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""
    common = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA"}
    return {"keys": [{**common, "kid": id, "x": _base64url(public)} for id, public in keys.items()]}


def keys_of_set(document: object) -> dict[str, bytes]:
    """Key id → public half, of the Ed25519 keys in a JSON Web Key Set; raises ValueError for anything else."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"it is no JSON Web Key Set of at most {MAX_KEYS} keys")
    fitting = [key for key in keys if isinstance(key, dict) and key.get("crv") == "Ed25519"]
    try:
        return {str(key["kid"]): base64.b64decode(key["x"] + "=", altchars=b"-_", validate=True) for key in fitting}
    except (KeyError, TypeError, ValueError):
        raise ValueError("one of its keys is malformed") from None


async def _stored(database: Database) -> list[Document]:
    return await database.find(SIGNING_KEYS, {}, sort=_NEWEST_FIRST, limit=MAX_KEYS)


def _ours(stored: Sequence[Document], master: SealingKey) -> list[SigningKey]:
    """The keys that open, the newest first; raises WrongKeyError where none does."""
    opened = [key for document in stored if (key := _opened(document, master)) is not None]
    if not opened:
        raise WrongKeyError("The signing keys were sealed under another master key")
    return opened


def _opened(document: Document, master: SealingKey) -> SigningKey | None:
    """The key in a document, or None where it was not sealed under this master key and for this public half."""
    try:
        key = SigningKey.from_bytes(master.open(document["sealed"], _about(document["_id"])))
    except (WrongKeyError, KeyError, TypeError, ValueError):
        return None
    return key if (key.id, key.public.hex()) == (document["_id"], document["public_key"]) else None


def _public(document: Document) -> bytes:
    try:
        return bytes.fromhex(document["public_key"])
    except (TypeError, ValueError):
        # No signature is good by it, and its id is that of another.
        return b""


def _about(id: str) -> str:
    return f"signing key {id}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
