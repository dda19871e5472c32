"""What texts a use case accepts: trimmed, of bounded length, storable."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from datastores.errors import ValidationError

MAX_URL: Final = 2_048
MAX_CLIENT_ID: Final = 100


def is_storable(value: str) -> bool:
    """Whether the text has neither NUL nor half of a surrogate pair."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value)


def trimmed(value: str, *path: str, most: int, least: int = 1) -> str:
    """The text without white space around it; raises ValidationError unless it has `least` to `most` characters.

    Characters are Unicode code points.
    """
    text = value.strip()
    if not is_storable(text):
        raise ValidationError("The text has characters that are not text: NUL or half of a surrogate pair", *path)
    if len(text) > most:
        raise ValidationError(f"The text must have at most {most:,} characters, not {len(text):,}", *path)
    if len(text) < least:
        raise ValidationError("The text is empty" if least == 1 else f"The text needs {least} characters", *path)
    return text


def trimmed_or_none(value: str | None, *path: str, most: int) -> str | None:
    """As `trimmed`, with None for None and for a text that is empty."""
    return None if value is None else trimmed(value, *path, most=most, least=0) or None


def web_url(value: str, *path: str) -> str:
    """The URL; raises ValidationError unless it is absolute, http or https, and of at most 2,048 characters."""
    if len(value) > MAX_URL:
        raise ValidationError(f"The URL must have at most {MAX_URL:,} characters", *path)
    if not is_storable(value) or any(c.isspace() or not c.isprintable() for c in value):
        raise ValidationError("The URL must not have spaces or control characters", *path)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ValidationError("The URL must start with https:// or http:// and name a host", *path)
    return value


def client_id(value: str | None, *path: str) -> str | None:
    """The id that a client gave its act; raises ValidationError unless it has 1 to 100 printable characters."""
    if value is not None and not (0 < len(value) <= MAX_CLIENT_ID and value.isprintable() and is_storable(value)):
        raise ValidationError(f"The client's id must have 1 to {MAX_CLIENT_ID} printable characters", *path)
    return value
