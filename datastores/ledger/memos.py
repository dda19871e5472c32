"""Memos: what people write to a transfer or a request. Personal, so the chain holds a digest of it, and the text lies
beside the ledger under its writer's key.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from datastores.person_keys import SealedText, sealed_text
from datastores.sealing import SealingKey

from . import chain

SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Memo:
    """A text that goes with a transfer.

    The salt is as secret as the text: whoever had it could try texts until one fits the digest. So both are in
    `sealed`, which is all that is stored. `fingerprint` stands for the text in the hash of a request.
    """

    text: str
    salt: str = field(default_factory=lambda: secrets.token_hex(SALT_BYTES), compare=False)
    sealed: SealedText | None = field(default=None, compare=False)
    fingerprint: str = field(default="", compare=False)

    @property
    def digest(self) -> str:
        """What the chain holds of it."""
        return chain.seal(self.salt, self.text)


def written_memo(text: str, writer_id: str, key: SealingKey) -> Memo:
    """The memo that this person writes, sealed under their key."""
    salt = secrets.token_bytes(SALT_BYTES)
    sealed = sealed_text(salt + text.encode(), writer_id, key)
    return Memo(text, salt.hex(), sealed, key.digest("memo", text))


def read_memo(plain: bytes | None) -> Memo | None:
    """The memo in the plain bytes of its `sealed`; None where its writer has been erased."""
    return None if plain is None else Memo(plain[SALT_BYTES:].decode(), plain[:SALT_BYTES].hex())
