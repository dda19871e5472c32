"""Money as people may rely on it: keys, replays, what the others see, requests, and the sandbox's rails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from tests.contract.acts import attempt, done, eur, key, newcomer, refused, say, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

WALLET = '{ viewer { wallet(currency: "EUR") { id posted { amount } available { amount } pendingOut { amount } } } }'
PAID = "replayed transfer { id state amount { amount } }"
EVERYTHING = """id createdAt state amount { amount currency } sender { handle } recipient { handle } memo
  fee { amount } from { id } to { id } refundedAmount { amount } conversation { id } order { id } receipt { body }"""


async def wallet(town: Town, who: str) -> Any:
    return (await town.ask(who, WALLET))["viewer"]["wallet"]


async def posted(town: Town, who: str) -> str:
    return str((await wallet(town, who))["posted"]["amount"])


def to(handle: str, amount: str, **more: Any) -> dict[str, Any]:
    return {"to": {"handle": handle}, "amount": eur(amount), **more}


async def pay(town: Town, who: str, other: str, amount: str, **more: Any) -> Any:
    given: dict[str, Any] = {"idempotencyKey": key(), **to(other, amount), **more}
    return await done(town, who, "transferFunds", PAID, **given)


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


async def group(town: Town, *people: str) -> str:
    ids = [await town.id_of(handle) for handle in people[1:]]
    selection = "conversation { id }"
    made = await done(town, people[0], "startConversation", selection, memberIds=ids, title="Money talks")
    return str(made["conversation"]["id"])


MESSAGES = f"""query ($id: ID!) {{ conversation(id: $id) {{ messages {{ nodes {{
  text transfer {{ {EVERYTHING} }} paymentRequest {{ id state amount {{ amount }} requester {{ handle }} }}
}} }} }} }}"""


class TestInConversations:
    async def test_a_transfer_posts_exactly_one_message(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town)
        chat = await talk(town, one, other)

        paid = await asyncio.gather(
            *(pay(town, one, other, "1.00", idempotencyKey="k", conversationId=chat) for _ in range(8))
        )
        asked: dict[str, Any] = {"payerId": await town.id_of(other), "amount": eur("2.00"), "conversationId": chat}
        requested = await asyncio.gather(
            *(done(town, one, "requestPayment", "paymentRequest { id }", idempotencyKey="r", **asked) for _ in range(8))
        )

        nodes = (await town.ask(other, MESSAGES, id=chat))["conversation"]["messages"]["nodes"]
        assert [node["transfer"] and node["transfer"]["id"] for node in nodes] == [paid[0]["transfer"]["id"], None]
        assert [node["paymentRequest"] and node["paymentRequest"]["id"] for node in nodes] == [
            None,
            requested[0]["paymentRequest"]["id"],
        ]

    async def test_members_see_what_was_said_of_it_by_any_road_and_others_nothing(self, town: Town) -> None:
        one, other, third = await newcomer(town, funds="5.00"), await newcomer(town), await newcomer(town)
        chat = await group(town, one, other, third)
        id = (await pay(town, one, other, "1.00", memo="Tea", conversationId=chat))["transfer"]["id"]
        document = f"""query ($id: ID!) {{
          transfer(id: $id) {{ {EVERYTHING} }} node(id: $id) {{ ... on Transfer {{ {EVERYTHING} }} }} }}"""

        roads = list((await town.ask(third, document, id=id)).values())
        roads.append((await town.ask(third, MESSAGES, id=chat))["conversation"]["messages"]["nodes"][0]["transfer"])

        for shown in roads:
            assert {name for name, value in shown.items() if value is not None} == {
                *("id", "createdAt", "state", "amount", "sender", "recipient", "memo")
            }
            assert (shown["sender"], shown["recipient"], shown["memo"]) == (
                {"handle": one},
                {"handle": other},
                "Tea",
            )
        assert await town.ask(await newcomer(town), document, id=id) == {"transfer": None, "node": None}

    async def test_only_who_takes_part_may_attach_it(self, town: Town) -> None:
        one, other, third = await newcomer(town, funds="5.00"), await newcomer(town), await newcomer(town)
        chat = await group(town, one, other, third)
        shown = (await pay(town, one, other, "1.00", conversationId=chat))["transfer"]["id"]
        private = (await pay(town, one, other, "1.00"))["transfer"]["id"]
        elsewhere = await talk(town, third, await newcomer(town))

        for id, where in ((shown, chat), (shown, elsewhere), (private, chat)):
            given = {"conversationId": where, "text": "Look", "transferId": id}
            assert await refused(town, third, "sendMessage", **given) in ("NotFoundError", "ForbiddenError")
        assert (await town.ask(third, "query ($id: ID!) { transfer(id: $id) { id } }", id=private))["transfer"] is None
        await say(town, other, chat, "Thanks", transferId=private)
        assert (await town.ask(third, "query ($id: ID!) { transfer(id: $id) { id } }", id=private))["transfer"]

    async def test_a_message_carries_one_kind_of_money(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5.00"), await newcomer(town)
        chat = await talk(town, one, other)
        transfer = (await pay(town, one, other, "1.00"))["transfer"]["id"]
        asked: dict[str, Any] = {"payerId": await town.id_of(other), "amount": eur("2.00")}
        made = await done(town, one, "requestPayment", "paymentRequest { id }", idempotencyKey=key(), **asked)
        both = {"transferId": transfer, "paymentRequestId": made["paymentRequest"]["id"]}

        assert await refused(town, one, "sendMessage", conversationId=chat, text="x", **both) == "ValidationError"

    async def test_a_deleted_message_shows_its_money_no_more(self, town: Town) -> None:
        one, other, third = await newcomer(town, funds="5.00"), await newcomer(town), await newcomer(town)
        chat = await group(town, one, other, third)
        id = (await pay(town, one, other, "1.00", conversationId=chat))["transfer"]["id"]
        document = """query ($id: ID!) { conversation(id: $id) { messages { nodes { id transfer { id } } } } }"""
        (message,) = (await town.ask(one, document, id=chat))["conversation"]["messages"]["nodes"]

        await done(town, one, "deleteMessage", messageId=message["id"])

        left = (await town.ask(one, document, id=chat))["conversation"]["messages"]["nodes"]
        assert left == [{"id": message["id"], "transfer": None}]
        assert (await town.ask(third, "query ($id: ID!) { transfer(id: $id) { id } }", id=id))["transfer"] is None
        assert (await town.ask(one, "query ($id: ID!) { transfer(id: $id) { id } }", id=id))["transfer"] == {"id": id}


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
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
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
