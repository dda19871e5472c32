"""What is asked: four queries, a mutation, and a mixture of them, as requests over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from .town import CURRENCY, PAGE, Person, Town

READS: Final = ("q1", "q2", "q3", "q4")
WORKLOADS: Final = (*READS, "transfer", "mixed")
TITLES: Final = {
    "q1": "one person by id",
    "q2": "50 posts with their authors",
    "q3": "all four domains",
    "q4": "500 posts",
    "transfer": "transferFunds",
    "mixed": "mixed",
}
# Of 40 requests: as many as a screen's small reads are to its large ones, and few payments.
MIXTURE: Final = (("q1", 24), ("q2", 10), ("q3", 3), ("q4", 1), ("transfer", 2))
TRANSFERS: Final = 50_000
MIXED: Final = 20_000
SAID_BY_READS: Final = '"data"'
SAID_BY_TRANSFERS: Final = "TransferFundsSuccess"

_POST: Final = "id text createdAt editedAt likeCount replyCount repostCount hashtags"
DOCUMENTS: Final = {
    "q1": "query PointRead($id: ID) { user(id: $id) { id handle displayName } }",
    "q2": f"""query Timeline($first: Int) {{
  posts(first: $first) {{ nodes {{ {_POST} author {{ id handle displayName avatarUrl }} }} }}
}}""",
    "q3": """query EveryDomain($first: Int, $last: Int) {
  viewer {
    user { ...Card }
    conversations(first: $first) {
      nodes { id title messages(last: $last) { nodes { id text createdAt sender { ...Card } } } }
    }
    wallet(currency: "EUR") {
      id
      available { amount currency }
      entries(first: $first) { nodes { id createdAt amount { amount currency } counterparty { ...Card } } }
    }
  }
  posts(first: $first) { nodes { id text createdAt likeCount replyCount repostCount author { ...Card } } }
  listings(first: $first) {
    nodes {
      id title description createdAt price { amount currency } photos { url width height } seller { ...Card }
    }
  }
}
fragment Card on User { id handle displayName avatarUrl }""",
    "q4": f"""query ManyPosts($first: Int, $b: Cursor, $c: Cursor, $d: Cursor, $e: Cursor) {{
  a: posts(first: $first) {{ nodes {{ ...Whole }} }}
  b: posts(first: $first, after: $b) {{ nodes {{ ...Whole }} }}
  c: posts(first: $first, after: $c) {{ nodes {{ ...Whole }} }}
  d: posts(first: $first, after: $d) {{ nodes {{ ...Whole }} }}
  e: posts(first: $first, after: $e) {{ nodes {{ ...Whole }} }}
}}
fragment Whole on Post {{ {_POST} }}""",
    "transfer": """mutation Pay($input: TransferFundsInput!) {
  transferFunds(input: $input) {
    __typename
    ... on TransferFundsSuccess {
      replayed
      transfer { id amount { amount currency } recipient { id handle displayName avatarUrl } }
      wallet { id available { amount currency } }
    }
  }
}""",
}
NAMES: Final = {
    "q1": "PointRead",
    "q2": "Timeline",
    "q3": "EveryDomain",
    "q4": "ManyPosts",
    "transfer": "Pay",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A POST: who asks, the body, and what stands in every good answer."""

    person: Person
    body: bytes
    mark: str

    @property
    def headers(self) -> dict[str, str]:
        """Agora goes by the token; the others believe who says who they are."""
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": f"Bearer {self.person.token}",
            "X-User": self.person.id,
        }


def read(name: str, town: Town, variation: int = 0) -> Request:
    """The request of one of the four queries; each of the first 9 variations asks for another person or page.

    `q1` has as many as there are payers.
    """
    variables: dict[str, dict[str, Any]] = {
        "q1": {"id": town.payers[variation % len(town.payers)].id},
        "q2": {"first": 50 - variation},
        "q3": {"first": 20 - variation, "last": 5},
        "q4": {"first": PAGE - variation, **dict(zip("bcde", town.cursors, strict=True))},
    }
    return _request(name, town.reader, variables[name], SAID_BY_READS)


def transfer(number: int, key: str, town: Town) -> Request:
    """The request of a payment under this key; its payer and payee follow from `number`."""
    payers = len(town.payers)
    payer, payee = town.payers[number % payers], town.payers[(number * 7 + 1 + number // payers) % payers]
    if payer is payee:
        payee = town.payers[(number + 1) % payers]
    amount = {"amount": "0.01", "currency": CURRENCY}
    wanted = {"idempotencyKey": key, "amount": amount, "to": {"userId": payee.id}}
    return _request("transfer", payer, {"input": wanted}, SAID_BY_TRANSFERS)


def requests(workload: str, town: Town, prefix: str, count: int, *, variations: int = 1) -> Iterator[Request]:
    """At most `count` requests of a workload; no key of a payment comes twice under different prefixes.

    Of a read all `variations`, which the load sends in turn; but `q1` asks for everybody in turn, as many as there are:
    it is cheap enough to tell a server by that reads the same document once for several.
    """
    if workload in READS:
        yield from _varied(workload, town, variations)
    elif workload == "transfer":
        yield from (transfer(number, f"{prefix}-{number}", town) for number in range(count))
    else:
        yield from _mixed(town, prefix, count, variations)


def write_requests(path: Path, made: Iterator[Request]) -> None:
    """Write them as the load reads them: a line of size and mark before each."""
    with path.open("wb") as file:
        for request in made:
            head = {"Host": "127.0.0.1", **request.headers, "Content-Length": str(len(request.body))}
            lines = ["POST /graphql HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
            whole = "\r\n".join(lines).encode() + request.body
            file.write(f"{len(whole)} {request.mark}\n".encode() + whole)


def _varied(name: str, town: Town, variations: int) -> list[Request]:
    return [read(name, town, each) for each in range(len(town.payers) if name == "q1" else variations)]


def _mixed(town: Town, prefix: str, count: int, variations: int) -> Iterator[Request]:
    reads = {name: cycle(_varied(name, town, variations)) for name in READS}
    # Spread evenly, so that any stretch of the mixture is like any other.
    places = sorted((at / times, name) for name, times in MIXTURE for at in range(1, times + 1))
    for number, (_, name) in enumerate(islice(cycle(places), count)):
        yield next(reads[name]) if name in reads else transfer(number, f"{prefix}-{number}", town)


def _request(name: str, person: Person, variables: Mapping[str, Any], mark: str) -> Request:
    body = {"query": DOCUMENTS[name], "operationName": NAMES[name], "variables": variables}
    return Request(person, json.dumps(body).encode(), mark)
