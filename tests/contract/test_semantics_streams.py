"""What subscriptions bring, from which cursor, and in what state: over real sockets, with real absences."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.acts import attempt, done, eur, key, newcomer, say, talk
from tests.contract.town import Events, Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANGES = """subscription ($id: ID!, $after: Cursor) { conversationUpdated(conversationId: $id, after: $after) {
  __typename
  ... on MessageAdded { cursor message { id seq text deletedAt editedAt reactions { emoji count } } }
  ... on MessageEdited { cursor message { id seq text } }
  ... on MessageDeleted { cursor messageId }
  ... on ReactionsChanged { cursor message { id seq reactions { emoji count } } }
  ... on ReadMarkerMoved { cursor member { user { handle } lastReadSeq } }
  ... on MemberJoined { cursor member { user { handle } } }
  ... on MemberLeft { cursor user { handle } }
  ... on StreamGap { cursor reason }
} }"""
ADDED = """subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {
  cursor message { id seq text deletedAt }
} }"""
INBOX = "subscription ($after: Cursor) { inbox(after: $after) { cursor message { text conversation { id } } } }"
BALANCES = """subscription ($wallet: ID, $after: Cursor) { balanceChanged(walletId: $wallet, after: $after) {
  cursor coalesced wallet { id posted { amount } version } entry { kind amount { amount } balanceAfter { amount } }
} }"""


async def pair(town: Town) -> tuple[str, str, str]:
    """Two newcomers and their conversation."""
    one, other = await newcomer(town), await newcomer(town)
    return one, other, await talk(town, one, other)


async def refusal(events: Events) -> str:
    """The code with which a subscription ends."""
    message = await events.message()
    assert message["type"] == "error", message
    return str(message["payload"][0]["extensions"]["code"])


async def texts(events: Events, field: str, count: int) -> list[str]:
    return [(await events.next())[field]["message"]["text"] for _ in range(count)]


async def test_without_a_cursor_a_stream_begins_now(town: Town) -> None:
    one, other, chat = await pair(town)
    await say(town, one, chat, "before")

    async with town.subscribed(other, ADDED, id=chat) as events:
        await say(town, one, chat, "after")

        assert await texts(events, "messageAdded", 1) == ["after"]


async def test_with_a_cursor_comes_everything_since_and_then_what_is_live(town: Town) -> None:
    one, other, chat = await pair(town)
    cursor = (await say(town, one, chat, "0"))["cursor"]
    for n in range(1, 6):
        await say(town, one, chat, str(n))

    async with town.subscribed(other, ADDED, id=chat, after=cursor) as events:
        assert await texts(events, "messageAdded", 5) == ["1", "2", "3", "4", "5"]
        await say(town, other, chat, "6")
        assert await texts(events, "messageAdded", 1) == ["6"]


async def test_a_cursor_of_one_road_continues_on_every_other(town: Town) -> None:
    one, other, chat = await pair(town)
    sent = await say(town, one, chat, "first")
    async with town.subscribed(other, ADDED, id=chat, after=sent["cursor"]) as added:
        await say(town, one, chat, "second")
        of_added = (await added.next())["messageAdded"]["cursor"]
    edited = await done(town, one, "editMessage", "cursor", messageId=sent["node"]["id"], text="first, better")
    async with town.subscribed(other, CHANGES, id=chat, after=of_added) as changes:
        event = (await changes.next())["conversationUpdated"]
    third = await say(town, one, chat, "third")

    assert event["__typename"] == "MessageEdited"
    assert event["cursor"] == edited["cursor"]
    async with town.subscribed(other, ADDED, id=chat, after=event["cursor"]) as added:
        last = (await added.next())["messageAdded"]
    assert (last["message"]["text"], last["cursor"]) == ("third", third["cursor"])
    async with town.subscribed(other, CHANGES, id=chat, after=edited["cursor"]) as changes:
        assert (await changes.next())["conversationUpdated"]["cursor"] == third["cursor"]
    for cursor in {sent["cursor"], of_added, edited["cursor"], third["cursor"]}:
        async with town.subscribed(other, INBOX, after=cursor) as inbox:
            assert await refusal(inbox) == "INVALID_INPUT"


async def test_every_act_in_a_conversation_answers_with_a_cursor_of_it(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    members = [await town.id_of(other)]
    made = await done(town, one, "startConversation", "conversation { id }", memberIds=members, title="All acts")
    chat = made["conversation"]["id"]
    sent = await say(town, one, chat, "x")
    message = {"messageId": sent["node"]["id"]}
    joiner = await town.id_of(await newcomer(town))
    acts: list[tuple[str, dict[str, Any], str]] = [
        ("editMessage", {**message, "text": "y"}, "MessageEdited"),
        ("addReaction", {**message, "emoji": "👍"}, "ReactionsChanged"),
        ("removeReaction", {**message, "emoji": "👍"}, "ReactionsChanged"),
        ("addConversationMembers", {"conversationId": chat, "userIds": [joiner]}, "MemberJoined"),
        ("removeConversationMember", {"conversationId": chat, "userId": joiner}, "MemberLeft"),
        ("deleteMessage", message, "MessageDeleted"),
    ]
    cursors = [(await done(town, one, mutation, "cursor", **given))["cursor"] for mutation, given, _ in acts]

    async with town.subscribed(other, CHANGES, id=chat, after=sent["cursor"]) as events:
        seen = [(await events.next())["conversationUpdated"] for _ in acts]

    assert [event["__typename"] for event in seen] == [kind for *_, kind in acts]
    assert [event["cursor"] for event in seen] == cursors


async def test_reading_answers_with_a_cursor_too(town: Town) -> None:
    one, other, chat = await pair(town)
    sent = await say(town, one, chat, "x")

    read = await done(town, other, "markConversationRead", "cursor", conversationId=chat, seq=sent["node"]["seq"])

    await say(town, one, chat, "y")
    async with town.subscribed(other, ADDED, id=chat, after=read["cursor"]) as events:
        assert await texts(events, "messageAdded", 1) == ["y"]


async def test_a_catch_up_brings_objects_as_they_are_now_and_each_change(town: Town) -> None:
    one, other, chat = await pair(town)
    start = (await say(town, one, chat, "start"))["cursor"]
    edited = (await say(town, one, chat, "draft"))["node"]["id"]
    deleted = (await say(town, one, chat, "secret"))["node"]["id"]
    await done(town, one, "editMessage", messageId=edited, text="final")
    await done(town, other, "addReaction", messageId=edited, emoji="👍")
    await done(town, one, "deleteMessage", messageId=deleted)
    await say(town, one, chat, "end")

    async with town.subscribed(other, CHANGES, id=chat, after=start) as events:
        seen = [(await events.next())["conversationUpdated"] for _ in range(6)]
        markers = [(await events.next())["conversationUpdated"] for _ in range(2)]

    kinds = ["MessageAdded", "MessageAdded", "MessageEdited", "ReactionsChanged", "MessageDeleted", "MessageAdded"]
    assert [event["__typename"] for event in seen] == kinds
    first, second = seen[0]["message"], seen[1]["message"]
    assert (first["text"], first["reactions"]) == ("final", [{"emoji": "👍", "count": 1}])
    assert (second["text"], second["deletedAt"] is not None) == ("", True)
    assert seen[4]["messageId"] == deleted
    assert [event["message"]["seq"] for event in seen if "message" in event] == ["2", "3", "2", "2", "4"]
    assert len({event["cursor"] for event in seen}) == 6
    assert {event["member"]["user"]["handle"] for event in markers} == {one, other}
    assert {event["cursor"] for event in markers} == {seen[-1]["cursor"]}


async def test_a_read_marker_that_moves_is_told_with_the_cursor_before_it(town: Town) -> None:
    one, other, chat = await pair(town)
    sent = await say(town, one, chat, "x")

    async with town.subscribed(one, CHANGES, id=chat) as events:
        await done(town, other, "markConversationRead", conversationId=chat, seq="1")
        event = (await events.next())["conversationUpdated"]

    assert event["__typename"] == "ReadMarkerMoved"
    assert event["member"] == {"user": {"handle": other}, "lastReadSeq": "1"}
    assert event["cursor"] == sent["cursor"]


async def test_edits_and_reactions_move_the_cursor_but_not_the_number(town: Town) -> None:
    one, _, chat = await pair(town)
    first = await say(town, one, chat, "1")
    for emoji in "👍🎉":
        await done(town, one, "addReaction", messageId=first["node"]["id"], emoji=emoji)
    await done(town, one, "editMessage", messageId=first["node"]["id"], text="one")
    await done(town, one, "deleteMessage", messageId=first["node"]["id"])

    second = await say(town, one, chat, "2")

    assert [first["node"]["seq"], second["node"]["seq"]] == ["1", "2"]


async def test_the_inbox_goes_on_after_its_own_cursor(town: Town) -> None:
    one, other, chat = await pair(town)
    third = await newcomer(town)
    elsewhere = await talk(town, third, other)
    async with town.subscribed(other, INBOX) as events:
        await say(town, one, chat, "a")
        cursor = (await events.next())["inbox"]["cursor"]
    await say(town, third, elsewhere, "b")
    await say(town, one, chat, "c")

    async with town.subscribed(other, INBOX, after=cursor) as events:
        seen = [(await events.next())["inbox"]["message"] for _ in range(2)]

    assert seen == [
        {"text": "b", "conversation": {"id": elsewhere}},
        {"text": "c", "conversation": {"id": chat}},
    ]
    async with town.subscribed(other, ADDED, id=chat, after=cursor) as events:
        assert await refusal(events) == "INVALID_INPUT"
    async with town.subscribed(one, INBOX, after=cursor) as events:
        assert await refusal(events) == "INVALID_INPUT"


async def test_a_transfer_answers_with_a_cursor_of_balances(town: Town) -> None:
    who, other = await newcomer(town, funds="10.00"), await newcomer(town)

    async def pay(amount: str) -> Any:
        selection = "cursor wallet { id version posted { amount } }"
        given: dict[str, Any] = {"to": {"handle": other}, "amount": eur(amount)}
        return await done(town, who, "transferFunds", selection, idempotencyKey=key(), **given)

    first = await pay("1.00")
    second = await pay("2.00")
    third = await pay("3.00")

    for wallet in (None, first["wallet"]["id"]):
        async with town.subscribed(who, BALANCES, after=first["cursor"], wallet=wallet) as events:
            seen = [(await events.next())["balanceChanged"] for _ in range(2)]
        assert [event["cursor"] for event in seen] == [second["cursor"], third["cursor"]]
        assert [event["wallet"]["posted"]["amount"] for event in seen] == ["7.00", "4.00"]
        assert [event["entry"]["amount"]["amount"] for event in seen] == ["-2.00", "-3.00"]
        assert [event["entry"]["balanceAfter"]["amount"] for event in seen] == ["7.00", "4.00"]
        versions = [event["wallet"]["version"] for event in seen]
        assert versions == [second["wallet"]["version"], third["wallet"]["version"]]


async def test_a_replayed_balance_is_as_of_its_entry_and_no_catch_up_coalesces(town: Town) -> None:
    who, other = await newcomer(town, funds="10.00"), await newcomer(town)
    start = (await pay_cents(town, who, other))["cursor"]
    for _ in range(30):
        await pay_cents(town, who, other)

    async with town.subscribed(who, BALANCES, after=start) as events:
        seen = [(await events.next())["balanceChanged"] for _ in range(30)]

    assert [event["wallet"]["posted"]["amount"] for event in seen] == [f"{9.99 - n / 100:.2f}" for n in range(1, 31)]
    assert {event["coalesced"] for event in seen} == {0}


async def pay_cents(town: Town, who: str, other: str) -> Any:
    given: dict[str, Any] = {"to": {"handle": other}, "amount": eur("0.01")}
    return await done(town, who, "transferFunds", "cursor", idempotencyKey=key(), **given)


async def test_the_cursor_of_a_replay_is_the_first_ones(town: Town) -> None:
    who, other = await newcomer(town, funds="10.00"), await newcomer(town)
    given: dict[str, Any] = {"idempotencyKey": key(), "to": {"handle": other}, "amount": eur("1.00")}
    first = await done(town, who, "transferFunds", "cursor replayed transfer { id }", **given)
    await pay_cents(town, who, other)

    again = await done(town, who, "transferFunds", "cursor replayed transfer { id }", **given)

    assert again == {**first, "replayed": True}


@pytest.mark.parametrize(
    "act", ["topUpWallet", "withdrawFromWallet", "requestPayment", "acceptPaymentRequest", "refundTransfer"]
)
async def test_every_act_with_money_moves_the_balance_at_its_cursor(town: Town, act: str) -> None:
    who, other = await newcomer(town, funds="10.00"), await newcomer(town, funds="10.00")
    mine = (await town.ask(who, '{ viewer { wallet(currency: "EUR") { id } } }'))["viewer"]["wallet"]["id"]
    paid = await done(
        town, other, "transferFunds", "transfer { id }", idempotencyKey=key(), to={"handle": who}, amount=eur("2.00")
    )
    start = (await pay_cents(town, who, other))["cursor"]
    given: dict[str, dict[str, Any]] = {
        "topUpWallet": {"walletId": mine, "amount": eur("1.00"), "source": "sandbox:ok"},
        "withdrawFromWallet": {"walletId": mine, "amount": eur("1.00"), "destination": "sandbox:ok"},
        "refundTransfer": {"transferId": paid["transfer"]["id"]},
    }
    if act in ("requestPayment", "acceptPaymentRequest"):
        asked = {"payerId": await town.id_of(who), "amount": eur("1.00")}
        made = await done(town, other, "requestPayment", "paymentRequest { id }", idempotencyKey=key(), **asked)
        given["acceptPaymentRequest"] = {"paymentRequestId": made["paymentRequest"]["id"]}
        act = "acceptPaymentRequest"

    answer = await done(town, who, act, "cursor wallet { posted { amount } }", idempotencyKey=key(), **given[act])

    async with town.subscribed(who, BALANCES, after=start) as events:
        event = (await events.next())["balanceChanged"]
        while event["cursor"] != answer["cursor"]:
            event = (await events.next())["balanceChanged"]
    assert event["wallet"]["posted"] == answer["wallet"]["posted"]


async def test_a_cursor_of_balances_is_ones_own(town: Town) -> None:
    who, other = await newcomer(town, funds="1.00"), await newcomer(town, funds="1.00")
    cursor = (await pay_cents(town, who, other))["cursor"]

    async with town.subscribed(other, BALANCES, after=cursor) as events:
        assert await refusal(events) == "INVALID_INPUT"


async def test_who_left_hears_nothing_more(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    made = await done(
        town, one, "startConversation", "conversation { id }", memberIds=[await town.id_of(other)], title="Brief"
    )
    chat = made["conversation"]["id"]
    cursor = (await say(town, one, chat, "hello"))["cursor"]

    async with town.subscribed(other, ADDED, id=chat) as events:
        await done(town, one, "removeConversationMember", conversationId=chat, userId=await town.id_of(other))
        await say(town, one, chat, "They are gone")
        assert (await events.message())["type"] == "complete"
    async with town.subscribed(other, ADDED, id=chat, after=cursor) as events:
        assert await refusal(events) == "NOT_FOUND"
    assert (await attempt(town, other, "sendMessage", conversationId=chat, text="x"))["code"] == "NOT_FOUND"


class TestHistoryThatIsGone:
    """Where the past of a log was trimmed behind everybody's back, nobody misses it silently."""

    async def test_changes_of_a_conversation_say_so_and_go_on(self, town: Town) -> None:
        one, other, chat = await pair(town)
        first = (await say(town, one, chat, "a"))["cursor"]
        await say(town, one, chat, "gone")
        last = (await say(town, one, chat, "b"))["cursor"]
        await trim(town, "conversation_events", {"conversation_id": chat})

        async with town.subscribed(other, CHANGES, id=chat, after=first) as events:
            gap = (await events.next())["conversationUpdated"]
            markers = [(await events.next())["conversationUpdated"] for _ in range(2)]
            await say(town, one, chat, "c")
            event = (await events.next())["conversationUpdated"]

        assert (gap["__typename"], gap["cursor"]) == ("StreamGap", last)
        assert {marker["__typename"] for marker in markers} == {"ReadMarkerMoved"}
        assert event["message"]["text"] == "c"

    async def test_other_streams_end_with_a_code(self, town: Town) -> None:
        one, other, chat = await pair(town)
        first = (await say(town, one, chat, "a"))["cursor"]
        async with town.subscribed(other, INBOX) as events:
            await say(town, one, chat, "b")
            of_inbox = (await events.next())["inbox"]["cursor"]
        await say(town, one, chat, "gone")
        await say(town, one, chat, "c")
        await trim(town, "conversation_events", {"conversation_id": chat})
        await trim(town, "inbox_events", {"user_id": await town.id_of(other)})

        async with town.subscribed(other, ADDED, id=chat, after=first) as events:
            assert await refusal(events) == "STREAM_GAP"
        async with town.subscribed(other, INBOX, after=of_inbox) as events:
            assert await refusal(events) == "STREAM_GAP"


async def trim(town: Town, log: str, of: dict[str, Any]) -> None:
    """Take away all rows of a log but the newest."""
    database = town.gateway.database
    rows = await database.find(log, of, sort=[("n", 1)], limit=100)
    for row in rows[:-1]:
        assert await database.delete_one(log, {"_id": row["_id"]}) == 1
    assert len(rows) > 2
