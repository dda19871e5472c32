"""Receipts on the command line: what one proves, offline, and the keys that sign them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from datastores import ledger
from datastores.clock import utc_now
from datastores.sealing import check_master_key
from gateway.master_key import master_key
from gateway.settings import Settings

from .databases import open_database
from .errors import CommandError

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
FETCH_TIMEOUT_S: Final = 10.0
KEYS_FILE: Final = "receipt-keys.json"
_RELATED: Final = {
    "order_id": "order",
    "payment_request_id": "payment request",
    "reverses": "sends back entry",
    "pending_id": "ends entry",
}


def check(file: Path, keys: str | None) -> str:
    """What the receipts in the file prove, in lines; raises CommandError where one of them does not hold."""
    public_keys = _public_keys(keys if keys is not None else str(file.with_name(KEYS_FILE)))
    try:
        found = ledger.receipts_in(_parsed(_read(file), str(file)))
        proved = [(receipt, ledger.check_receipt(receipt, public_keys)) for receipt in found]
    except ledger.ReceiptError as error:
        raise CommandError(f"{file} does not hold: {error}") from None
    return "\n\n".join("\n".join(lines_of(receipt, body)) for receipt, body in proved)


def lines_of(receipt: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    """What a receipt that holds says, one fact a line."""
    lines = [
        ("receipt", "holds"),
        ("entry", f"{body['id']}, number {body['seq']} of {receipt['head_seq']} when it was signed"),
        ("what", f"{body['kind']}, {body['state']}" + (f" ({body['code']})" if body["code"] else "")),
        ("amount", _amount(body["amount"], body["currency"])),
        ("paid by", body["sender_id"] or "the system or money from outside"),
        ("paid to", body["recipient_id"] or "the system or money that left"),
        ("time", body["created_at"]),
        ("memo", _memo(body)),
        *(("of it", f"{name} {body[key]}") for key, name in _RELATED.items() if body.get(key)),
        *_opened(body),
        ("sealed", _sealed(body)),
        ("signed by", receipt["key_id"]),
    ]
    return [f"{name:<10}{value}" for name, value in lines]


async def keys(settings: Settings) -> str:
    """The published keys as JSON; raises WrongKeyError under another master key."""
    master = master_key(settings)
    async with open_database(settings) as database:
        await check_master_key(database, master)
        return _json(ledger.key_set(await ledger.public_keys(database, master)))


async def rotate_key(settings: Settings) -> str:
    """The id of the key that signs from now on; raises WrongKeyError under another master key."""
    master = master_key(settings)
    async with open_database(settings) as database:
        await check_master_key(database, master)
        return (await ledger.rotate_signing_key(database, master, utc_now())).id


def _amount(minor_units: str, currency: str | None) -> str:
    if currency is None:
        return "none"
    return f"{ledger.decimal_amount(int(minor_units), currency)} {currency}"


def _memo(body: Mapping[str, Any]) -> str:
    if "memo" in body:
        return orjson.dumps(body["memo"]["text"]).decode()
    return "none" if body["memo_digest"] is None else "sealed, or erased since"


def _opened(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    legs = [part["leg"] for part in body["legs"] if not isinstance(part, str)]
    return [
        (
            "own leg",
            f"{_amount(leg['delta'], leg['currency'])} on {leg['account_id']}, "
            f"balance then {_amount(leg['posted_after'], leg['currency'])}",
        )
        for leg in legs
    ]


def _sealed(body: Mapping[str, Any]) -> str:
    legs = sum(isinstance(part, str) for part in body["legs"])
    parts = [f"{legs} of {len(body['legs'])} legs with their balances"] if legs else []
    parts += ["who asked, and under which key"] if isinstance(body["request"], str) else []
    return ", ".join(parts) or "nothing"


def _public_keys(source: str) -> dict[str, bytes]:
    try:
        text = _fetched(source) if source.startswith(("http://", "https://")) else _read(Path(source))
        return ledger.keys_of_set(_parsed(text, source))
    except ValueError as error:
        raise CommandError(f"{source} holds no keys: {error}") from None


def _fetched(url: str) -> bytes:
    body = bytearray()
    try:
        with httpx.stream("GET", url, timeout=FETCH_TIMEOUT_S, follow_redirects=False) as response:
            if response.status_code != httpx.codes.OK:
                raise CommandError(f"{url} answered {response.status_code}")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_FILE_BYTES:
                    raise CommandError(f"{url} answered more than {MAX_FILE_BYTES} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(f"{url} does not answer: {error}") from None
    return bytes(body)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE_BYTES:
        raise CommandError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    return text


def _parsed(text: bytes, source: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise CommandError(f"{source} is not JSON") from None


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
