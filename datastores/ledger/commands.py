"""Commands: the identity of an act of the ledger, made from its caller, their key and what they asked for."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from datastores.errors import ValidationError
from datastores.ids import derived_id

from . import chain

SYSTEM: Final = "system"
MAX_KEY_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class Command:
    """Who asks, under which key, for what: the identity of an act, the same for every try of it.

    `entry_id` is the id of the entry that answers the key: derived, so that there can be only one, whoever writes it.
    """

    caller: str
    key: str
    request_hash: str
    salt: str = field(compare=False)
    entry_id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entry_id", derived_id("ent", self.caller, self.key))

    def id(self, prefix: str) -> str:
        """The id of what the entry brings about: `trf_…`, `preq_…` or `ord_…` with the ULID of the entry."""
        return sibling_id(self.entry_id, prefix)


def command(caller: str, key: str, name: str, request: Mapping[str, Any], *, salt: str | None = None) -> Command:
    """The command of a mutation `name` with this input (amounts in minor units, so that "1" and "1.00" are the same).

    Raises ValidationError for a key that is empty or has more than 255 characters.
    """
    if not key.strip() or len(key) > MAX_KEY_LENGTH:
        raise ValidationError(f"The key must have 1 to {MAX_KEY_LENGTH} characters", "idempotencyKey")
    digest = hashlib.sha256(chain.canonical({"mutation": name, "input": request})).hexdigest()
    return Command(caller, key, digest, salt or new_salt())


def system_command(name: str, subject_id: str, *, salt: str | None = None) -> Command:
    """The command of an act that the system does once for a subject, such as `release` for an order."""
    return command(SYSTEM, f"{name}:{subject_id}", name, {"subject": subject_id}, salt=salt)


def new_salt() -> str:
    """What seals an entry's private parts: 128 random bits, in hex."""
    return secrets.token_hex(16)


def sibling_id(id: str, prefix: str) -> str:
    """The id with this prefix that shares the ULID of `id`."""
    return f"{prefix}_{id.split('_')[1]}"
