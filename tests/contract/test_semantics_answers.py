"""Answers as clients may rely on them: pages of nothing, masked failures, origins, streams over HTTP, and roads on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.contract.acts import attempt, codes, done, eur, key, newcomer, refused, say, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTS = [
    ("posts%s { %s }", 100),
    ("listings%s { %s }", 100),
    ('user(handle: "alice") { followers%s { %s } }', 100),
    ('user(handle: "alice") { following%s { %s } }', 100),
    ('user(handle: "carol") { listings%s { %s } }', 100),
    ('user(handle: "carol") { merchant { orders%s { %s } } }', 100),
    ("viewer { homeTimeline%s { %s } }", 50),
    ("viewer { conversations%s { %s } }", 100),
    ("viewer { orders%s { %s } }", 100),
    ("viewer { notifications%s { %s } }", 100),
    ("viewer { paymentRequests%s { %s } }", 100),
    ("paymentEvents%s { %s }", 100),
]
PAGE = "nodes { id } pageInfo { hasNextPage hasPreviousPage endCursor }"


def page_in(answer: Any) -> Any:
    while "pageInfo" not in answer:
        answer = next(iter(answer.values()))
    return answer


@pytest.mark.parametrize(("field", "most"), LISTS, ids=lambda given: str(given)[:40])
async def test_every_list_tells_truly_whether_there_is_more(town: Town, field: str, most: int) -> None:
    async def page(arguments: str) -> Any:
        return page_in(await town.ask("carol", f"{{ {field % (arguments, PAGE)} }}"))

    whole = await page(f"(first: {most})")
    nothing = await page("(first: 0)")
    usual = await page("")

    assert nothing["nodes"] == []
    assert nothing["pageInfo"]["hasNextPage"] is bool(whole["nodes"])
    assert usual["nodes"] == whole["nodes"][:20]
    assert usual["pageInfo"]["hasNextPage"] is (len(whole["nodes"]) > 20)
    if whole["nodes"] and not whole["pageInfo"]["hasNextPage"]:
        end = await page(f'(after: "{whole["pageInfo"]["endCursor"]}")')
        assert (end["nodes"], end["pageInfo"]["hasNextPage"], end["pageInfo"]["hasPreviousPage"]) == ([], False, True)


async def test_an_unforeseen_failure_is_masked_and_has_the_id_of_its_request(town: Town) -> None:
    who = await newcomer(town)
    id = await town.id_of(who)
    await town.gateway.database.update_one("users", {"_id": id}, {"$unset": {"display_name": ""}})

    response = await town.post(None, "query ($id: ID!) { user(id: $id) { displayName } posts { nodes { id } } }", id=id)

    answer = response.json()
    (error,) = answer["errors"]
    assert answer["data"]["user"] is None
    assert answer["data"]["posts"]["nodes"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": response.headers["X-Request-Id"]}
    assert "display_name" not in response.text
    assert "displayName" not in error["message"]


class TestOrigins:
    async def test_a_page_of_another_origin_opens_no_socket(self, town: Town) -> None:
        url = town.websocket_url

        with pytest.raises(InvalidStatus) as refusal:
            async with connect(url, subprotocols=["graphql-transport-ws"], origin="https://elsewhere.example"):  # type: ignore[list-item, arg-type]
                pass

        assert refusal.value.response.status_code == 403

    async def test_a_page_of_the_same_origin_does(self, town: Town) -> None:
        url = town.websocket_url
        origin = town.url.removesuffix("/graphql")

        async with connect(url, subprotocols=["graphql-transport-ws"], origin=origin) as socket:  # type: ignore[list-item, arg-type]
            await socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"


class TestEventStreams:
    async def test_a_stream_over_http_brings_what_a_socket_brings(self, town: Town) -> None:
        one, other = await newcomer(town), await newcomer(town)
        chat = await talk(town, one, other)
        cursor = (await say(town, one, chat, "a"))["cursor"]
        sent = await say(town, one, chat, "b")
        document = """subscription ($id: ID!, $after: Cursor) {
          messageAdded(conversationId: $id, after: $after) { cursor message { text } } }"""
        body = {"query": document, "variables": {"id": chat, "after": cursor}}
        headers = {**town.authorization(other), "Accept": "text/event-stream"}

        async with asyncio.timeout(10), town.http.stream("POST", town.url, json=body, headers=headers) as response:
            lines = [line async for line in first_event(response)]

        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert lines[0] == "event: next"
        event = json.loads(lines[1].removeprefix("data: "))["data"]["messageAdded"]
        assert event == {"cursor": sent["cursor"], "message": {"text": "b"}}

    async def test_nobody_listens_there_either(self, town: Town) -> None:
        response = await town.http.post(
            town.url, json={"query": "subscription { inbox { cursor } }"}, headers={"Accept": "text/event-stream"}
        )

        assert '"UNAUTHENTICATED"' in response.text

    async def test_a_mutation_by_get_is_405_there_too(self, town: Town) -> None:
        response = await town.http.get(
            town.url,
            params={"query": 'mutation { createPost(input: { text: "x" }) { __typename } }'},
            headers={**town.authorization("alice"), "Accept": "text/event-stream"},
        )

        assert response.status_code == 405


async def first_event(response: Any) -> Any:
    """The lines of the first event that has data, keep-alives left out."""
    event = False
    async for line in response.aiter_lines():
        if line.startswith("event: next"):
            event = True
        if event and not line:
            return
        if event:
            yield line


class TestRoadsOn:
    async def test_orders_are_followed_from_the_cursor_of_placing(self, town: Town) -> None:
        seller, buyer = await newcomer(town), await newcomer(town, funds="9.00")
        await done(town, seller, "openMerchant", name="Shop")
        about = {"title": "T", "description": "D", "category": "c", "kind": "GOOD", "state": "ACTIVE"}
        ware = await done(town, seller, "createListing", "listing { id }", **about, price=eur("3.00"), stock=2)
        lines = [{"listingId": ware["listing"]["id"], "quantity": 1, "expectedUnitPrice": eur("3.00")}]
        placed = await done(town, buyer, "placeOrder", "cursor order { id }", idempotencyKey=key(), lines=lines)
        id = placed["order"]["id"]
        paid = await done(town, buyer, "payOrder", "cursor", idempotencyKey=key(), orderId=id)
        await done(town, seller, "shipOrder", orderId=id)
        document = """subscription ($id: ID, $after: Cursor) {
          orderUpdated(orderId: $id, after: $after) { cursor order { id state } } }"""

        for only in (id, None):
            async with town.subscribed(buyer, document, id=only, after=placed["cursor"]) as events:
                seen = [(await events.next())["orderUpdated"] for _ in range(2)]
            assert seen[0]["cursor"] == paid["cursor"]
            assert [event["order"] for event in seen] == [{"id": id, "state": "SHIPPED"}] * 2
        other = await newcomer(town)
        async with town.subscribed(other, document, id=id) as events:
            assert (await events.message())["payload"][0]["extensions"]["code"] == "NOT_FOUND"

    async def test_notifications_are_caught_up_with(self, town: Town) -> None:
        one, other = await newcomer(town), await newcomer(town)
        document = "subscription ($after: Cursor) { notificationAdded(after: $after) { cursor notification { kind } } }"
        post = (await done(town, one, "createPost", "post { id }", text="Mine"))["post"]["id"]
        async with town.subscribed(one, document) as events:
            await done(town, other, "likePost", postId=post)
            first = (await events.next())["notificationAdded"]
        await done(town, other, "repost", postId=post)
        await done(town, other, "follow", userId=await town.id_of(one))

        async with town.subscribed(one, document, after=first["cursor"]) as events:
            seen = [(await events.next())["notificationAdded"]["notification"]["kind"] for _ in range(2)]

        assert (first["notification"]["kind"], seen) == ("like", ["repost", "follow"])

    async def test_a_top_up_that_settles_later_is_heard_from_its_own_cursor(self, town: Town) -> None:
        who = await newcomer(town, funds="1.00")
        shown = await town.ask(who, '{ viewer { wallet(currency: "EUR") { id } } }')
        given = {
            "idempotencyKey": "slow",
            "walletId": shown["viewer"]["wallet"]["id"],
            "amount": eur("2.00"),
            "source": "sandbox:slow",
        }
        first = await done(town, who, "topUpWallet", "cursor transfer { id state }", **given)
        document = """subscription ($after: Cursor) { balanceChanged(after: $after) {
          cursor wallet { posted { amount } pendingIn { amount } } entry { state } } }"""

        async with town.subscribed(who, document, after=first["cursor"]) as events:
            event = (await events.next())["balanceChanged"]
        again = await done(town, who, "topUpWallet", "cursor transfer { id state }", **given)

        assert event["wallet"] == {"posted": {"amount": "3.00"}, "pendingIn": {"amount": "0.00"}}
        assert event["entry"]["state"] == "POSTED"
        assert first["transfer"]["state"] == "PENDING"
        assert again["transfer"] == {"id": first["transfer"]["id"], "state": "POSTED"}
        assert again["cursor"] == event["cursor"]


class TestArguments:
    async def test_exactly_one_way_to_name_a_user(self, town: Town) -> None:
        assert await codes(town, None, '{ user(id: "usr_x", handle: "bob") { id } }') == ["INVALID_INPUT"]
        assert await codes(town, None, "{ user { id } }") == ["INVALID_INPUT"]

    async def test_null_states_are_as_if_absent(self, town: Town) -> None:
        entries = "entries(states: $s) { nodes { id } }"
        document = f'query ($s: [EntryState!]) {{ viewer {{ wallet(currency: "EUR") {{ {entries} }} }} }}'
        usual = await town.ask("alice", document)

        assert await town.ask("alice", document, s=None) == usual

    async def test_a_price_in_two_ways_to_write_it_is_one_order(self, town: Town) -> None:
        seller, buyer = await newcomer(town), await newcomer(town)
        await done(town, seller, "openMerchant", name="Shop")
        about = {"title": "T", "description": "D", "category": "c", "kind": "GOOD", "state": "ACTIVE"}
        ware = await done(town, seller, "createListing", "listing { id }", **about, price=eur("3.00"), stock=2)

        async def place(price: str) -> Any:
            lines = [{"listingId": ware["listing"]["id"], "quantity": 1, "expectedUnitPrice": eur(price)}]
            return await done(town, buyer, "placeOrder", "replayed order { id }", idempotencyKey="k", lines=lines)

        first, second = await place("3"), await place("3.00")

        assert (first["replayed"], second["replayed"]) == (False, True)
        assert first["order"] == second["order"]

    async def test_a_blank_title_is_no_title(self, town: Town) -> None:
        one, other = await newcomer(town), await newcomer(town)
        direct = await talk(town, one, other)
        members = [await town.id_of(other)]

        answer = await attempt(
            town, one, "startConversation", "conversation { id kind }", memberIds=members, title="  "
        )

        assert answer["conversation"] == {"id": direct, "kind": "DIRECT"}
        assert await refused(town, one, "startConversation", memberIds=members, title="é" * 141) == "ValidationError"
