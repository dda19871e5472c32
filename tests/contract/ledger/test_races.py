"""Bad input at once with good, and much of it: one outcome wins, the others are told so, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
import pytest_asyncio

from datastores import ledger
from tests.contract.acts import attempt, done, eur, key, newcomer, refused
from tests.contract.ledger.cast import Cast, gather_cast
from tests.contract.ledger.trials import Answer, Trial
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT_ONCE = 50


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cast(town: Town) -> Cast:
    return await gather_cast(town)


@pytest.mark.parametrize("round", range(3))
async def test_one_key_with_two_inputs_at_once_is_one_of_them(town: Town, round: int) -> None:
    payer, payee = await newcomer(town, funds="60.00"), await newcomer(town)
    inputs = {amount: transfer(town, payer, payee, amount) for amount in ("1.00", "2.00")}
    asked = ["1.00", "2.00"] * (AT_ONCE // 2)
    random.Random(round).shuffle(asked)

    answers = await asyncio.gather(*(inputs[amount].answer("k") for amount in asked))

    told = {amount: [answer for answer, of in zip(answers, asked, strict=True) if of == amount] for amount in inputs}
    winner, loser = sorted(inputs, key=lambda amount: told[amount][0].succeeded, reverse=True)
    assert Counter(answer.replayed for answer in told[winner]) == {False: 1, True: AT_ONCE // 2 - 1}
    assert len({answer.transfer_id for answer in told[winner]}) == 1
    assert {(answer.type, answer.code) for answer in told[loser]} == {
        ("IdempotencyKeyReused", "IDEMPOTENCY_KEY_REUSED")
    }
    assert await posted(town, payee) == winner


async def test_one_key_with_an_input_that_is_refused_and_one_that_is_not(town: Town) -> None:
    payer, payee = await newcomer(town, funds="60.00"), await newcomer(town)
    inputs = [transfer(town, payer, payee, amount) for amount in ("1.00", "61.00")]

    answers = await asyncio.gather(*(inputs[n % 2].answer("k") for n in range(AT_ONCE)))

    by_input = [{(answer.type, answer.transfer_id) for answer in answers[n::2]} for n in range(2)]
    assert [len(each) for each in by_input] == [1, 1]
    kinds = {kind for each in by_input for kind, _ in each}
    assert kinds in ({"TransferFundsSuccess", "IdempotencyKeyReused"}, {"InsufficientFunds", "IdempotencyKeyReused"})
    if "TransferFundsSuccess" in kinds:
        assert await posted(town, payee) == "1.00"
    else:
        assert await posted(town, payee) is None


async def test_one_key_for_two_mutations_at_once_is_one_of_them(town: Town) -> None:
    payer, payee = await newcomer(town, funds="60.00"), await newcomer(town)
    asked: dict[str, Any] = {"payerId": await town.id_of(payee), "amount": eur("1.00")}
    paying = transfer(town, payer, payee, "1.00")

    paid, requested = await asyncio.gather(
        asyncio.gather(*(paying.answer("k") for _ in range(AT_ONCE // 2))),
        asyncio.gather(
            *(attempt(town, payer, "requestPayment", idempotencyKey="k", **asked) for _ in range(AT_ONCE // 2))
        ),
    )

    kinds = [{answer.type for answer in paid}, {answer["__typename"] for answer in requested}]
    assert kinds in (
        [{"TransferFundsSuccess"}, {"IdempotencyKeyReused"}],
        [{"IdempotencyKeyReused"}, {"RequestPaymentSuccess"}],
    )
    requests = "{ viewer { paymentRequests(direction: OUTGOING) { nodes { id } } } }"
    made = (await town.ask(payer, requests))["viewer"]["paymentRequests"]["nodes"]
    assert (await posted(town, payee), len(made)) == (
        ("1.00", 0) if kinds[0] == {"TransferFundsSuccess"} else (None, 1)
    )


@pytest.mark.parametrize("seed", range(3))
async def test_refunds_of_any_size_at_once_never_give_back_more_than_was_paid(cast: Cast, seed: int) -> None:
    chance, town = random.Random(seed), cast.town
    paid = await cast.pay(cast.other, cast.own, "10.00")
    cents = [chance.randrange(1, 400) for _ in range(30)]

    answers = await asyncio.gather(*(refund(cast, paid, units) for units in cents))
    rest = await refund(cast, paid, None)

    given = sum(units for units, answer in zip(cents, answers, strict=True) if answer.succeeded)
    assert {answer.type for answer in answers} <= {"TransferFundsSuccess", "ConflictError"}
    assert given <= 1_000
    assert rest.succeeded is (given < 1_000)
    shown = await town.ask(
        cast.other, "query ($id: ID!) { transfer(id: $id) { state refundedAmount { minorUnits } } }", id=paid
    )
    assert shown["transfer"] == {"state": "REFUNDED", "refundedAmount": {"minorUnits": "1000"}}
    assert (await refund(cast, paid, 1)).type == "ConflictError"


async def test_captures_and_a_void_at_once_share_the_hold_between_them(cast: Cast) -> None:
    hold = await cast.hold(cast.other, cast.own, amount=eur("10.00"))
    before = await posted(cast.town, cast.own)
    captures = [Trial(cast, "captureHold", cast.own, {"transferId": hold, "amount": eur("3.00")}) for _ in range(12)]
    void = Trial(cast, "voidHold", cast.own, {"transferId": hold})

    answers = await asyncio.gather(*(trial.answer() for trial in [*captures[:6], void, *captures[6:]]))
    after = [await trial.answer() for trial in (captures[0], void)]

    captured = sum(answer.succeeded for answer in [*answers[:6], *answers[7:]])
    assert captured <= 3
    assert answers[6].succeeded
    codes = {answer.code for answer in answers if not answer.succeeded}
    assert codes <= {"HOLD_RESOLVED", "AMOUNT_EXCEEDS_HOLD"}
    assert [answer.code for answer in after] == ["HOLD_RESOLVED", "HOLD_RESOLVED"]
    assert cents_of(await posted(cast.town, cast.own)) == cents_of(before) + 300 * captured


async def test_a_quote_at_once_under_many_keys_is_used_once(cast: Cast) -> None:
    quote = await cast.quote(cast.own, "EUR", good_for_s=30)
    trial = Trial(cast, "exchangeFunds", cast.own, {"quoteId": quote})

    answers = await asyncio.gather(*(trial.answer() for _ in range(20)))

    assert Counter(answer.type for answer in answers) == {"TransferFundsSuccess": 1, "ConflictError": 19}


async def test_a_wallet_that_freezes_while_it_pays_has_paid_or_not(cast: Cast) -> None:
    payee = await newcomer(cast.town)
    trial = transfer(cast.town, cast.own, payee, "0.10")
    asked = [asyncio.create_task(trial.answer()) for _ in range(AT_ONCE)]

    async with cast.frozen(cast.own):
        during = await trial.answer()
        answers = await asyncio.gather(*asked)
    after = await trial.answer()

    assert during.code == "ACCOUNT_FROZEN"
    assert {answer.code for answer in answers} <= {None, "ACCOUNT_FROZEN"}
    assert after.succeeded
    paid = sum(answer.succeeded for answer in [*answers, after])
    assert cents_of(await posted(cast.town, payee)) == 10 * paid


async def test_a_closed_wallet_neither_pays_nor_is_paid_until_it_is_opened_again(cast: Cast) -> None:
    town, other = cast.town, await newcomer(cast.town)
    opened = await done(town, other, "openWallet", "wallet { id }", currency="EUR")
    wallet = opened["wallet"]["id"]
    await done(town, other, "closeWallet", walletId=wallet)
    rail = {"walletId": wallet, "amount": eur("1.00")}

    for who, mutation, input in (
        (cast.own, "transferFunds", {"to": {"walletId": wallet}, "amount": eur("1.00")}),
        (cast.own, "holdFunds", {"to": {"walletId": wallet}, "amount": eur("1.00")}),
        (other, "transferFunds", {"to": {"handle": cast.own}, "amount": eur("1.00")}),
        (other, "topUpWallet", {**rail, "source": "sandbox:ok"}),
        (other, "withdrawFromWallet", {**rail, "destination": "sandbox:ok"}),
    ):
        answer = await attempt(town, who, mutation, idempotencyKey=key(), **input)
        assert answer["code"] == "ACCOUNT_FROZEN", (mutation, answer)

    await done(town, other, "openWallet", currency="EUR")
    assert (await transfer(town, cast.own, other, "1.00").answer()).succeeded
    assert await refused(town, other, "closeWallet", walletId=wallet) == "ConflictError"


async def test_after_all_that_the_ledger_holds_and_nobody_is_below_zero(town: Town) -> None:
    report = await ledger.verify(town.gateway.database)
    below = await town.gateway.database.find("accounts", {"owner_id": {"$ne": None}, "posted": {"$lt": 0}}, limit=10)

    assert report.problems == []
    assert below == []


def transfer(town: Town, payer: str, payee: str, amount: str) -> Trial:
    """A transfer between these two."""
    return Trial(Cast(town, payer, payee, ""), "transferFunds", payer, {"to": {"handle": payee}, "amount": eur(amount)})


async def refund(cast: Cast, paid: str, units: int | None) -> Answer:
    """What `own` is answered who sends so much back, or all that is left."""
    amount = {} if units is None else {"amount": eur(str(ledger.decimal_amount(units, "EUR")))}
    return await Trial(cast, "refundTransfer", cast.own, {"transferId": paid, **amount}).answer()


async def posted(town: Town, who: str) -> str | None:
    """What a person has, in EUR; None without a wallet."""
    answer = await town.ask(who, '{ viewer { wallet(currency: "EUR") { posted { amount } } } }')
    wallet = answer["viewer"]["wallet"]
    return None if wallet is None else str(wallet["posted"]["amount"])


def cents_of(amount: str | None) -> int:
    """The amount in cents."""
    return int((amount or "0").replace(".", ""))
