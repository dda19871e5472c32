"""Globally unique ids: `<prefix>_<26-character ULID>`, sortable by the time they were made."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from ulid import ULID

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID: Final = re.compile(r"[a-z]{2,6}_[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
MAX_ID_LENGTH: Final = 40


def new_id(prefix: str) -> str:
    """A new id such as `post_01JD…`; ids made later sort later, to the millisecond."""
    return f"{prefix}_{ULID()}"


def derived_id(prefix: str, *parts: str) -> str:
    """The id that the same parts always give: for documents that must exist at most once, whoever makes them."""
    number = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16], "big")
    digits = [_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form of an id with this prefix; says nothing of whether it exists."""
    return len(text) <= MAX_ID_LENGTH and text.startswith(prefix + "_") and _ID.match(text) is not None
