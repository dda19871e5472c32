"""What the head of a request says: its headers, by name, and what the server and the middleware have added to it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from gateway.logs import request_id


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The values of all headers by their names in lower case, several of one name joined with commas.

    Those of a request are read once for all who look; those of a socket are not kept for as long as it is open.
    """
    if scope["type"] != "http":
        return _read(scope)
    state = scope.setdefault("state", {})
    found: Mapping[bytes, bytes] | None = state.get("headers")
    if found is None:
        found = state["headers"] = _read(scope)
    return found


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header, several joined with commas; None where it is absent."""
    value = headers_of(scope).get(name)
    return None if value is None else str(value, "latin-1")


def address_of(scope: Scope) -> str | None:
    """The address that the request came from, as the server or a proxy that it trusts says; None where nobody does."""
    client = scope.get("client")
    return client[0] if client else None


def request_id_of(scope: Scope) -> str:
    """The id that the request was given on its way in, or a new one."""
    given: str | None = scope.get("state", {}).get("request_id")
    return request_id(None) if given is None else given


def _read(scope: Scope) -> dict[bytes, bytes]:
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    several: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        several.setdefault(name, []).append(value)
    return {name: b", ".join(values) for name, values in several.items()}
