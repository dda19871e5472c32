"""Globally unique ids: `<prefix>_<26-character ULID>`, sortable by the time they were made."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from datetime import datetime
from typing import Final

from .clock import milliseconds_of

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_ID: Final = re.compile(r"[a-z]{2,6}_[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
MAX_ID_LENGTH: Final = 40
RANDOM_BITS: Final = 80


def new_id(prefix: str) -> str:
    """A new id such as `post_01JD…`; ids made later sort later, to the millisecond."""
    return f"{prefix}_{_digits((time.time_ns() // 1_000_000 << RANDOM_BITS) | secrets.randbits(RANDOM_BITS))}"


def id_at(prefix: str, time: datetime, random_bits: int | None = None) -> str:
    """A new id that carries this naive UTC time, to the millisecond; its other 80 bits are `random_bits` if given."""
    chance = secrets.randbits(RANDOM_BITS) if random_bits is None else random_bits
    return f"{prefix}_{_digits((milliseconds_of(time) << RANDOM_BITS) | chance)}"


def derived_id(prefix: str, *parts: str) -> str:
    """The id that the same parts always give: for documents that must exist at most once, whoever makes them."""
    number = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16], "big")
    return f"{prefix}_{_digits(number)}"


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form of an id with this prefix; says nothing of whether it exists."""
    return len(text) <= MAX_ID_LENGTH and text.startswith(prefix + "_") and _ID.match(text) is not None


def _digits(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
