"""Streams that several hear together bring each of them what they would hear alone, and nobody more than that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import get_named_type
from websockets.asyncio.client import connect

from gateway.execution.requests import OperationRequest
from gateway.live.sharing import Sharings
from schema.composition import source_of
from tests.contract.acts import GRAPH, done, eur, key, newcomer, say
from tests.contract.town import ANSWER_TIMEOUT_S, Events, Town
from tests.contract.walking import Walker

pytestmark = pytest.mark.asyncio(loop_scope="session")

# For whom answers are executed alone: those who want to know what each has cost.
ALONE = {"cost": True}
AT_THE_END = frozenset(("headSeq", "headHash", "signature"))
LAST = "the last of it"
SETTLED_S = 0.4
# Between the two halves of an act that spans two collections, two executions of its event may differ.
ATTEMPTS = 3
FRAGMENTS = ["fragment Them on User { displayName }", "fragment Mine on User { viewerFollows }"]
MEMBERS = """cursor message { id seq text createdAt editedAt deletedAt
  sender { id handle displayName followerCount } conversation { id kind createdAt }
  replyTo { id text sender { handle } } reactions { emoji count } media { __typename } }"""


@dataclass
class Circle:
    """Three members of a group, one of whom sells, and what is theirs."""

    town: Town
    people: list[str]
    group: str
    order: str | None = None


async def circle(town: Town) -> Circle:
    people = [await newcomer(town, funds="50.00") for _ in range(3)]
    ids = [await town.id_of(each) for each in people[1:]]
    made = await done(town, people[0], "startConversation", "conversation { id }", memberIds=ids, title="Circle")
    return Circle(town, people, made["conversation"]["id"])


async def quiet(town: Town) -> None:
    """Wait until nothing is brought or told: each event shows its objects as they are when it is executed."""
    told, since = (-1, -1), 0.0
    loop = asyncio.get_running_loop()
    while loop.time() - since < SETTLED_S:
        brought = await town.measured("agora_log_rows_total")
        if (now := (brought, await town.measured("agora_live_deliveries_total"))) != told:
            told, since = now, loop.time()
        await asyncio.sleep(0.02)


async def until_groups(town: Town, count: int) -> None:
    """Wait until there are so many, in the processes that serve: those of streams that have ended go by and by."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while await town.measured("agora_live_groups") != count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def talks(it: Circle) -> None:
    town, (one, two, three), group = it.town, it.people, it.group
    first = await say(town, one, group, "one")
    await say(town, two, group, "two", replyToId=first["node"]["id"])
    await quiet(town)
    await done(town, three, "addReaction", messageId=first["node"]["id"], emoji="👍")
    await quiet(town)
    await done(town, one, "editMessage", messageId=first["node"]["id"], text="one, better")
    await quiet(town)
    await done(town, two, "markConversationRead", conversationId=group, seq="2")
    await quiet(town)
    guest = await town.id_of(await newcomer(town))
    await done(town, one, "addConversationMembers", conversationId=group, userIds=[guest])
    await quiet(town)
    await done(town, one, "removeConversationMember", conversationId=group, userId=guest)
    gone = await say(town, two, group, "soon gone")
    await quiet(town)
    await done(town, two, "deleteMessage", messageId=gone["node"]["id"])
    await say(town, one, group, LAST)


async def types(it: Circle) -> None:
    for _ in range(2):
        for typing in (True, False):
            await done(it.town, it.people[2], "setTyping", conversationId=it.group, typing=typing)
            await quiet(it.town)


async def pays(it: Circle) -> None:
    given: dict[str, Any] = {"to": {"handle": it.people[0]}, "amount": eur("1.00")}
    for _ in range(3):
        await done(it.town, it.people[1], "transferFunds", "cursor", idempotencyKey=key(), **given)
        await quiet(it.town)


async def shops(it: Circle) -> None:
    town = it.town
    wares = "listings(first: 50) { nodes { id state price { amount currency } } }"
    shop = (await town.ask("carol", f'{{ user(handle: "carol") {{ {wares} }} }}'))["user"]
    ware = next(each for each in shop["listings"]["nodes"] if each["state"] == "ACTIVE")
    lines = [{"listingId": ware["id"], "quantity": 1, "expectedUnitPrice": ware["price"]}]
    placed = await done(town, "alice", "placeOrder", "order { id }", idempotencyKey=key(), lines=lines)
    await quiet(town)
    await done(town, "alice", "payOrder", idempotencyKey=key(), orderId=placed["order"]["id"])
    await quiet(town)
    await done(town, "carol", "shipOrder", orderId=placed["order"]["id"])


ACTS: dict[str, tuple[Callable[[Circle], Awaitable[None]], list[int | str]]] = {
    "messageAdded": (talks, [0, 1, 2]),
    "conversationUpdated": (talks, [0, 1, 2]),
    "inbox": (talks, [0, 1]),
    "typing": (types, [0, 1]),
    "balanceChanged": (pays, [0, 1]),
    "notificationAdded": (pays, [0]),
    "orderUpdated": (shops, ["alice", "carol"]),
    "paymentEvents": (shops, ["carol", "pay-watch"]),
}


def shared() -> list[str]:
    """The subscriptions that several may hear together."""
    root: Any = GRAPH.subscription_type
    return [name for name, field in root.fields.items() if source_of(field).hearers != "one"]


def document(field: str, selection: str) -> str:
    root: Any = GRAPH.subscription_type
    where = "conversationId: $id" if "conversationId" in root.fields[field].args else ""
    opening = "subscription ($id: ID!) {" if where else "subscription {"
    return f"{opening} {field}{f'({where})' if where else ''} {{ {selection} }} }}"


def everything(field: str) -> str:
    root: Any = GRAPH.subscription_type
    return Walker(GRAPH, {}).select(get_named_type(root.fields[field].type).name, 2)


async def test_every_subscription_that_is_shared_is_compared() -> None:
    assert set(ACTS) >= set(shared())
    assert len(shared()) >= 7


@pytest.mark.parametrize("field", ACTS)
async def test_together_is_as_alone(town: Town, field: str) -> None:
    it = await circle(town)
    act, hearers = ACTS[field]
    people = [it.people[each] if isinstance(each, int) else each for each in hearers]
    selections = [everything(field), *([MEMBERS] if field == "messageAdded" else [])]

    for selection in selections:
        heard: dict[str, list[list[Any]]] = {}
        for _ in range(ATTEMPTS):
            heard = await hear(it, people, document(field, selection), act)
            if all(together == again == alone for together, again, alone in heard.values()):
                break

        for together, again, alone in heard.values():
            assert alone, field
            assert together == alone
            assert again == alone


async def hear(
    it: Circle, people: list[str], text: str, act: Callable[[Circle], Awaitable[None]]
) -> dict[str, list[list[Any]]]:
    """What each hears twice together with the others, and alone."""
    heard: dict[str, list[list[Any]]] = {who: [] for who in people}
    async with AsyncExitStack() as stack:
        ways = [
            (who, await stack.enter_async_context(it.town.subscribed(who, text, extensions, **variables(it, text))))
            for who in people
            for extensions in ({}, {}, ALONE)
        ]
        await act(it)
        ends = await asyncio.gather(*(until_quiet(events) for _, events in ways))
        for (who, _), payloads in zip(ways, ends, strict=True):
            heard[who].append(payloads)
    return heard


def variables(it: Circle, text: str) -> dict[str, Any]:
    return {"id": it.group} if "$id" in text else {}


async def until_quiet(events: Events) -> list[Any]:
    """The payloads that come until none has come for a while, without what they cost."""
    payloads = []
    while (message := await events.soon()) is not None:
        payload = message["payload"]
        payload.pop("extensions", None)
        payloads.append(settled(payload))
    return payloads


def settled(value: Any) -> Any:
    """The value without what a receipt says of the ledger's end, which goes on between two looks at it."""
    if isinstance(value, dict):
        return {name: settled(part) for name, part in value.items() if name not in AT_THE_END}
    return [settled(part) for part in value] if isinstance(value, list) else value


async def test_members_share_one_execution_where_nothing_depends_on_who_asks(town: Town) -> None:
    it = await circle(town)
    text = document("messageAdded", MEMBERS)
    before = await town.measured("agora_live_executions_total")

    async with AsyncExitStack() as stack:
        all_events = [await stack.enter_async_context(town.subscribed(who, text, id=it.group)) for who in it.people * 2]
        await until_groups(town, 1)
        await say(town, it.people[0], it.group, "x")
        answers = [json.dumps(await events.next()) for events in all_events]

    assert len(set(answers)) == 1
    assert await town.measured("agora_live_executions_total") == before + 1


async def test_a_field_that_depends_on_who_asks_is_answered_to_each_of_one_source(town: Town) -> None:
    it = await circle(town)
    text = document("conversationUpdated", "... on ReactionsChanged { message { reactions { emoji viewerReacted } } }")
    message = await say(town, it.people[0], it.group, "x")
    before = await town.measured("agora_live_executions_total")

    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(town.subscribed(who, text, id=it.group)) for who in it.people * 2]
        await until_groups(town, 1)
        reacted = {"messageId": message["node"]["id"], "emoji": "👍"}
        await done(town, it.people[1], "addReaction", **reacted)
        answers = [await events.next() for events in streams]

    shown = [answer["conversationUpdated"]["message"]["reactions"] for answer in answers]
    assert shown == [[{"emoji": "👍", "viewerReacted": at == 1}] for at in range(3)] * 2
    assert await town.measured("agora_live_executions_total") == before + 6


@pytest.mark.parametrize(
    ("selection", "is_shown_alike"),
    [
        ("cursor message { id seq text sender { handle } reactions { emoji count } }", True),
        ("message { replyTo { text conversation { id kind } } }", True),
        ("message { sender { ...Them } }", True),
        ("message { reactions { viewerReacted } }", False),
        ("message { sender { viewerFollows } }", False),
        ("message { sender { ...Mine } }", False),
        ("message { conversation { title } }", False),
        ("message { conversation { unreadCount } }", False),
        ("message { transfer { id } }", False),
        ("message { sender { ... on Node { id } ... on User { followsViewer } } }", False),
    ],
)
async def test_what_depends_on_who_asks_is_told_by_its_fields(town: Town, selection: str, is_shown_alike: bool) -> None:
    used = [each for each in FRAGMENTS if each.split()[1] in selection]
    text = f'subscription {{ messageAdded(conversationId: "x") {{ {selection} }} }} {" ".join(used)}'
    prepared = town.gateway.graph.prepare(OperationRequest(text))

    sharing = Sharings(town.gateway.graph.graph).of(prepared)
    assert (sharing.hearers, sharing.is_shown_alike) == ("members", is_shown_alike)


async def test_variables_beside_the_cursor_split_the_group_and_the_cursor_does_not(town: Town) -> None:
    it, other = await circle(town), await circle(town)
    cursor = (await say(town, it.people[0], it.group, "0"))["cursor"]
    text = "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) { cursor } }"

    async with (
        town.subscribed(it.people[0], text, id=it.group),
        town.subscribed(it.people[1], text, id=it.group, after=cursor),
        town.subscribed(other.people[1], text, id=other.group),
    ):
        await until_groups(town, 2)


async def test_who_is_removed_hears_nothing_more_and_the_others_go_on(town: Town) -> None:
    it = await circle(town)
    text = document("messageAdded", "message { text }")
    removed = await town.id_of(it.people[1])

    async with (
        town.subscribed(it.people[1], text, id=it.group) as gone,
        town.subscribed(it.people[2], text, id=it.group) as stays,
    ):
        await say(town, it.people[0], it.group, "before")
        await done(town, it.people[0], "removeConversationMember", conversationId=it.group, userId=removed)
        await say(town, it.people[0], it.group, "after")
        heard = [(await stays.next())["messageAdded"]["message"]["text"] for _ in range(2)]
        first, last = await gone.next(), await gone.message()

    assert heard == ["before", "after"]
    assert first["messageAdded"]["message"]["text"] == "before"
    assert last["type"] == "complete"


async def test_many_operations_of_one_socket_share_too(town: Town) -> None:
    it = await circle(town)
    text = document("messageAdded", "message { text }")
    url = town.url.replace("http", "ws", 1)

    async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init", "payload": town.authorization(it.people[0])}))
        await socket.recv()
        before = town.gateway.groups.live
        for n in range(50):
            payload = {"query": text, "variables": {"id": it.group}}
            await socket.send(json.dumps({"type": "subscribe", "id": str(n), "payload": payload}))
        await town.until(lambda: town.gateway.groups.live == before + 50)
        await say(town, it.people[1], it.group, "x")
        frames = [json.loads(await socket.recv()) for _ in range(50)]

    assert sorted(int(frame["id"]) for frame in frames) == list(range(50))
    assert {frame["payload"]["data"]["messageAdded"]["message"]["text"] for frame in frames} == {"x"}
