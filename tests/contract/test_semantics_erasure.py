"""What a person who was erased, and those who knew them, meet in the graph."""

from __future__ import annotations

import asyncio
import time

import pytest

from datastores.person_keys import REMEMBERED_S
from resolvers.erasure import erase_person
from tests.contract.acts import done, eur, key, newcomer, refused, say, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

WHO = "{ viewer { user { id handle } } }"
SEEN = """query ($id: ID!) {
  viewer {
    conversations(first: 1) { nodes { messages(last: 1) { nodes { text sender { handle displayName } } } } }
    paymentRequests(first: 1) { nodes { memo state requester { id } } }
  }
  user(id: $id) { handle displayName bio avatarUrl posts(first: 1) { nodes { id } } }
}"""
PATIENCE_S = 15.0


async def is_refused(town: Town, authorization: dict[str, str]) -> bool:
    answer = await town.http.post(town.url, json={"query": WHO}, headers=authorization)
    codes = [error["extensions"]["code"] for error in answer.json().get("errors", [])]
    assert town.subgraphs or (answer.status_code == 401) == bool(codes)
    return codes == ["UNAUTHENTICATED"]


async def test_tokens_end_and_who_signs_in_again_is_new(town: Town) -> None:
    gone = await newcomer(town)
    old_token, first = town.authorization(gone), (await town.ask(gone, WHO))["viewer"]["user"]

    await erase_person(town.gateway.contexts.of_viewer(), first["id"])
    erased_at = time.time()

    async with asyncio.timeout(PATIENCE_S):
        while not await is_refused(town, old_token):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        # Tokens say the second in which they were issued.
        while time.time() < int(erased_at) + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    again = (await town.ask(gone, WHO))["viewer"]["user"]
    assert again["id"] != first["id"]
    assert again["handle"] == first["handle"]
    assert await is_refused(town, old_token)


async def test_others_meet_an_erased_person(town: Town) -> None:
    gone, left = await newcomer(town), await newcomer(town, funds="5")
    gone_id, left_id = await town.id_of(gone), await town.id_of(left)
    await say(town, gone, await talk(town, gone, left), "Good bye")
    await done(town, gone, "createPost", text="My first post")
    await done(
        town, gone, "requestPayment", idempotencyKey=key(), payerId=left_id, amount=eur("1"), memo="For the cake"
    )

    await erase_person(town.gateway.contexts.of_viewer(), gone_id)

    seen = await town.ask(left, SEEN, id=gone_id)
    if town.subgraphs:
        # The processes that did not erase remember the key a little longer.
        async with asyncio.timeout(REMEMBERED_S + PATIENCE_S):
            while seen["viewer"]["paymentRequests"]["nodes"][0]["memo"] is not None:
                await asyncio.sleep(0.5)
                seen = await town.ask(left, SEEN, id=gone_id)
    (message,) = seen["viewer"]["conversations"]["nodes"][0]["messages"]["nodes"]
    handle = seen["user"]["handle"]
    assert handle.startswith("erased_")
    assert message == {"text": "Good bye", "sender": {"handle": handle, "displayName": "Erased person"}}
    (request,) = seen["viewer"]["paymentRequests"]["nodes"]
    assert request == {"memo": None, "state": "CANCELLED", "requester": {"id": gone_id}}
    empty: dict[str, object] = {"bio": None, "avatarUrl": None, "posts": {"nodes": []}}
    assert seen["user"] == {"handle": handle, "displayName": "Erased person", **empty}
    assert await town.ask(None, "query ($handle: String!) { user(handle: $handle) { id } }", handle=gone) == {
        "user": None
    }
    for to in ({"userId": gone_id}, {"handle": handle}):
        assert await refused(town, left, "transferFunds", idempotencyKey=key(), to=to, amount=eur("1")) == (
            "NotFoundError"
        )
    assert await refused(town, left, "follow", userId=gone_id) == "NotFoundError"
