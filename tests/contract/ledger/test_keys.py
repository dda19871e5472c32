"""Keys and memos of every odd form: what is acceptable is itself and no other; the rest is refused and uses no key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from datastores import ledger
from schema.graph import whole_graph
from tests.contract.acts import JSON, attempt, codes_of, eur, key, newcomer
from tests.contract.ledger.cast import PRICE, Cast, gather_cast
from tests.contract.ledger.outcomes import MUTATIONS
from tests.contract.ledger.subjects import acceptable, consumed
from tests.contract.ledger.trials import Trial, document
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNACCEPTABLE = [
    "",
    " ",
    "\t\n",
    "\u3000",
    "\u00a0\u2003",
    "k" * 256,
    "é" * 256,
    "🦉" * 300,
    "\x00",
    "a\x00b",
    " " * 255,
]
NO_KEYS: list[Any] = [None, True, 1.5, [], {}, {"$ne": None}]
# Each is another key than all the others.
ACCEPTABLE = [
    *(
        "k",
        "K",
        " k",
        "k ",
        "k\n",
        "\ufeffk",
        "kk",
        "0",
        "00",
        "-1",
        "null",
        "{}",
        "[]",
        "a.b",
        "a/b",
        "$ne",
        "../..",
        "%00",
    ),
    *(
        "'; drop table entries; --",
        "é",
        "e\u0301",
        "ａ",
        "a",
        "\u202ek",
        "\u200bk",
        "🦉",
        "🦉" * 255,
        "k" * 255,
        "\x01",
        "\uffff",
    ),
]
KEYED = [*MUTATIONS, "requestPayment", "placeOrder"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cast(town: Town) -> Cast:
    return await gather_cast(town)


async def test_every_mutation_that_takes_a_key_is_among_these() -> None:
    graph: Any = whole_graph().graphql_schema
    fields = graph.type_map["Mutation"].fields

    keyed = {name for name, field in fields.items() if "idempotencyKey" in field.args["input"].type.of_type.fields}

    # What waits for a service of somebody else has tests of its own: `tests/contract/test_rides.py`.
    assert keyed - {"bookRide"} == set(KEYED)


@pytest.mark.parametrize("odd", UNACCEPTABLE, ids=lambda odd: f"{odd[:6]!a} of {len(odd)}")
async def test_a_key_that_is_not_acceptable(cast: Cast, odd: str) -> None:
    async with nothing_written(cast):
        for mutation in KEYED:
            answer = await attempt(cast.town, cast.own, mutation, **await input_of(cast, mutation), idempotencyKey=odd)
            assert (answer["__typename"], answer["code"]) == ("ValidationError", "INVALID_INPUT"), mutation


@pytest.mark.parametrize("odd", NO_KEYS, ids=ascii)
async def test_what_is_no_key(cast: Cast, odd: Any) -> None:
    async with nothing_written(cast):
        for mutation in KEYED:
            input = {**await input_of(cast, mutation), "idempotencyKey": odd}
            body = json.dumps({"query": document(mutation), "variables": {"input": input}})
            response = await cast.town.http.post(cast.town.url, content=body, headers=headers(cast))
            assert cast.town.has_status(response, 400), mutation
            assert set(codes_of(response)) == {"INVALID_INPUT"}, mutation


async def test_a_key_that_is_left_out(cast: Cast) -> None:
    async with nothing_written(cast):
        for mutation in KEYED:
            body = json.dumps({"query": document(mutation), "variables": {"input": await input_of(cast, mutation)}})
            response = await cast.town.http.post(cast.town.url, content=body, headers=headers(cast))
            assert cast.town.has_status(response, 400), mutation
            assert set(codes_of(response)) == {"INVALID_INPUT"}, mutation


@pytest.mark.parametrize("half", [r"\ud800", r"a\udfffb", r"\udc00\ud800"])
async def test_half_of_a_surrogate_pair_is_no_text_on_any_road(cast: Cast, half: str) -> None:
    input = {**await acceptable(cast, "transferFunds"), "idempotencyKey": "@"}
    text = document("transferFunds")
    body = json.dumps({"query": text, "variables": {"input": input}}).replace("@", half)
    literal = text.replace("($input: TransferFundsInput!)", "").replace(
        "$input", f'{{idempotencyKey: "{half}", to: {{handle: "bob"}}, amount: {{amount: "1", currency: "EUR"}}}}'
    )

    async with nothing_written(cast):
        variable = await cast.town.http.post(cast.town.url, content=body, headers=headers(cast))
        document_ = await cast.town.http.post(cast.town.url, json={"query": literal}, headers=headers(cast))

    assert all(cast.town.has_status(each, 400) for each in (variable, document_))
    assert set(codes_of(variable)) == {"BAD_REQUEST"}
    assert set(codes_of(document_)) == {"GRAPHQL_PARSE_FAILED"}


async def test_each_odd_key_is_itself_and_no_other(town: Town) -> None:
    payer, payee = await newcomer(town, funds="1.00"), await newcomer(town)
    trial = Trial(
        Cast(town, payer, payee, ""), "transferFunds", payer, {"to": {"handle": payee}, "amount": eur("0.01")}
    )

    first = [await trial.answer(odd) for odd in ACCEPTABLE]
    again = [await trial.answer(odd) for odd in reversed(ACCEPTABLE)]

    assert {(answer.type, answer.replayed) for answer in first} == {("TransferFundsSuccess", False)}
    assert {(answer.type, answer.replayed) for answer in again} == {("TransferFundsSuccess", True)}
    ids = [answer.transfer_id for answer in first]
    assert ids == [answer.transfer_id for answer in reversed(again)]
    assert len(set(ids)) == len(ACCEPTABLE)


async def test_a_whole_number_is_the_key_of_its_digits(cast: Cast) -> None:
    trial = Trial(cast, "transferFunds", cast.own, await acceptable(cast, "transferFunds"))
    digits = str(int(key()[1:8], 16))

    first = await trial.answer(digits)
    with trial.given(idempotencyKey=int(digits)):
        again = await trial.answer()

    assert (again.replayed, again.transfer_id) == (True, first.transfer_id)


@pytest.mark.parametrize(
    "memo", ["m" * 281, "é" * 281, "\x00", "a\x00b"], ids=lambda memo: f"{memo[:3]!a} of {len(memo)}"
)
async def test_a_memo_that_is_not_acceptable_uses_no_key(cast: Cast, memo: str) -> None:
    for mutation in ("transferFunds", "refundTransfer", "holdFunds", "requestPayment"):
        input, used = await input_of(cast, mutation), key()

        refused = await attempt(cast.town, cast.own, mutation, **input, idempotencyKey=used, memo=memo)
        accepted = await attempt(
            cast.town, cast.own, mutation, **input, idempotencyKey=used, memo=memo[:280].strip("\x00b")
        )
        consumed(cast, mutation)

        assert (refused["__typename"], refused["code"]) == ("ValidationError", "INVALID_INPUT"), mutation
        assert accepted["__typename"].endswith("Success"), mutation


async def test_after_all_that_the_ledger_holds(town: Town) -> None:
    assert (await ledger.verify(town.gateway.database)).problems == []


async def input_of(cast: Cast, mutation: str) -> dict[str, Any]:
    """An input that is acceptable but for the key, which is to be added."""
    if mutation == "requestPayment":
        return {"payerId": cast.ids[cast.other], "amount": eur(PRICE)}
    if mutation == "placeOrder":
        return {"lines": [{"listingId": cast.shop, "quantity": 1, "expectedUnitPrice": eur(PRICE)}]}
    return await acceptable(cast, mutation)


def headers(cast: Cast) -> dict[str, str]:
    return {**JSON, **cast.town.authorization(cast.own)}


@asynccontextmanager
async def nothing_written(cast: Cast) -> AsyncIterator[None]:
    """The caller has no entry more afterwards."""
    for mutation in KEYED:
        await input_of(cast, mutation)
    before = await entries(cast)
    yield
    assert await entries(cast) == before


async def entries(cast: Cast) -> int:
    """How many keys of the caller have been used."""
    return await cast.town.gateway.database.count("entries", {"caller": cast.ids[cast.own]}, limit=100_000)
