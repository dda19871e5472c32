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
    return _sealed(bytes.fromhex(salt), value)


def part_salt(salt: str, part: str) -> str:
    """The salt of one part of an entry: showing it says nothing of the salts of the other parts."""
    return _part_salt(bytes.fromhex(salt), part).hex()


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
    salt = bytes.fromhex(entry["salt"])
    sealed: dict[str, Any] = {name: entry[name] for name in _PUBLIC}
    sealed["id"] = entry["_id"]
    sealed["request"] = _sealed(_part_salt(salt, "request"), request_part(entry))
    sealed["legs"] = [_sealed(_part_salt(salt, f"leg/{index}"), leg) for index, leg in enumerate(entry["legs"])]
    return sealed


def entry_hash(entry: Mapping[str, Any]) -> str:
    """`chained(entry["previous_hash"], body(entry))`, spelled out: every entry that is appended pays for it."""
    salt = bytes.fromhex(entry["salt"])
    expires_at = entry["expires_at"]
    request = _sealed(_part_salt(salt, "request"), request_part(entry))
    legs = [
        _digest(
            _part_salt(salt, f"leg/{index}"),
            orjson.dumps(
                {
                    "account_id": leg["account_id"],
                    "currency": leg["currency"],
                    "delta": str(leg["delta"]),
                    "owner_id": leg["owner_id"],
                    "pending_in_after": str(leg["pending_in_after"]),
                    "pending_out_after": str(leg["pending_out_after"]),
                    "posted_after": str(leg["posted_after"]),
                    "status_after": leg["status_after"],
                    "version_after": str(leg["version_after"]),
                }
            ),
        )
        for index, leg in enumerate(entry["legs"])
    ]
    spelled = {
        "amount": str(entry["amount"]),
        "code": entry["code"],
        "created_at": entry["created_at"].isoformat(timespec="milliseconds") + "Z",
        "currency": entry["currency"],
        "event_type": entry["event_type"],
        "expires_at": None if expires_at is None else plain(expires_at),
        "final": entry["final"],
        "id": entry["_id"],
        "kind": entry["kind"],
        "legs": legs,
        "memo_digest": entry["memo_digest"],
        "merchants": entry["merchants"],
        "order_id": entry["order_id"],
        "partition": entry["partition"],
        "payment_request_id": entry["payment_request_id"],
        "pending_id": entry["pending_id"],
        "quote_id": entry["quote_id"],
        "recipient_id": entry["recipient_id"],
        "request": request,
        "reverses": entry["reverses"],
        "sender_id": entry["sender_id"],
        "seq": str(entry["seq"]),
        "state": entry["state"],
    }
    return _digest(bytes.fromhex(entry["previous_hash"]), hashlib.sha256(orjson.dumps(spelled)).digest())


def chained(previous_hash: str, sealed_body: Json) -> str:
    """The hash of an entry with this body that follows the entry with that hash; hex."""
    return _digest(bytes.fromhex(previous_hash), hashlib.sha256(canonical(sealed_body)).digest())


def _sealed(salt: bytes, value: Json) -> str:
    return _digest(salt, canonical(value))


def _digest(salt: bytes, part: bytes) -> str:
    return hashlib.sha256(salt + part).hexdigest()


def _part_salt(salt: bytes, part: str) -> bytes:
    return hmac.digest(salt, part.encode(), "sha256")
