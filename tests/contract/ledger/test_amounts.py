"""Amounts and currencies that are none, in every mutation that takes one: a typed error, and nothing has moved."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from datastores import ledger
from tests.contract.acts import JSON, attempt, codes_of, done, eur, key, newcomer, refused
from tests.contract.ledger.cast import Cast, gather_cast
from tests.contract.ledger.trials import Trial, begin, document
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAX = 2**63 - 1
WITH_AMOUNT = ("transferFunds", "refundTransfer", "topUpWallet", "withdrawFromWallet", "requestPayment")
# Plain decimals that are no amounts of euros: the ledger says so.
UNACCEPTABLE = [
    *("0", "0.00", "-0", "-0.00", "-0.01", "-1", "0.001", "1.009", "1.0000000001", "0." + "0" * 29 + "1"),
    *("92233720368547758.08", "92233720368547759", "-92233720368547758.08", "9" * 30, "9" * 30 + "." + "9" * 30),
]
# No plain decimals: the type says so.
NO_DECIMALS: list[Any] = [
    *("", " ", " 1", "1 ", "1,00", "1.", ".5", "+1", "--1", "1_000", "1 000", "0x10", "1e3", "1E3", "1e400", "1e-2"),
    *("NaN", "Infinity", "-Infinity", "½", "١", "１", "∞", "1\x00", "9" * 31, "1." + "0" * 31),
    *(1, 1.5, -1, 0, 2**63, 1e308, True, None, [], ["1"], {}, {"amount": "1"}),
]
UNKNOWN_CURRENCIES = ["XXX", "XXQ", "XAU", "BTC", "EEK", "DEM", "ZZZ"]
NO_CURRENCIES: list[Any] = [
    "",
    "eur",
    "Eur",
    "EU",
    "EURO",
    "€",
    "E U",
    "EUR ",
    "978",
    "ＥＵＲ",
    "EU\x00",
    978,
    True,
    None,
    [],
    {},
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cast(town: Town) -> Cast:
    return await gather_cast(town)


@pytest.mark.parametrize("mutation", WITH_AMOUNT)
@pytest.mark.parametrize("amount", UNACCEPTABLE)
async def test_a_decimal_that_is_no_amount(cast: Cast, mutation: str, amount: str) -> None:
    given = {**await acceptable(cast, mutation), "amount": eur(amount)}

    async with nothing_moves(cast):
        answer = await attempt(cast.town, cast.own, mutation, idempotencyKey=key(), **given)

    assert (answer["__typename"], answer["code"]) == ("ValidationError", "INVALID_INPUT")


@pytest.mark.parametrize("amount", NO_DECIMALS, ids=ascii)
async def test_what_is_no_decimal(cast: Cast, amount: Any) -> None:
    async with nothing_moves(cast):
        for mutation in WITH_AMOUNT:
            await assert_no_input(cast, mutation, {"amount": {"amount": amount, "currency": "EUR"}})


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1e-400", "NaN", "Infinity", "1" + "0" * 400, "01", "0x1", "1.5"]
)
async def test_a_number_in_the_place_of_a_decimal(cast: Cast, number: str) -> None:
    input = {"idempotencyKey": key(), **await acceptable(cast, "transferFunds"), "amount": eur("@")}
    body = json.dumps({"query": document("transferFunds"), "variables": {"input": input}}).replace('"@"', number)
    headers = {**JSON, **cast.town.authorization(cast.own)}

    async with nothing_moves(cast):
        response = await cast.town.http.post(cast.town.url, content=body, headers=headers)

    assert cast.town.has_status(response, 400)
    assert set(codes_of(response)) <= {"INVALID_INPUT", "BAD_REQUEST"}


@pytest.mark.parametrize("currency", UNKNOWN_CURRENCIES)
async def test_a_currency_that_is_not_in_use(cast: Cast, currency: str) -> None:
    async with nothing_moves(cast):
        for mutation in WITH_AMOUNT:
            given = {**await acceptable(cast, mutation), "amount": {"amount": "1", "currency": currency}}
            assert await refused(cast.town, cast.own, mutation, idempotencyKey=key(), **given) == "ValidationError"
        assert await refused(cast.town, cast.own, "openWallet", currency=currency) == "ValidationError"


@pytest.mark.parametrize("currency", NO_CURRENCIES, ids=ascii)
async def test_what_is_no_currency(cast: Cast, currency: Any) -> None:
    async with nothing_moves(cast):
        for mutation in WITH_AMOUNT:
            await assert_no_input(cast, mutation, {"amount": {"amount": "1", "currency": currency}})


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("JPY", "0.5"), ("JPY", "1.0000001"), ("KWD", "0.0001"), ("CLF", "0.00001"), ("EUR", "0.010000001")],
)
async def test_more_decimals_than_the_currency_has(cast: Cast, currency: str, amount: str) -> None:
    money = {"amount": amount, "currency": currency}

    async with nothing_moves(cast):
        for mutation in WITH_AMOUNT:
            given = {**await acceptable(cast, mutation), "amount": money}
            assert await refused(cast.town, cast.own, mutation, idempotencyKey=key(), **given) == "ValidationError"


@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
async def test_the_greatest_amount_is_one_and_the_next_is_none(cast: Cast, currency: str) -> None:
    await done(cast.town, cast.own, "openWallet", currency=currency)
    greatest, next_one = (
        {"amount": str(ledger.decimal_amount(units, currency)), "currency": currency} for units in (MAX, MAX + 1)
    )
    to = {"handle": cast.other}

    async with nothing_moves(cast):
        at_most = await refused(cast.town, cast.own, "transferFunds", idempotencyKey=key(), to=to, amount=greatest)
        beyond = await refused(cast.town, cast.own, "transferFunds", idempotencyKey=key(), to=to, amount=next_one)

    assert (at_most, beyond) == ("InsufficientFunds", "ValidationError")


@pytest.mark.parametrize(("price", "quantity"), [("92233720368547758.07", 2), ("92233720368547.76", 1_000)])
async def test_an_order_whose_sum_passes_64_bits(cast: Cast, price: str, quantity: int) -> None:
    ware = {"title": "Castle", "description": "Old", "category": "things", "kind": "GOOD", "state": "ACTIVE"}
    made = await done(cast.town, cast.other, "createListing", "listing { id }", **ware, price=eur(price), stock=1_000)
    line = {"listingId": made["listing"]["id"], "quantity": quantity, "expectedUnitPrice": eur(price)}

    async with nothing_moves(cast):
        answer = await refused(cast.town, cast.own, "placeOrder", idempotencyKey=key(), lines=[line])

    assert answer == "ValidationError"


async def test_balances_and_sums_that_would_pass_64_bits_are_refused_before_they_do(town: Town) -> None:
    # A currency of its own, since a rail owes all that it has let in.
    one, other, third = [await newcomer(town) for _ in range(3)]
    half = {"amount": str(MAX // 2), "currency": "ISK"}

    async def top_up(who: str) -> str | None:
        opened = await done(town, who, "openWallet", "wallet { id }", currency="ISK")
        rail = {"walletId": opened["wallet"]["id"], "amount": half, "source": "sandbox:ok"}
        return (await Trial(Cast(town, who, "", ""), "topUpWallet", who, rail).answer()).place

    async def pay(payer: str, payee: str) -> str | None:
        given = {"to": {"handle": payee}, "amount": half}
        return (await Trial(Cast(town, payer, payee, ""), "transferFunds", payer, given).answer()).place

    let_in = [await top_up(who) for who in (one, other, third)]
    paid = [await pay(*pair) for pair in ((one, third), (other, third), (third, one), (one, third), (third, one))]
    beyond_a_day = await pay(one, third)

    assert let_in == [None, None, "balance"]
    assert paid == [None] * 5
    assert beyond_a_day == "day"
    assert (await ledger.verify(town.gateway.database)).problems == []


async def test_after_all_that_the_ledger_holds(town: Town) -> None:
    assert (await ledger.verify(town.gateway.database)).problems == []


async def acceptable(cast: Cast, mutation: str) -> dict[str, Any]:
    """An input that is acceptable but for the amount, which is to be added."""
    if mutation == "requestPayment":
        return {"payerId": cast.ids[cast.other]}
    return (await begin(cast, mutation)).input


async def assert_no_input(cast: Cast, mutation: str, wrong: dict[str, Any]) -> None:
    """The variables are refused as they stand, by 400, with a code and without data."""
    given = {"idempotencyKey": key(), **await acceptable(cast, mutation), **wrong}
    body = {"query": document(mutation), "variables": {"input": given}}
    headers = {**JSON, **cast.town.authorization(cast.own)}
    response = await cast.town.http.post(cast.town.url, content=json.dumps(body), headers=headers)
    assert cast.town.has_status(response, 400), response.text
    assert set(codes_of(response)) == {"INVALID_INPUT"}, (mutation, response.text)
    assert cast.town.has_no_data(response)


@asynccontextmanager
async def nothing_moves(cast: Cast) -> AsyncIterator[None]:
    """What the cast's people have is the same afterwards, to the last entry that posted something."""
    before = await accounts(cast)
    yield
    assert await accounts(cast) == before


async def accounts(cast: Cast) -> dict[str, tuple[int, ...]]:
    """Balances and version of each wallet of the cast."""
    found = await cast.town.gateway.database.find(
        "accounts", {"owner_id": {"$in": list(cast.ids.values())}}, limit=1_000
    )
    names = ("posted", "pending_out", "pending_in", "version")
    return {account["_id"]: tuple(account[name] for name in names) for account in found if account["version"]}
