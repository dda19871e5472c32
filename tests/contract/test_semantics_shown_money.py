"""Money in conversations: what a transfer or a request posts there, and what its members see of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.acts import done, eur, key, newcomer, refused, say, talk
from tests.contract.purses import EVERYTHING, pay
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

MESSAGES = f"""query ($id: ID!) {{ conversation(id: $id) {{ messages {{ nodes {{
  text transfer {{ {EVERYTHING} }} paymentRequest {{ id state amount {{ amount }} requester {{ handle }} }}
}} }} }} }}"""


async def group(town: Town, *people: str) -> str:
    ids = [await town.id_of(handle) for handle in people[1:]]
    selection = "conversation { id }"
    made = await done(town, people[0], "startConversation", selection, memberIds=ids, title="Money talks")
    return str(made["conversation"]["id"])


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
