"""Idempotency keys as clients may rely on them: whose they are, what is the same input, what a replay answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.acts import done, eur, key, newcomer, refused
from tests.contract.purses import pay, posted, to, wallet
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestKeys:
    async def test_two_callers_may_use_the_same(self, town: Town) -> None:
        one, other = await newcomer(town, funds="10.00"), await newcomer(town, funds="10.00")

        first = await pay(town, one, other, "1.00", idempotencyKey="shared")
        second = await pay(town, other, one, "2.00", idempotencyKey="shared")

        assert (first["replayed"], second["replayed"]) == (False, False)
        assert first["transfer"]["id"] != second["transfer"]["id"]
        assert (await posted(town, one), await posted(town, other)) == ("11.00", "9.00")

    async def test_ways_to_write_an_amount_are_the_same_input(self, town: Town) -> None:
        one, other = await newcomer(town, funds="10.00"), await newcomer(town)

        answers = [
            await pay(town, one, other, amount, idempotencyKey="k") for amount in ("1", "1.00", "1.0", "01", "1.000")
        ]

        assert [answer["replayed"] for answer in answers] == [False, True, True, True, True]
        assert len({answer["transfer"]["id"] for answer in answers}) == 1
        assert await posted(town, one) == "9.00"

    async def test_any_other_input_is_refused(self, town: Town) -> None:
        one, other = await newcomer(town, funds="10.00"), await newcomer(town)
        await pay(town, one, other, "1.00", idempotencyKey="k", memo="Tea")

        for given in (to(other, "1.01", memo="Tea"), to(other, "1.00"), to("bob", "1.00", memo="Tea")):
            assert await refused(town, one, "transferFunds", idempotencyKey="k", **given) == "IdempotencyKeyReused"
        replayed = await pay(town, one, other, "1.00", idempotencyKey="k", memo=" Tea ")
        assert replayed["replayed"] is True

    async def test_all_mutations_share_the_keys_of_a_caller(self, town: Town) -> None:
        one, other = await newcomer(town, funds="10.00"), await newcomer(town)
        await pay(town, one, other, "1.00", idempotencyKey="k")
        mine = (await wallet(town, one))["id"]
        asked: dict[str, Any] = {"payerId": await town.id_of(other), "amount": eur("1.00")}
        top_up: dict[str, Any] = {"walletId": mine, "amount": eur("1.00"), "source": "sandbox:ok"}

        assert await refused(town, one, "requestPayment", idempotencyKey="k", **asked) == "IdempotencyKeyReused"
        assert await refused(town, one, "topUpWallet", idempotencyKey="k", **top_up) == "IdempotencyKeyReused"

    async def test_what_was_never_decided_uses_no_key(self, town: Town) -> None:
        one, other = await newcomer(town, funds="10.00"), await newcomer(town)

        for given in (to("nobody_" + key(), "1.00"), to(one, "1.00"), to(other, "0.001"), to(other, "-1")):
            assert await refused(town, one, "transferFunds", idempotencyKey="k", **given) in (
                "NotFoundError",
                "ValidationError",
            )

        paid = (await pay(town, one, other, "2.00"))["transfer"]["id"]
        assert await refused(town, one, "refundTransfer", idempotencyKey="k", transferId=paid) == "ForbiddenError"

        assert (await pay(town, one, other, "1.00", idempotencyKey="k"))["replayed"] is False

    async def test_a_refusal_is_the_same_again_when_its_reason_is_gone(self, town: Town) -> None:
        one, other = await newcomer(town, funds="1.00"), await newcomer(town)
        document = """mutation ($input: TransferFundsInput!) { transferFunds(input: $input) {
          __typename ... on InsufficientFunds { code message available { amount currency } } } }"""
        given = {"idempotencyKey": "k", **to(other, "5.00")}

        first = await town.ask(one, document, input=given)
        top_up = {"walletId": (await wallet(town, one))["id"], "amount": eur("50.00"), "source": "sandbox:ok"}
        await done(town, one, "topUpWallet", idempotencyKey=key(), **top_up)
        again = await town.ask(one, document, input=given)
        anew = await pay(town, one, other, "5.00")

        assert first["transferFunds"]["__typename"] == "InsufficientFunds"
        assert first["transferFunds"]["available"] == {"amount": "1.00", "currency": "EUR"}
        assert again == first
        assert anew["transfer"]["state"] == "POSTED"
        assert await posted(town, one) == "46.00"

    async def test_an_answer_stays_the_same_when_the_money_is_spent(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town)
        first = await pay(town, one, other, "5.00", idempotencyKey="k")

        again = await pay(town, one, other, "5.00", idempotencyKey="k")

        assert again == {**first, "replayed": True}

    async def test_a_key_many_times_at_once_is_one_transfer(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town)

        answers = await asyncio.gather(*(pay(town, one, other, "1.00", idempotencyKey="k") for _ in range(16)))

        assert len({answer["transfer"]["id"] for answer in answers}) == 1
        assert sorted(answer["replayed"] for answer in answers) == [False] + [True] * 15
        assert (await posted(town, one), await posted(town, other)) == ("4.00", "1.00")
