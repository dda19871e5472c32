"""The scalars: how each is written in answers and read from input."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NewType
from urllib.parse import urlsplit

import strawberry

from datastores.paging import MAX_CURSOR_LENGTH
from resolvers.texts import MAX_URL

BigInt = NewType("BigInt", int)
CurrencyCode = NewType("CurrencyCode", str)
Cursor = NewType("Cursor", str)
URL = NewType("URL", str)

MAX_INT64: Final = 2**63 - 1
_DECIMAL: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?\Z")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}\Z")
_CURRENCY: Final = re.compile(r"[A-Z]{3}\Z")
_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)\Z")


def write_time(time: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, of a naive UTC or an aware time."""
    if time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    return time.isoformat(timespec="milliseconds") + "Z"


def read_time(value: object) -> datetime:
    """Naive UTC in whole milliseconds; raises ValueError unless RFC 3339 with an offset."""
    if not isinstance(value, str) or not _DATE_TIME.match(value):
        raise ValueError("DateTime must be RFC 3339 with an offset, such as 2026-01-31T12:00:00Z")
    try:
        time = datetime.fromisoformat(value.upper()).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError("DateTime is not a date that exists") from None
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def write_decimal(value: Decimal | str) -> str:
    """All digits, never an exponent."""
    return format(Decimal(value), "f")


def read_decimal(value: object) -> Decimal:
    """A decimal from a string of digits; numbers are refused, since JSON rounds them on the way."""
    if not isinstance(value, str) or not _DECIMAL.match(value):
        raise ValueError('Decimal must be a string of digits such as "12.50", without exponent')
    return Decimal(value)


def read_big_int(value: object) -> int:
    """An int64 from a string of digits or an integer."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('BigInt must be a string of digits such as "42"')
    if isinstance(value, str):
        if not _INTEGER.match(value):
            raise ValueError('BigInt must be a string of digits such as "42"')
        value = int(value)
    if not -MAX_INT64 - 1 <= value <= MAX_INT64:
        raise ValueError("BigInt must fit into 64 bits")
    return value


def read_currency(value: object) -> str:
    """Three capital letters; whether the currency exists is the ledger's to say."""
    if not isinstance(value, str) or not _CURRENCY.match(value):
        raise ValueError("CurrencyCode must be three capital letters of ISO 4217, such as EUR")
    return value


def read_cursor(value: object) -> str:
    """Any string of bounded length; whether it is of this list is the list's to say."""
    if not isinstance(value, str) or len(value) > MAX_CURSOR_LENGTH:
        raise ValueError("Cursor must be a string that the same field returned")
    return value


def read_url(value: object) -> str:
    """An absolute http or https URL."""
    if not isinstance(value, str) or len(value) > MAX_URL or any(c.isspace() or c < " " for c in value):
        raise ValueError(f"URL must be a string of at most {MAX_URL} characters without spaces")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("URL is malformed") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("URL must start with https:// or http:// and name a host")
    return value


SCALARS: Final[dict[object, Any]] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment, RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=write_time,
        parse_value=read_time,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='A decimal number as a string, without exponent and never rounded: `"12.50"`.',
        serialize=write_decimal,
        parse_value=read_decimal,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description='A 64-bit integer as a string of digits: `"42"`.',
        serialize=str,
        parse_value=read_big_int,
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description="A currency of ISO 4217 in capital letters: `EUR`.",
        specified_by_url="https://www.iso.org/iso-4217-currency-codes.html",
        serialize=str,
        parse_value=read_currency,
    ),
    Cursor: strawberry.scalar(
        name="Cursor",
        description="A place in a list or a stream. Opaque, stable for ever, safe to store; of the field that gave it.",
        serialize=str,
        parse_value=read_cursor,
    ),
    URL: strawberry.scalar(
        name="URL",
        description="An absolute http or https URL of at most 2,048 characters.",
        specified_by_url="https://url.spec.whatwg.org/",
        serialize=str,
        parse_value=read_url,
    ),
}

ARGUMENT_SCALARS: Final[dict[str, Any]] = {"after": Cursor, "before": Cursor, "currency": CurrencyCode}
