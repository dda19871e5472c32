"""Subscriptions through routers: both transports, fields of other domains, resuming, and nothing that is left open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.acts import done, eur, key, newcomer, say, talk
from tests.contract.town import Town
from tests.federation.place import (
    SUBGRAPH_TIMEOUT_S,
    Place,
    feeds_above,
    feeds_at_most,
    first_of_stream,
    socket_of,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")
LIVE = ("hive", "grafbase")

MESSAGES = """subscription ($id: ID!, $after: Cursor) {
  messageAdded(conversationId: $id, after: $after) { cursor message { text sender { handle } } }
}"""
BALANCES = """subscription ($after: Cursor) {
  balanceChanged(after: $after) { cursor wallet { available { amount } owner { handle merchant { id } } } }
}"""


async def chat_of(town: Town) -> tuple[str, str, str]:
    """Two new people and their conversation."""
    one, other = await newcomer(town), await newcomer(town)
    return one, other, await talk(town, one, other)


def told(result: Any) -> tuple[str, str]:
    message = result["messageAdded"]["message"]
    return message["text"], message["sender"]["handle"]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("name", LIVE)
class TestThroughRouters:
    @pytest.mark.parametrize("in_handshake", [False, True], ids=["connection_init", "header"])
    async def test_a_socket_with_the_token_in_connection_init_or_in_the_handshake(
        self, place: Place, name: str, in_handshake: bool
    ) -> None:
        town = place.behind(name)
        one, other, chat = await chat_of(town)
        before = await town.feeds()

        credential = town.authorization(other)
        async with socket_of(town, credential, MESSAGES, in_handshake=in_handshake, id=chat) as events:
            await until(lambda: feeds_above(town, before), "the subscription runs")
            await say(town, one, chat, "hello")
            found = await events.next()

        assert told(found) == ("hello", one)

    async def test_it_outlives_the_time_that_a_subgraph_has_for_an_answer(self, place: Place, name: str) -> None:
        town = place.behind(name)
        one, other, chat = await chat_of(town)
        before = await town.feeds()

        async with socket_of(town, town.authorization(other), MESSAGES, id=chat) as events:
            await until(lambda: feeds_above(town, before), "the subscription runs")
            await asyncio.sleep(SUBGRAPH_TIMEOUT_S + 1)  # nothing happens in that time
            await say(town, one, chat, "late")
            found = await events.next()

        assert told(found) == ("late", one)

    async def test_an_event_stream_with_the_token_in_a_header(self, place: Place, name: str) -> None:
        town = place.behind(name)
        one, other, chat = await chat_of(town)
        before = await town.feeds()

        first = asyncio.create_task(first_of_stream(town, other, MESSAGES, id=chat))
        await until(lambda: feeds_above(town, before), "the subscription runs")
        await say(town, one, chat, "hello")
        found = await first

        assert "errors" not in found
        assert told(found["data"]) == ("hello", one)

    @pytest.mark.parametrize("transport", ["socket", "stream"])
    async def test_whoever_comes_back_with_a_cursor_misses_nothing(
        self, place: Place, name: str, transport: str
    ) -> None:
        town = place.behind(name)
        one, other, chat = await chat_of(town)
        first = await say(town, one, chat, "0")
        await say(town, one, chat, "1")

        seen, cursor = [], first["cursor"]
        for text in ("2", "3"):
            if transport == "socket":
                async with socket_of(town, town.authorization(other), MESSAGES, id=chat, after=cursor) as events:
                    data = await events.next()
            else:
                data = (await first_of_stream(town, other, MESSAGES, id=chat, after=cursor))["data"]
            seen.append(told(data)[0])
            cursor = data["messageAdded"]["cursor"]
            await say(town, one, chat, text)

        assert seen == ["1", "2"]

    async def test_an_event_has_fields_of_other_domains(self, place: Place, name: str) -> None:
        town = place.behind(name)
        cursor = await paid(town)

        async with socket_of(town, town.authorization("alice"), BALANCES, after=cursor) as events:
            await paid(town)
            wallet = (await events.next())["balanceChanged"]["wallet"]

        assert wallet["available"]["amount"]
        assert wallet["owner"] == {"handle": "alice", "merchant": None}

    @pytest.mark.parametrize("transport", ["socket", "stream"])
    async def test_when_the_client_goes_nothing_is_left_in_the_subgraphs(
        self, place: Place, name: str, transport: str
    ) -> None:
        town = place.behind(name)
        _, other, chat = await chat_of(town)
        before = await town.feeds()

        if transport == "socket":
            async with socket_of(town, town.authorization(other), MESSAGES, id=chat):
                await until(lambda: feeds_above(town, before), "the subscription runs")
        else:
            listening = asyncio.create_task(first_of_stream(town, other, MESSAGES, id=chat))
            await until(lambda: feeds_above(town, before), "the subscription runs")
            listening.cancel()

        await until(lambda: feeds_at_most(town, before), "the feed is closed")


async def paid(town: Town) -> str:
    """The cursor of a payment of Alice to Bob."""
    answer = await done(
        town, "alice", "transferFunds", "cursor", idempotencyKey=key(), to={"handle": "bob"}, amount=eur("0.01")
    )
    return str(answer["cursor"])
