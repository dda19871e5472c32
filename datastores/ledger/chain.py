"""The hash chain: what of an entry is hashed, how its private parts are sealed, and how a part is opened again.

The body of an entry is canonical JSON: UTF-8, keys sorted, no spaces, every number a string of decimal digits, every
time `YYYY-MM-DDTHH:MM:SS.mmmZ`. Each leg, and who asked under which key, stand in it as sealed parts:
`SHA-256(salt ‖ canonical part)` in hex. Then `hash = SHA-256(previous hash ‖ SHA-256(body))`. So anyone who holds a
body can check it, and whoever holds a part with its salt can show that it belongs to that body.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

Json = Mapping[str, Any] | Sequence[Any] | str | bool | None

GENESIS: Final = "0" * 64
_PUBLIC: Final = (
    "partition",
    "seq",
    "kind",
    "event_type",
    "state",
    "code",
    "currency",
    "amount",
    "sender_id",
    "recipient_id",
    "merchants",
    "order_id",
    "payment_request_id",
    "pending_id",
    "final",
    "reverses",
    "quote_id",
    "expires_at",
    "created_at",
    "memo_digest",
)
_AS_IT_IS: Final = frozenset((str, bool, type(None)))
_REQUEST: Final = ("caller", "key", "request_hash", "details")


def canonical(value: Json) -> bytes:
    """The one spelling of a value in JSON, for hashing."""
    return orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)


def plain(value: Any) -> Any:
    """The value with numbers and times as strings, as bodies hold them."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is int:
        return str(value)
    if kind is dict:
        # Inlined, since this is where hashing an entry spends its time.
        return {
            name: part if (type_ := type(part)) in _AS_IT_IS else str(part) if type_ is int else plain(part)
            for name, part in value.items()
        }
    # Enums, and the driver's 64-bit integers, are kinds of their own.
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    return [part if type(part) in _AS_IT_IS else plain(part) for part in value]


def seal(salt: str, value: Json) -> str:
    """The digest that stands for a private value; `salt` is hex."""
    return hashlib.sha256(bytes.fromhex(salt) + canonical(value)).hexdigest()


def part_salt(salt: str, part: str) -> str:
    """The salt of one part of an entry: showing it says nothing of the salts of the other parts."""
    return hmac.digest(bytes.fromhex(salt), part.encode(), "sha256").hex()


def request_part(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Who asked, under which key, for what; sealed as `request`."""
    return {name: entry[name] for name in _REQUEST}


def leg_salt(entry: Mapping[str, Any], index: int) -> str:
    """The salt of a leg by its place."""
    return part_salt(entry["salt"], f"leg/{index}")


def request_salt(entry: Mapping[str, Any]) -> str:
    """The salt of the part that only the caller may see."""
    return part_salt(entry["salt"], "request")


def body(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an entry with every private part sealed: what its hash covers.

    `id` and all that every party of the entry may know stand open: people and merchants by their ids alone.
    """
    sealed: dict[str, Any] = {name: entry[name] for name in _PUBLIC}
    sealed["id"] = entry["_id"]
    sealed["request"] = seal(request_salt(entry), request_part(entry))
    sealed["legs"] = [seal(leg_salt(entry, index), leg) for index, leg in enumerate(entry["legs"])]
    return sealed


def chained(previous_hash: str, sealed_body: Json) -> str:
    """The hash of an entry with this body that follows the entry with that hash; hex."""
    return hashlib.sha256(bytes.fromhex(previous_hash) + hashlib.sha256(canonical(sealed_body)).digest()).hexdigest()
