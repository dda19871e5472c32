"""A mutation that would succeed, and what it answers once something is in its way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from graphql import get_named_type

from tests.contract.acts import GRAPH, code_of, key
from tests.contract.ledger.cast import Cast
from tests.contract.ledger.outcomes import ERROR, Outcome
from tests.contract.ledger.subjects import acceptable, consumed, end_some


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told; `type` is `error` where it was told so by an entry of `errors`.

    `place` is the path of what is not acceptable, or the window of a limit.
    """

    type: str
    code: str | None = None
    message: str = ""
    place: str | None = None
    replayed: bool | None = None
    transfer_id: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the mutation was carried out, now or before."""
        return self.type.endswith("Success")

    def is_(self, outcome: Outcome) -> bool:
        """Whether this is that row of the table."""
        told = any(re.search(outcome.tells, text) for text in (self.place or "", self.message))
        return (self.type, self.code) == (outcome.type, outcome.code) and told


@dataclass
class Trial:
    """One mutation of `who` with an input that is acceptable until somebody changes it."""

    cast: Cast
    mutation: str
    who: str | None
    input: dict[str, Any]

    async def answer(self, idempotency_key: str | None = None) -> Answer:
        """What it answers, under a new key unless one is given here or in the input."""
        given = {"idempotencyKey": idempotency_key or key(), **self.input}
        response = await self.cast.town.post(self.who, document(self.mutation), input=given)
        answer = read_answer(response.json(), self.mutation)
        if answer.succeeded:
            consumed(self.cast, self.mutation)
        return answer

    @contextmanager
    def given(self, **changes: Any) -> Iterator[None]:
        """Other input meanwhile."""
        before = deepcopy(self.input)
        self.input |= changes
        try:
            yield
        finally:
            self.input = before

    @contextmanager
    def asked_by(self, who: str | None) -> Iterator[None]:
        """Somebody else asks meanwhile."""
        before, self.who = self.who, who
        try:
            yield
        finally:
            self.who = before


def document(mutation: str) -> str:
    """The text of the operation."""
    field: Any = GRAPH.type_map["Mutation"].fields[mutation]  # type: ignore[attr-defined]
    union: Any = get_named_type(field.type)
    success = next(member for member in union.types if member.name.endswith("Success"))
    transfer = "transfer { id }" if "transfer" in success.fields else ""
    window = "... on LimitExceeded { window }" if "LimitExceeded" in {member.name for member in union.types} else ""
    parts = f"""__typename ... on Error {{ code message }} ... on ValidationError {{ path }} {window}
      ... on {success.name} {{ replayed {transfer} }}"""
    return f"mutation ($input: {field.args['input'].type}) {{ {mutation}(input: $input) {{ {parts} }} }}"


def read_answer(body: Any, mutation: str) -> Answer:
    """The answer in a response's body."""
    if "errors" in body:
        (error,) = body["errors"]
        return Answer(ERROR, code_of(error), error["message"])
    told = body["data"][mutation]
    return Answer(
        told["__typename"],
        told.get("code"),
        told.get("message", ""),
        ".".join(told["path"]) if "path" in told else told.get("window"),
        told.get("replayed"),
        (told.get("transfer") or {}).get("id"),
    )


async def begin(cast: Cast, mutation: str) -> Trial:
    """A trial of the cast's `own` that succeeds as it is."""
    await end_some(cast, mutation)
    return Trial(cast, mutation, cast.own, await acceptable(cast, mutation))
