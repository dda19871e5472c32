"""Whether all servers answer the same: asked before anything is measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import httpx

from .load import Loaded
from .operations import NAMES, READS, Request, read, transfer
from .town import Town

TIMEOUT_S: Final = 30.0
SHOWN: Final = 300


class DifferentAnswer(Exception):
    """A server that answers something else than Agora does: the message says where."""


async def answers(server: Loaded, town: Town, *, name: str, writes: bool = True) -> dict[str, Any]:
    """What it answers to each read, by the name of the operation, and to a payment; raises DifferentAnswer.

    `name` is in the keys of its payments, which are none where it does not write.
    """
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        found = {NAMES[each]: await _ask(client, server, read(each, town)) for each in READS}
        if writes:
            found[NAMES["transfer"]] = await _payments(client, server, town, name)
    return found


def compare(expected: dict[str, Any], found: dict[str, Any], title: str) -> None:
    """Raise DifferentAnswer unless both are the same, but for what each server makes by itself."""
    for name, answer in found.items():
        if answer != expected[name]:
            place = _first_difference(expected[name], answer)
            raise DifferentAnswer(f"{title} answers {name} in another way: {place[:SHOWN]}")


async def _ask(client: httpx.AsyncClient, server: Loaded, request: Request) -> Any:
    address = f"http://127.0.0.1:{server.port}/graphql"
    response = await client.post(address, content=request.body, headers=request.headers)
    answer = response.json() if response.status_code == 200 else {}
    if "data" not in answer or answer.get("errors"):
        raise DifferentAnswer(f"{server.title}: {response.status_code} {response.text[:SHOWN]}")
    return {"data": answer["data"]}


async def _payments(client: httpx.AsyncClient, server: Loaded, town: Town, name: str) -> Any:
    """A payment's answer without ids and balance, once these are what they should be: two payments and a replay."""
    asked = [transfer(0, f"verified-{name}-{key}", town) for key in ("one", "two", "two")]
    first, second, again = [(await _ask(client, server, request))["data"]["transferFunds"] for request in asked]
    spent = _available(first) - _available(second)
    if spent != Decimal("0.01") or again["replayed"] is not True or first["replayed"] or second["replayed"]:
        raise DifferentAnswer(f"{server.title} has moved {spent} instead of 0.01, or has not known a key")
    if again["transfer"]["id"] != second["transfer"]["id"] or first["transfer"]["id"] == second["transfer"]["id"]:
        raise DifferentAnswer(f"{server.title} answers a key with another payment")
    second["transfer"]["id"] = second["wallet"]["available"]["amount"] = ""
    return {"data": {"transferFunds": second}}


def _available(answer: Any) -> Decimal:
    return Decimal(answer["wallet"]["available"]["amount"])


def _first_difference(one: Any, other: Any, path: str = "") -> str:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        parts: Sequence[tuple[Any, Any, Any]] = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [(at, *pair) for at, pair in enumerate(zip(one, other, strict=True))]
    else:
        return f"{path}: {json.dumps(other)} for {json.dumps(one)}"
    return next((_first_difference(a, b, f"{path}.{key}") for key, a, b in parts if a != b), path)
