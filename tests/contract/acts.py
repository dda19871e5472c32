"""What tests do in the town: people who are new there, mutations as they are answered, and codes of refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx
from graphql import get_named_type

from schema.graph import whole_graph
from tests.contract.town import Town
from tests.topologies.differences import WORDS

JSON = {"Content-Type": "application/json", "Accept": "application/graphql-response+json"}
GRAPH = whole_graph().graphql_schema


def eur(amount: str) -> dict[str, str]:
    """An amount of money as inputs take it."""
    return {"amount": amount, "currency": "EUR"}


def key() -> str:
    """A new idempotency key, client id, or handle of nobody yet."""
    return f"k{uuid4().hex[:16]}"


async def newcomer(town: Town, *, funds: str | None = None) -> str:
    """The handle of somebody who has just signed in for the first time, with this much EUR in a wallet."""
    handle = key()
    await town.ask(handle, "{ viewer { id } }")
    if funds is not None:
        opened = await done(town, handle, "openWallet", "wallet { id }", currency="EUR")
        wallet = opened["wallet"]["id"]
        rail = {"walletId": wallet, "amount": eur(funds), "source": "sandbox:ok"}
        await done(town, handle, "topUpWallet", "transfer { state }", idempotencyKey=key(), **rail)
    return handle


async def attempt(town: Town, who: str | None, mutation: str, selection: str = "__typename", **input: Any) -> Any:
    """What a mutation answers: the success with `selection`, or the error with its code and message."""
    mutations: Any = GRAPH.type_map["Mutation"]
    field = mutations.fields[mutation]
    union: Any = get_named_type(field.type)
    success = next(member.name for member in union.types if member.name.endswith("Success"))
    parts = f"__typename ... on Error {{ code message }} ... on {success} {{ {selection} }}"
    document = f"mutation ($input: {field.args['input'].type}) {{ {mutation}(input: $input) {{ {parts} }} }}"
    return (await town.ask(who, document, input=input))[mutation]


async def done(town: Town, who: str | None, mutation: str, selection: str = "__typename", **input: Any) -> Any:
    """The success of a mutation."""
    answer = await attempt(town, who, mutation, selection, **input)
    assert answer["__typename"].endswith("Success"), answer
    return answer


async def refused(town: Town, who: str | None, mutation: str, **input: Any) -> str:
    """The name of the error type that a mutation answers with."""
    answer = await attempt(town, who, mutation, **input)
    assert not answer["__typename"].endswith("Success"), answer
    return str(answer["__typename"])


async def codes(town: Town, who: str | None, document: str, **variables: Any) -> list[str]:
    """The codes of an answer's errors, in order."""
    return codes_of(await town.post(who, document, **variables))


def codes_of(response: httpx.Response) -> list[str]:
    """The codes of a response's errors, in order; each error has a message."""
    errors = response.json().get("errors", [])
    assert all(error["message"] for error in errors)
    return [code_of(error) for error in errors]


def code_of(error: Mapping[str, Any]) -> str:
    """The code of an error: ours, where a router has another word for it."""
    code = str(error["extensions"]["code"])
    return WORDS.get(code, code)


async def send_body(
    town: Town, body: Mapping[str, Any], *, who: str | None = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The response to a body of one's own making, which says what is wrong with a request by its status."""
    return await town.http.post(town.url, json=body, headers={**JSON, **town.authorization(who), **(headers or {})})


async def talk(town: Town, one: str, other: str) -> str:
    """The id of the conversation of two people."""
    started = await done(town, one, "startConversation", "conversation { id }", memberIds=[await town.id_of(other)])
    return str(started["conversation"]["id"])


async def say(town: Town, who: str, conversation: str, text: str, **more: Any) -> Any:
    """The message that was sent, and its cursor."""
    selection = "cursor node { id seq text }"
    return await done(town, who, "sendMessage", selection, conversationId=conversation, text=text, **more)
