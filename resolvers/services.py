"""Services of others: what a use case may ask of one, how it fails, and how its answers are read without trust.

A service may take long, refuse, or answer and not be heard. So what it is to do is asked under a key of ours, which
makes asking twice the same as once; `gateway/services` has the client that speaks HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from datastores.errors import UpstreamUnavailableError
from datastores.ledger import EXPONENTS, MAX_MINOR_UNITS, Money
from datastores.mongo import Document

MAX_TEXT: Final = 200
MAX_INT: Final = 2**31 - 1
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)


class ServiceRefusedError(UpstreamUnavailableError):
    """The service has understood, and will not: HTTP `status` 400–499, and the bounded word `reason` for programs.

    A use case that knows the reason says what it means to the client; to any other it is a failure of the service.
    """

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Service(Protocol):
    """One service of somebody else. Every method raises ServiceRefusedError where it will not, and
    UpstreamUnavailableError where there is no usable answer within 5 s: then it is not known what it has done."""

    @property
    def payee(self) -> str | None:
        """The handle of the person who is paid for what it does; None where nobody is."""
        ...

    async def read(self, path: str, query: Mapping[str, str]) -> Document:
        """What is there at `path`; asked again where no answer came."""
        ...

    async def act(self, path: str, body: Mapping[str, object], *, key: str | None) -> Document:
        """Have something done at `path`. With a `key`, under which the service does it once, it is asked again where no
        answer came; without one never."""
        ...

    async def query(self, document: str, variables: Mapping[str, object], *, path: str = "/graphql") -> Document:
        """The data of a GraphQL query, asked again where no answer came. An answer with errors is a failure."""
        ...


def text(body: object, name: str, most: int = MAX_TEXT) -> str:
    """The text under this name, 1 to `most` characters; raises UpstreamUnavailableError where there is none."""
    value = _value(body, name)
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise _broken(name)
    return value


def whole(body: object, name: str, most: int = MAX_INT) -> int:
    """The whole number under this name, 0 to `most`; raises UpstreamUnavailableError where there is none."""
    value = _value(body, name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _broken(name)
    return value


def money(body: object, name: str) -> Money:
    """The amount under this name, zero or more; raises UpstreamUnavailableError unless it is in a currency of ours."""
    value = _value(body, name)
    amount, currency = whole(value, "minor_units", MAX_MINOR_UNITS), text(value, "currency", 3)
    if currency not in EXPONENTS:
        raise _broken(name)
    return {"minor_units": amount, "currency": currency}


def moment(body: object, name: str) -> datetime:
    """The time under this name as naive UTC; raises UpstreamUnavailableError unless RFC 3339 with an offset."""
    value = text(body, name, 40)
    if not _MOMENT.match(value):
        raise _broken(name)
    try:
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise _broken(name) from None


def items(body: object, name: str, most: int) -> Sequence[object]:
    """The list under this name, of at most `most`; raises UpstreamUnavailableError where there is none."""
    value = _value(body, name)
    if not isinstance(value, list) or len(value) > most:
        raise _broken(name)
    return value


def has(body: object, name: str) -> bool:
    """Whether anything but null stands under this name."""
    return isinstance(body, dict) and body.get(name) is not None


def _value(body: object, name: str) -> Any:
    if not isinstance(body, dict):
        raise _broken(name)
    return cast("dict[str, Any]", body).get(name)


def _broken(name: str) -> UpstreamUnavailableError:
    # What it said instead is not repeated: it may be anything, and go anywhere.
    return UpstreamUnavailableError(f"The service answered without a usable `{name}`")
