"""Exchanges and fees as people may rely on them: quotes once and in time, both wallets, what is paid on top."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores.clock import utc_now
from gateway.demo.script import PARTNER
from tests.contract.acts import attempt, codes, done, eur, key, newcomer, refused
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

MONEY = "{ amount currency }"
QUOTE = f"quote {{ id rate expiresAt sell {MONEY} buy {MONEY} fee {MONEY} }}"
SWAPPED = f"""replayed cursor wallet {{ currency posted {MONEY} }} transfer {{ id state amount {MONEY} fee {MONEY}
  exchange {{ rate sold {MONEY} bought {MONEY} }} from {{ currency }} to {{ currency }}
  sender {{ handle }} recipient {{ handle }} refundedAmount {MONEY} receipt {{ body }} }}"""
WALLETS = f"""{{ viewer {{ wallets {{ currency posted {MONEY} entries(first: 1) {{
  nodes {{ kind amount {MONEY} balanceAfter {MONEY} transfer {{ id }} counterparty {{ id }} }} }} }} }} }}"""


async def quote(town: Town, who: str, pair: str = "EUR USD", **amount: str) -> Any:
    sell, buy = pair.split()
    return (await done(town, who, "quoteExchange", QUOTE, **{"from": sell, "to": buy, **amount}))["quote"]


async def swap(town: Town, who: str, quote_id: str, idempotency_key: str | None = None) -> Any:
    return await attempt(town, who, "exchangeFunds", SWAPPED, idempotencyKey=idempotency_key or key(), quoteId=quote_id)


async def purse(town: Town, who: str) -> dict[str, str]:
    """What somebody has in each currency."""
    answer = await town.ask(who, WALLETS)
    return {wallet["currency"]: wallet["posted"]["amount"] for wallet in answer["viewer"]["wallets"]}


async def test_a_quote_says_all_that_it_costs_and_is_carried_out_as_it_says(town: Town) -> None:
    one = await newcomer(town, funds="200.00")
    made = await quote(town, one, sellAmount="100.00")

    answer = await swap(town, one, made["id"])

    assert made["sell"] == eur("100.00")
    assert made["buy"] == {"amount": "117.20", "currency": "USD"}
    assert made["fee"] == eur("0.50")
    assert made["rate"] == "1.1720"
    assert answer["wallet"] == {"currency": "EUR", "posted": eur("99.50")}
    transfer = answer["transfer"]
    assert (transfer["state"], transfer["amount"], transfer["fee"]) == ("POSTED", eur("100.00"), eur("0.50"))
    assert transfer["exchange"] == {"rate": "1.1720", "sold": made["sell"], "bought": made["buy"]}
    assert (transfer["from"], transfer["to"]) == ({"currency": "EUR"}, {"currency": "USD"})
    assert (transfer["sender"], transfer["recipient"]) == ({"handle": one}, {"handle": one})
    wallets = (await town.ask(one, WALLETS))["viewer"]["wallets"]
    newest = {wallet["currency"]: wallet["entries"]["nodes"][0] for wallet in wallets}
    assert newest["EUR"]["amount"] == eur("-100.50")
    assert newest["EUR"]["balanceAfter"] == eur("99.50")
    assert newest["USD"]["amount"] == newest["USD"]["balanceAfter"] == {"amount": "117.20", "currency": "USD"}
    assert {entry["kind"] for entry in newest.values()} == {"EXCHANGE"}
    assert {entry["transfer"]["id"] for entry in newest.values()} == {transfer["id"]}


async def test_what_is_bought_may_be_asked_for_instead(town: Town) -> None:
    one = await newcomer(town, funds="200.00")
    made = await quote(town, one, "EUR JPY", buyAmount="1000")

    await swap(town, one, made["id"])

    assert made["sell"] == eur("5.45")
    assert await purse(town, one) == {"EUR": "194.53", "JPY": "1000"}


async def test_each_wallet_is_told_of_its_own_leg(town: Town) -> None:
    one = await newcomer(town, funds="200.00")
    made = await quote(town, one, sellAmount="100.00")
    document = f"subscription {{ balanceChanged {{ wallet {{ currency posted {MONEY} }} entry {{ kind }} cursor }} }}"

    async with town.subscribed(one, document) as heard:
        cursor = (await swap(town, one, made["id"]))["cursor"]
        events = [(await heard.next())["balanceChanged"] for _ in range(2)]

    assert [event["wallet"]["posted"] for event in events] == [
        eur("99.50"),
        {"amount": "117.20", "currency": "USD"},
    ]
    assert events[-1]["cursor"] == cursor


async def test_fifty_uses_of_a_quote_at_once_are_one_exchange(town: Town) -> None:
    one = await newcomer(town, funds="1000.00")
    made = await quote(town, one, sellAmount="10.00")

    answers = await asyncio.gather(*(swap(town, one, made["id"], f"k{n}") for n in range(50)))

    assert Counter(answer["__typename"] for answer in answers) == {"TransferFundsSuccess": 1, "ConflictError": 49}
    assert await purse(town, one) == {"EUR": "989.95", "USD": "11.72"}
    again = await asyncio.gather(*(swap(town, one, made["id"], f"k{n}") for n in range(50)))
    assert [answer["__typename"] for answer in again] == [answer["__typename"] for answer in answers]
    assert await purse(town, one) == {"EUR": "989.95", "USD": "11.72"}
    assert (await ledger.verify(town.gateway.database)).problems == []


async def test_a_replay_is_the_same_answer(town: Town) -> None:
    one = await newcomer(town, funds="200.00")
    made, other = await quote(town, one, sellAmount="100.00"), await quote(town, one, sellAmount="1.00")
    first = await swap(town, one, made["id"], "k")

    answers = await asyncio.gather(*(swap(town, one, made["id"], "k") for _ in range(8)))

    for answer in answers:
        assert answer["replayed"] is True
        assert answer["transfer"]["id"] == first["transfer"]["id"]
    assert await refused(town, one, "exchangeFunds", idempotencyKey="k", quoteId=other["id"]) == "IdempotencyKeyReused"
    assert await purse(town, one) == {"EUR": "99.50", "USD": "117.20"}


async def test_a_quote_that_has_expired_stays_refused(town: Town) -> None:
    one = await newcomer(town, funds="200.00")
    made = await quote(town, one, sellAmount="100.00")
    # Long ago would be too long: quotes that nobody used are deleted after an hour.
    lately = {"$set": {"expires_at": utc_now() - timedelta(minutes=1)}}
    await town.gateway.database.update_one("quotes", {"_id": made["id"]}, lately)

    first, again = [await swap(town, one, made["id"], "k") for _ in range(2)]

    assert (first["__typename"], first["code"]) == ("TransferRefused", "QUOTE_EXPIRED")
    assert again == first
    assert await purse(town, one) == {"EUR": "200.00"}


async def test_denied(town: Town) -> None:
    one, other = await newcomer(town, funds="200.00"), await newcomer(town, funds="200.00")
    poor = await newcomer(town, funds="1.00")
    made, dear = await quote(town, one, sellAmount="100.00"), await quote(town, poor, sellAmount="1.01")
    yen = await quote(town, one, "JPY EUR", sellAmount="1000")

    async def refusal(who: str, quote_id: str) -> str:
        return await refused(town, who, "exchangeFunds", idempotencyKey=key(), quoteId=quote_id)

    assert await refusal(other, made["id"]) == "NotFoundError"
    assert await refusal(one, yen["id"]) == "NotFoundError"
    assert await refusal(poor, dear["id"]) == "InsufficientFunds"
    assert await refusal(PARTNER, made["id"]) == "ForbiddenError"
    given = {"from": "EUR", "to": "USD", "sellAmount": "1.00"}
    assert await refused(town, PARTNER, "quoteExchange", **given) == "ForbiddenError"
    assert await refused(town, one, "quoteExchange", **{**given, "to": "AFN"}) == "NotFoundError"
    for document in (
        'mutation { quoteExchange(input: {from: "EUR", to: "USD", sellAmount: "1"}) { __typename } }',
        f'mutation {{ exchangeFunds(input: {{idempotencyKey: "k", quoteId: "{made["id"]}"}}) {{ __typename }} }}',
    ):
        assert await codes(town, None, document) == ["UNAUTHENTICATED"]
    swapped = (await swap(town, one, made["id"]))["transfer"]["id"]
    assert await refused(town, one, "refundTransfer", idempotencyKey=key(), transferId=swapped) == "ForbiddenError"
    assert (await town.ask(other, "query ($id: ID!) { transfer(id: $id) { id } }", id=swapped))["transfer"] is None
