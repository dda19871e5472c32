"""Receipts: an entry as one of its parties may see it, with all that is needed to check it without the database."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, TypedDict, cast

import orjson

from . import chain
from .entries import Entry, Head
from .signing import SigningKey, is_signed

MAX_VALUES: Final = 100_000
_NAMES: Final = {
    "seq": "seq",
    "body": "body",
    "entryHash": "entry_hash",
    "previousHash": "previous_hash",
    "headSeq": "head_seq",
    "headHash": "head_hash",
    "keyId": "key_id",
    "signature": "signature",
}
_MARKS: Final = frozenset({"body", "signature"})


class Receipt(TypedDict):
    """`body` is canonical JSON; hashes are hex; the signature is base64."""

    seq: int
    body: str
    entry_hash: str
    previous_hash: str
    head_seq: int
    head_hash: str
    key_id: str
    signature: str


class ReceiptError(Exception):
    """The receipt does not hold; the message says what is wrong with it."""


def receipt(
    entry: Entry, reader_id: str, head: Head, key: SigningKey, *, memo: str | None = None, memo_salt: str | None = None
) -> Receipt:
    """The receipt of an entry for one person: their own legs open, all others sealed.

    A leg that is open stands as `{"leg", "salt"}`, so that its digest can be made again; what the caller asked for is
    open to the caller alone. The memo stands beside the hashed body, which holds its digest.
    """
    body = chain.body(entry)
    for index, leg in enumerate(entry["legs"]):
        if leg["owner_id"] == reader_id:
            body["legs"][index] = {"leg": leg, "salt": chain.leg_salt(entry, index)}
    if entry["caller"] == reader_id:
        body["request"] = {"request": chain.request_part(entry), "salt": chain.request_salt(entry)}
    if memo is not None and entry["memo_digest"]:
        body["memo"] = {"text": memo, "salt": memo_salt}
    signed = _signed(entry["seq"], entry["hash"], head["n"], head["hash"])
    return {
        "seq": entry["seq"],
        "body": chain.canonical(body).decode(),
        "entry_hash": entry["hash"],
        "previous_hash": entry["previous_hash"],
        "head_seq": head["n"],
        "head_hash": head["hash"],
        "key_id": key.id,
        "signature": base64.b64encode(key.sign(signed)).decode(),
    }


def receipts_in(document: object) -> list[dict[str, Any]]:
    """The receipts in this JSON, with document keys: one as GraphQL returns it, or all that a whole response holds.

    Raises ReceiptError where there is none, or more than 100,000 values to look through.
    """
    found: list[dict[str, Any]] = []
    waiting: list[object] = [document]
    for _ in range(MAX_VALUES):
        if not waiting:
            break
        value = waiting.pop()
        if isinstance(value, dict):
            if value.keys() >= _MARKS:
                found.append({own: value[name] for name, own in _NAMES.items() if name in value})
            else:
                waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)
    if waiting or not found:
        raise ReceiptError("There is no receipt in it: ask for all fields of `receipt`")
    return found


def check_receipt(receipt: Mapping[str, Any], public_keys: Mapping[str, bytes]) -> dict[str, Any]:
    """What the receipt says, as its body has it, once it is proved; raises ReceiptError where anything is off.

    Needs no database: the published keys will do.
    """
    try:
        return _checked(receipt, public_keys)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise ReceiptError("The receipt is not complete or not well formed") from error


def _checked(receipt: Mapping[str, Any], public_keys: Mapping[str, bytes]) -> dict[str, Any]:
    body = cast("dict[str, Any]", orjson.loads(receipt["body"]))
    if chain.canonical(body).decode() != receipt["body"]:
        raise ReceiptError("The body is not canonical JSON")
    sealed = _sealed(body)
    if chain.chained(receipt["previous_hash"], sealed) != receipt["entry_hash"]:
        raise ReceiptError("The body does not have the hash that the receipt states")
    if int(body["seq"]) != int(receipt["seq"]) or int(receipt["head_seq"]) < int(receipt["seq"]):
        raise ReceiptError("The numbers of entry and head do not fit the body")
    if (public := public_keys.get(receipt["key_id"])) is None:
        raise ReceiptError("The receipt is signed with a key that is not published")
    message = _signed(receipt["seq"], receipt["entry_hash"], receipt["head_seq"], receipt["head_hash"])
    if not is_signed(public, message, base64.b64decode(receipt["signature"], validate=True)):
        raise ReceiptError("The signature is not that of the ledger")
    return body


def _sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    sealed = dict(body)
    memo = sealed.pop("memo", None)
    if memo is not None and chain.seal(memo["salt"], memo["text"]) != body["memo_digest"]:
        raise ReceiptError("The memo is not the one that was sealed")
    if not isinstance(body["request"], str):
        sealed["request"] = chain.seal(body["request"]["salt"], body["request"]["request"])
    sealed["legs"] = [leg if isinstance(leg, str) else chain.seal(leg["salt"], leg["leg"]) for leg in body["legs"]]
    return sealed


def _signed(seq: object, entry_hash: str, head_seq: object, head_hash: str) -> bytes:
    signed = {"seq": str(seq), "entryHash": entry_hash, "headSeq": str(head_seq), "headHash": head_hash}
    return chain.canonical(signed)
