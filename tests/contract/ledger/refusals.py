"""What a request is refused for before its mutation is asked, in order of precedence, and how such requests look."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import httpx

from tests.contract.acts import JSON
from tests.contract.ledger.trials import document
from tests.contract.town import Town


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row: when it is the answer, with which status and code."""

    name: str
    condition: str
    status: int
    code: str


# The first row that holds is the answer.
REFUSALS: Final[tuple[Refusal, ...]] = (
    Refusal("method", "a method other than POST or GET", 405, "BAD_REQUEST"),
    Refusal("accept", "nothing that `Accept` takes", 406, "BAD_REQUEST"),
    Refusal("type", "another `Content-Type` or `Content-Encoding`", 415, "BAD_REQUEST"),
    Refusal("token", "a token or partner's key that is not right", 401, "UNAUTHENTICATED"),
    Refusal("size", "a body of more than 1 MB", 413, "BAD_REQUEST"),
    Refusal("json", "no JSON, or not a GraphQL request", 400, "BAD_REQUEST"),
    Refusal("hash", "a document that is not known by its hash", 400, "PERSISTED_QUERY_NOT_FOUND"),
    Refusal("syntax", "a document that does not parse", 400, "GRAPHQL_PARSE_FAILED"),
    Refusal("complexity", "a document that asks for too much", 400, "QUERY_TOO_COMPLEX"),
    Refusal("schema", "a document that the schema does not allow", 400, "GRAPHQL_VALIDATION_FAILED"),
    Refusal("get", "a mutation by GET", 405, "BAD_REQUEST"),
    Refusal(
        "variables",
        "variables of other types: an amount that is no plain decimal, not exactly one payee",
        400,
        "INVALID_INPUT",
    ),
)
_NO_BODY: Final = "a GET has no body"
_NO_DOCUMENT: Final = "there is no document to look at"
NEVER_TOGETHER: Final[dict[frozenset[str], str]] = {
    frozenset({"method", "get"}): "it has one method",
    **{frozenset({name, "get"}): _NO_BODY for name in ("type", "size", "json")},
    **{frozenset({"json", name}): _NO_DOCUMENT for name in ("hash", "syntax", "complexity", "schema", "variables")},
    **{frozenset({"hash", name}): _NO_DOCUMENT for name in ("syntax", "complexity", "schema", "get", "variables")},
    **{frozenset({"syntax", name}): _NO_DOCUMENT for name in ("complexity", "schema", "get", "variables")},
}
PAIRS: Final = [pair for pair in combinations(REFUSALS, 2) if frozenset(row.name for row in pair) not in NEVER_TOGETHER]


async def send(town: Town, who: str, input: dict[str, Any], wrong: Collection[str] = ()) -> httpx.Response:
    """The response to a transfer with what these rows say wrong about it."""
    token = "Bearer x.y.z" if "token" in wrong else town.authorization(who)["Authorization"]
    headers = {**JSON, "Authorization": token}
    if "accept" in wrong:
        headers["Accept"] = "image/png"
    if "type" in wrong:
        headers["Content-Type"] = "text/plain"
    asked = _asked(input, wrong)
    if "get" in wrong:
        text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in asked.items()}
        return await town.http.get(town.url, params=text, headers=headers)
    content = (b"{" if "json" in wrong else b"") + json.dumps(asked).encode()
    content += b" " * (2**20 if "size" in wrong else 0)
    return await town.http.request("PUT" if "method" in wrong else "POST", town.url, content=content, headers=headers)


def _asked(input: dict[str, Any], wrong: Collection[str]) -> dict[str, Any]:
    text = document("transferFunds")
    if "complexity" in wrong:
        text = text[:-1] + " ".join(f"a{n}: __typename" for n in range(30)) + "}"
    if "schema" in wrong:
        text = text[:-1] + " goats }"
    if "syntax" in wrong:
        text = text[:-1]
    named = {"documentId": "sha256:" + "0" * 64} if "hash" in wrong else {"query": text}
    given = {**input, "amount": {"amount": 1.5, "currency": "EUR"}} if "variables" in wrong else input
    return {**named, "variables": {"input": given}}


def rendered() -> str:
    """The table as the page has it, in Markdown."""
    rows = [f"| {row.condition} | {row.status} | `{row.code}` |" for row in REFUSALS]
    return "\n".join(["| when | status | code |", "| --- | --- | --- |", *rows])
