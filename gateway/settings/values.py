"""How the text of a setting is read; each raises ValueError with what must be instead, and never quotes a secret."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from .choices import Environment

DEVELOPMENT_ISSUER: Final = "urn:agora:development"
MAX_ALLOWED_ORIGINS: Final = 50
MASTER_KEY_BYTES: Final = 32
ASYMMETRIC_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS: Final = frozenset({"0", "false", "no", "off"})
DATABASE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,38}")
HOST_NAME: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")

E = TypeVar("E", bound=StrEnum)


def one_of(kind: type[E]) -> Callable[[str], E]:
    """A member of the enumeration, whatever the case of the word."""

    def parse(text: str) -> E:
        try:
            return kind(text.lower())
        except ValueError:
            raise ValueError(f"must be one of {', '.join(kind)}, not {_quoted(text)}") from None

    return parse


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A number within these bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {_quoted(text)}")
        return int(text)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """Seconds within these bounds."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}, not {_quoted(text)}")
        return float(text)

    return parse


def flag(text: str) -> bool:
    """A truth value."""
    word = text.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(f"must be true or false, not {_quoted(text)}")
    return word in TRUE_WORDS


def fee(text: str) -> str:
    """A fee, as text: see `datastores.ledger.fee_of_text`."""
    from datastores.ledger import fee_of_text

    try:
        fee_of_text(text)
    except ValueError as error:
        raise ValueError(f"{error}, not {_quoted(text)}") from None
    return text


def host(text: str) -> str:
    """A host name or an address."""
    if not HOST_NAME.fullmatch(text):
        raise ValueError(f"must be a host name or an address, not {_quoted(text)}")
    return text


def data_dir(text: str) -> Path:
    """A folder, which need not exist."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise ValueError("must be a folder; there is a file of that name")
    return path


def mongodb_uri(text: str) -> str:
    """A connection string of MongoDB."""
    if not re.match(r"mongodb(\+srv)?://[^/\s]", text):
        raise ValueError("must start with mongodb:// or mongodb+srv:// and name a host")
    return text


def database(text: str) -> str:
    """The name of a database."""
    if not DATABASE_NAME.fullmatch(text):
        raise ValueError("must be 1 to 38 letters, digits, hyphens or underscores")
    return text


def master_key(text: str) -> bytes:
    """The bytes of a key in base64."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"must be {MASTER_KEY_BYTES} random bytes in base64, as `openssl rand -base64 32` makes them")
    return key


def issuer(environment: Environment) -> Callable[[str], str]:
    """An OpenID issuer's address."""
    address = web_address(environment)

    def parse(text: str) -> str:
        if text == DEVELOPMENT_ISSUER:
            raise ValueError(f"must not be {DEVELOPMENT_ISSUER}: the development issuer is no issuer for others")
        if "?" in address(text):
            raise ValueError("must be an address without a query")
        return text

    return parse


def web_address(environment: Environment) -> Callable[[str], str]:
    """An address, over TLS in production."""

    def parse(text: str) -> str:
        parts = _split(text)
        schemes = ("https",) if environment is Environment.PRODUCTION else ("https", "http")
        if parts.scheme not in schemes or not parts.hostname or parts.fragment or parts.username:
            raise ValueError(f"must be an {schemes[0]}:// address without a user name or fragment")
        return text

    return parse


def service_url(environment: Environment) -> Callable[[str], str]:
    """The address of a service, over TLS in production."""
    address = web_address(environment)

    def parse(text: str) -> str:
        if "?" in address(text):
            raise ValueError("must be an address without a query")
        return text

    return parse


def secret(text: str) -> str:
    """A token."""
    if len(text) > 4_096 or not text.isascii() or not text.isprintable():
        raise ValueError("must be at most 4,096 printable ASCII characters")
    return text


def handle(text: str) -> str:
    """A person's handle."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,30}", text):
        raise ValueError(f"must be the handle of a person, not {_quoted(text)}")
    return text


def audience(text: str) -> str:
    """An OpenID audience."""
    if len(text) > 255 or not text.isprintable():
        raise ValueError("must be at most 255 printable characters")
    return text


def algorithms(text: str) -> tuple[str, ...]:
    """Asymmetric algorithms of signatures."""
    names = _list(text)
    wrong = [name for name in names if name not in ASYMMETRIC_ALGORITHMS]
    if wrong or not names:
        raise ValueError(f"may list only {', '.join(ASYMMETRIC_ALGORITHMS)}, not {_quoted(', '.join(wrong) or text)}")
    return names


def origins(text: str) -> tuple[str, ...]:
    """Origins of web pages."""
    origins = _list(text)
    if len(origins) > MAX_ALLOWED_ORIGINS:
        raise ValueError(f"may list at most {MAX_ALLOWED_ORIGINS} origins")
    wrong = [origin for origin in origins if not _is_origin(origin)]
    if wrong:
        raise ValueError(f"must list origins such as https://app.example.org, without a path, not {_quoted(wrong[0])}")
    return origins


def _is_origin(text: str) -> bool:
    try:
        parts = _split(text)
    except ValueError:
        return False
    # Browsers send the origin in lower case and without a path; anything else would never match.
    return (
        parts.scheme in {"http", "https"}
        and text == f"{parts.scheme}://{parts.netloc}" == text.lower()
        and (bool(parts.hostname) and "@" not in parts.netloc and "*" not in parts.netloc)
    )


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        # The port is only checked when it is read.
        _ = parts.port
    except ValueError:
        raise ValueError("must be an address") from None
    return parts


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
