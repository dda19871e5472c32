"""Money as people may rely on it: transfers, requests, and the sandbox's rails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from tests.contract.acts import attempt, done, eur, key, newcomer, refused
from tests.contract.purses import PAID, pay, posted, wallet
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestTransfers:
    async def test_paying_opens_the_wallet_of_who_has_none(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town)
        assert await wallet(town, other) is None

        await pay(town, one, other, "1.50")

        assert await posted(town, other) == "1.50"

    async def test_without_a_named_wallet_the_one_in_the_currency_pays(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town)
        yen = {"amount": "100", "currency": "JPY"}
        assert await refused(town, one, "transferFunds", idempotencyKey=key(), to={"handle": other}, amount=yen) == (
            "NotFoundError"
        )
        opened = await done(town, one, "openWallet", "wallet { id }", currency="JPY")
        top_up = {"walletId": opened["wallet"]["id"], "amount": yen, "source": "sandbox:ok"}
        await done(town, one, "topUpWallet", idempotencyKey=key(), **top_up)

        paid = await done(
            town,
            one,
            "transferFunds",
            "wallet { id posted { amount } }",
            idempotencyKey=key(),
            to={"handle": other},
            amount=yen,
        )

        assert paid["wallet"] == {"id": opened["wallet"]["id"], "posted": {"amount": "0"}}
        assert await posted(town, one) == "5.00"

    async def test_each_sees_their_own_wallet_alone(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town, funds="5.00")
        mine, theirs = (await wallet(town, one))["id"], (await wallet(town, other))["id"]
        id = (await pay(town, one, other, "1.00"))["transfer"]["id"]
        document = """query ($id: ID!) { transfer(id: $id) {
          from { id } to { id } sender { handle } recipient { handle } } }"""

        people = {"sender": {"handle": one}, "recipient": {"handle": other}}
        assert (await town.ask(one, document, id=id))["transfer"] == {"from": {"id": mine}, "to": None, **people}
        assert (await town.ask(other, document, id=id))["transfer"] == {"from": None, "to": {"id": theirs}, **people}
        assert (await town.ask(await newcomer(town), document, id=id))["transfer"] is None

    async def test_a_balance_after_an_entry_is_the_posted_one(self, town: Town) -> None:
        one, other = await newcomer(town, funds="10.00"), await newcomer(town)
        for amount in ("1.00", "2.00"):
            await pay(town, one, other, amount)
        out = {"walletId": (await wallet(town, one))["id"], "amount": eur("4.00"), "destination": "sandbox:slow"}
        await done(town, one, "withdrawFromWallet", idempotencyKey=key(), **out)

        entries = await town.ask(
            one,
            """{ viewer { wallet(currency: "EUR") { entries {
              nodes { state amount { amount } balanceAfter { amount } } } } } }""",
        )

        shown = [
            (entry["state"], entry["amount"]["amount"], entry["balanceAfter"]["amount"])
            for entry in entries["viewer"]["wallet"]["entries"]["nodes"]
        ]
        first = next(place for place, entry in enumerate(shown) if entry == ("PENDING", "-4.00", "7.00"))
        assert shown[first + 1 : first + 3] == [("POSTED", "-2.00", "7.00"), ("POSTED", "-1.00", "9.00")]


class TestRequests:
    async def ask(self, town: Town, requester: str, payer: str, amount: str = "1.00", **more: Any) -> str:
        given: dict[str, Any] = {"payerId": await town.id_of(payer), "amount": eur(amount), **more}
        made = await done(town, requester, "requestPayment", "paymentRequest { id }", idempotencyKey=key(), **given)
        return str(made["paymentRequest"]["id"])

    async def test_accepting_twice_is_one_transfer(self, town: Town) -> None:
        requester, payer = await newcomer(town), await newcomer(town, funds="5.00")
        id = await self.ask(town, requester, payer)
        accept = {"paymentRequestId": id}

        first = await done(town, payer, "acceptPaymentRequest", PAID, idempotencyKey="k", **accept)
        again = await done(town, payer, "acceptPaymentRequest", PAID, idempotencyKey="k", **accept)

        assert again == {**first, "replayed": True}
        for other_key in ("l", "l"):
            assert await refused(town, payer, "acceptPaymentRequest", idempotencyKey=other_key, **accept) == (
                "ConflictError"
            )
        assert (await posted(town, payer), await posted(town, requester)) == ("4.00", "1.00")
        shown = await town.ask(
            requester, "query ($id: ID!) { paymentRequest(id: $id) { state transfer { id } } }", id=id
        )
        assert shown["paymentRequest"] == {"state": "ACCEPTED", "transfer": {"id": first["transfer"]["id"]}}

    async def test_who_may_answer_and_who_may_cancel(self, town: Town) -> None:
        requester, payer, stranger = await newcomer(town), await newcomer(town, funds="5.00"), await newcomer(town)
        id = await self.ask(town, requester, payer)
        accept = {"idempotencyKey": key(), "paymentRequestId": id}

        assert await refused(town, requester, "acceptPaymentRequest", **accept) == "ForbiddenError"
        assert await refused(town, requester, "declinePaymentRequest", paymentRequestId=id) == "ForbiddenError"
        assert await refused(town, payer, "cancelPaymentRequest", paymentRequestId=id) == "ForbiddenError"
        assert await refused(town, stranger, "acceptPaymentRequest", **accept) == "NotFoundError"
        for act in ("declinePaymentRequest", "cancelPaymentRequest"):
            assert await refused(town, stranger, act, paymentRequestId=id) == "NotFoundError"
        await done(town, payer, "declinePaymentRequest", paymentRequestId=id)
        assert await refused(town, requester, "cancelPaymentRequest", paymentRequestId=id) == "ConflictError"
        assert await refused(town, payer, "acceptPaymentRequest", **accept) == "ConflictError"

    async def test_a_request_expires(self, town: Town) -> None:
        requester, payer = await newcomer(town), await newcomer(town, funds="5.00")
        soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        id = await self.ask(town, requester, payer, expiresAt=soon)
        document = "query ($id: ID!) { paymentRequest(id: $id) { state } }"

        async with asyncio.timeout(15):
            while (await town.ask(payer, document, id=id))["paymentRequest"]["state"] == "OPEN":  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        assert (await town.ask(payer, document, id=id))["paymentRequest"]["state"] == "EXPIRED"
        accept = {"idempotencyKey": key(), "paymentRequestId": id}
        assert await refused(town, payer, "acceptPaymentRequest", **accept) == "ConflictError"
        assert await posted(town, payer) == "5.00"

    async def test_what_is_asked_of_oneself_is_refused(self, town: Town) -> None:
        one = await newcomer(town)
        given: dict[str, Any] = {"payerId": await town.id_of(one), "amount": eur("1.00")}

        assert await refused(town, one, "requestPayment", idempotencyKey=key(), **given) == "ValidationError"


class TestRails:
    async def settled(self, town: Town, who: str, transfer: str) -> str:
        document = "query ($id: ID!) { transfer(id: $id) { state } }"
        async with asyncio.timeout(20):
            while (state := (await town.ask(who, document, id=transfer))["transfer"]["state"]) == "PENDING":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return str(state)

    @pytest.mark.parametrize(
        ("act", "side", "after"), [("topUpWallet", "source", "6.00"), ("withdrawFromWallet", "destination", "4.00")]
    )
    async def test_what_the_rail_settles_in_the_end(self, town: Town, act: str, side: str, after: str) -> None:
        for rail in ("sandbox:ok", "sandbox:slow", "sandbox:lost", "sandbox:missed"):
            who = await newcomer(town, funds="5.00")
            given = {"walletId": (await wallet(town, who))["id"], "amount": eur("1.00"), side: rail}

            made = await done(town, who, act, PAID, idempotencyKey="k", **given)

            assert made["transfer"]["state"] == ("POSTED" if rail == "sandbox:ok" else "PENDING")
            assert await self.settled(town, who, made["transfer"]["id"]) == "POSTED"
            assert await posted(town, who) == after
            again = await done(town, who, act, PAID, idempotencyKey="k", **given)
            assert (again["replayed"], again["transfer"]["id"]) == (True, made["transfer"]["id"])

    @pytest.mark.parametrize(("act", "side"), [("topUpWallet", "source"), ("withdrawFromWallet", "destination")])
    async def test_refuse_moves_nothing_and_is_replayed(self, town: Town, act: str, side: str) -> None:
        who = await newcomer(town, funds="5.00")
        given = {"walletId": (await wallet(town, who))["id"], "amount": eur("1.00"), side: "sandbox:refuse"}

        answers = [await attempt(town, who, act, idempotencyKey="k", **given) for _ in range(2)]

        assert answers[0] == answers[1]
        assert answers[0]["__typename"] == "TransferRefused"
        shown = await wallet(town, who)
        assert [shown[name]["amount"] for name in ("posted", "available", "pendingOut")] == ["5.00", "5.00", "0.00"]

    @pytest.mark.parametrize(("act", "side"), [("topUpWallet", "source"), ("withdrawFromWallet", "destination")])
    async def test_what_the_rail_refuses_later_is_given_back(self, town: Town, act: str, side: str) -> None:
        who = await newcomer(town, funds="5.00")
        given = {"walletId": (await wallet(town, who))["id"], "amount": eur("1.00"), side: "sandbox:slow-refuse"}

        made = await done(town, who, act, PAID, idempotencyKey="k", **given)
        while_pending = await wallet(town, who)
        state = await self.settled(town, who, made["transfer"]["id"])

        assert (made["transfer"]["state"], state) == ("PENDING", "VOIDED")
        assert while_pending["posted"]["amount"] == "5.00"
        shown = await wallet(town, who)
        assert [shown[name]["amount"] for name in ("posted", "available", "pendingOut")] == ["5.00", "5.00", "0.00"]
        assert await refused(town, who, act, idempotencyKey="k", **given) == "TransferRefused"

    @pytest.mark.parametrize("rail", ["sandbox:late", "sandbox:silent"])
    async def test_what_the_rail_is_silent_on_stays_reserved(self, town: Town, rail: str) -> None:
        who = await newcomer(town, funds="5.00")
        given = {"walletId": (await wallet(town, who))["id"], "amount": eur("1.00"), "destination": rail}

        answers = await asyncio.gather(
            *(done(town, who, "withdrawFromWallet", PAID, idempotencyKey="k", **given) for _ in range(5))
        )
        again = await done(town, who, "withdrawFromWallet", PAID, idempotencyKey="k", **given)

        assert {answer["transfer"]["state"] for answer in [*answers, again]} == {"PENDING"}
        assert len({answer["transfer"]["id"] for answer in [*answers, again]}) == 1
        assert sorted(answer["replayed"] for answer in answers) == [False, True, True, True, True]
        shown = await wallet(town, who)
        assert [shown[name]["amount"] for name in ("posted", "available", "pendingOut")] == ["5.00", "4.00", "1.00"]

    async def test_another_rail_is_not_acceptable(self, town: Town) -> None:
        who = await newcomer(town, funds="5.00")
        given = {"walletId": (await wallet(town, who))["id"], "amount": eur("1.00"), "source": "bank:1"}

        assert await refused(town, who, "topUpWallet", idempotencyKey=key(), **given) == "ValidationError"


async def test_the_ledger_of_the_town_holds(town: Town) -> None:
    report = await ledger.verify(town.gateway.database)

    assert report.problems == []
    assert report.entries > 50
