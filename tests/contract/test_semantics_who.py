"""What nobody, a new person and a partner may ask, and what changing a profile means."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import GraphQLObjectType, is_required_argument

from gateway.demo.script import PARTNER
from tests.contract.acts import GRAPH, attempt, codes, done, key, newcomer
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLIC = """{
  user(handle: "carol") {
    handle viewerFollows followsViewer followers(first: 1) { nodes { id } } listings(first: 1) { nodes { id title } }
    posts(first: 2) { nodes { id text viewerHasLiked viewerHasReposted author { viewerFollows } } }
    merchant { id name orders(first: 1) { nodes { id } } listings(first: 1) { nodes { id } } }
  }
  users(search: "carol") { nodes { id } }
  posts(first: 2) { nodes { id viewerHasLiked viewerHasReposted } }
  listings(first: 2) { nodes { id title price { amount } merchant { name } seller { handle } } }
}"""


async def test_nobody_reads_what_is_public_and_no_flag_is_true(town: Town) -> None:
    shown = await town.ask(None, PUBLIC)

    user = shown["user"]
    assert (user["viewerFollows"], user["followsViewer"]) == (False, False)
    assert user["posts"]["nodes"]
    assert user["merchant"]["name"]
    assert user["merchant"]["orders"] is None
    for post in [*user["posts"]["nodes"], *shown["posts"]["nodes"]]:
        assert (post["viewerHasLiked"], post["viewerHasReposted"]) == (False, False)
    assert all(len(shown[name]["nodes"]) > 0 for name in ("users", "posts", "listings"))


async def test_nothing_private_is_nobodys(town: Town) -> None:
    mine = await town.ask(
        "alice",
        """{ viewer {
          conversations(first: 20) { nodes { id lastMessage { id } } } orders(first: 1) { nodes { id } }
          wallet(currency: "EUR") { id entries(first: 1) { nodes { id } } } notifications(first: 1) { nodes { id } }
        } }""",
    )
    viewer = mine["viewer"]
    chat = next(chat for chat in viewer["conversations"]["nodes"] if chat["lastMessage"])
    ids = {
        "conversation": chat["id"],
        "wallet": viewer["wallet"]["id"],
        "order": viewer["orders"]["nodes"][0]["id"],
    }
    others = [
        chat["lastMessage"]["id"],
        viewer["wallet"]["entries"]["nodes"][0]["id"],
        viewer["notifications"]["nodes"][0]["id"],
    ]
    roots = " ".join(f'{name}(id: "{id}") {{ id }}' for name, id in ids.items())
    nodes = " ".join(f'n{place}: node(id: "{id}") {{ id }}' for place, id in enumerate([*ids.values(), *others]))

    answer = await town.ask(None, f"{{ viewer {{ id }} {roots} {nodes} }}")

    assert set(answer.values()) == {None}


async def test_the_feed_of_payments_is_not_for_nobody(town: Town) -> None:
    answer = (await town.post(None, "{ paymentEvents { nodes { id } } posts(first: 1) { nodes { id } } }")).json()

    assert answer["data"]["paymentEvents"] is None
    assert answer["data"]["posts"]["nodes"]
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]


SOMETHING: dict[str, Any] = {
    "ID": "post_00000000000000000000000000",
    "String": "x",
    "BigInt": "1",
    "Boolean": True,
    "URL": "https://example.org/",
    "Cursor": "x",
}


def given(graphql_type: Any) -> Any:
    """Some value of an input type, with what it requires alone."""
    while hasattr(graphql_type, "of_type"):
        if type(graphql_type).__name__ == "GraphQLList":
            return [given(graphql_type.of_type)]
        graphql_type = graphql_type.of_type
    if graphql_type.name == "MoneyInput":
        return {"amount": "1.00", "currency": "EUR"}
    if hasattr(graphql_type, "fields"):
        if graphql_type.name == "TransferTargetInput":
            return {"handle": "bob"}
        return {name: given(field.type) for name, field in graphql_type.fields.items() if is_required_argument(field)}
    if hasattr(graphql_type, "values"):
        return next(iter(graphql_type.values))
    return {"CurrencyCode": "EUR", "Int": 1}.get(graphql_type.name) or SOMETHING[graphql_type.name]


def fields_of(name: str) -> dict[str, Any]:
    root = GRAPH.type_map[name]
    assert isinstance(root, GraphQLObjectType)
    return dict(root.fields)


@pytest.mark.parametrize("mutation", sorted(fields_of("Mutation")))
async def test_nobody_changes_anything(town: Town, mutation: str) -> None:
    input_type = fields_of("Mutation")[mutation].args["input"].type
    document = f"mutation ($input: {input_type}) {{ {mutation}(input: $input) {{ __typename }} }}"

    response = await town.post(None, document, input=given(input_type))

    answer = response.json()
    assert answer["data"] == {mutation: None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
    assert answer["errors"][0]["path"] == [mutation]


@pytest.mark.parametrize("field", sorted(fields_of("Subscription")))
async def test_nobody_listens(town: Town, field: str) -> None:
    subscription = fields_of("Subscription")[field]
    required = {name: argument for name, argument in subscription.args.items() if is_required_argument(argument)}
    arguments = ", ".join(f'{name}: "{SOMETHING["ID"]}"' for name in required)
    document = f"subscription {{ {field}{f'({arguments})' if arguments else ''} {{ __typename }} }}"

    async with town.subscribed(None, document) as events:
        message = await events.message()

    assert message["type"] == "error"
    assert [error["extensions"]["code"] for error in message["payload"]] == ["UNAUTHENTICATED"]


async def test_the_viewer_is_a_user(town: Town) -> None:
    viewer = (await town.ask("alice", "{ viewer { id user { id handle } } }"))["viewer"]

    assert viewer["id"] == viewer["user"]["id"] == await town.id_of("alice")
    assert viewer["user"]["handle"] == "alice"


async def test_a_partner_has_no_viewer_and_reads_its_feed_alone(town: Town) -> None:
    answer = await town.ask(PARTNER, "{ viewer { id } paymentEvents(first: 1) { nodes { id } } }")

    assert answer["viewer"] is None
    assert answer["paymentEvents"]["nodes"]
    assert (await attempt(town, PARTNER, "createPost", text="Buy!"))["__typename"] == "ForbiddenError"
    async with town.subscribed(PARTNER, "subscription { inbox { cursor } }") as events:
        message = await events.message()
    assert [error["extensions"]["code"] for error in message["payload"]] == ["FORBIDDEN"]


async def test_the_first_sign_in_makes_a_user_with_the_wished_handle(town: Town) -> None:
    handle = key()
    assert (await town.ask(None, "query ($h: String) { user(handle: $h) { id } }", h=handle))["user"] is None

    answers = await asyncio.gather(
        *(town.ask(handle, "{ viewer { id user { handle displayName } } }") for _ in range(8))
    )

    assert {answer["viewer"]["user"]["handle"] for answer in answers} == {handle}
    assert len({answer["viewer"]["id"] for answer in answers}) == 1
    assert await town.id_of(handle) == answers[0]["viewer"]["id"]


async def test_a_handle_that_is_taken_is_made_unique(town: Town) -> None:
    handle = key()
    wishes = [handle, handle.upper(), f"{handle}@example.org", f"-{handle}-"]

    made = [(await town.ask(wish, "{ viewer { id user { handle } } }"))["viewer"] for wish in wishes]

    handles = [viewer["user"]["handle"] for viewer in made]
    assert handles[0] == handle
    assert len(set(handles)) == len({viewer["id"] for viewer in made}) == len(wishes)
    assert all(each.startswith(handle) and len(each) <= 30 for each in handles)


PROFILE = "user { displayName bio avatarUrl }"


async def test_absent_stays_and_null_clears(town: Town) -> None:
    who = await newcomer(town)
    whole = {"displayName": "Ada", "bio": "First.", "avatarUrl": "https://example.org/ada.png"}
    await done(town, who, "updateProfile", **whole)

    renamed = await done(town, who, "updateProfile", PROFILE, displayName="  Ada L. ")
    cleared = await done(town, who, "updateProfile", PROFILE, bio=None, avatarUrl=None)
    nothing = await done(town, who, "updateProfile", PROFILE)

    assert renamed["user"] == {**whole, "displayName": "Ada L."}
    assert cleared["user"] == {"displayName": "Ada L.", "bio": None, "avatarUrl": None}
    assert nothing["user"] == cleared["user"]


@pytest.mark.parametrize("name", [None, "", "   "])
async def test_what_is_required_cannot_be_cleared(town: Town, name: str | None) -> None:
    who = await newcomer(town)

    answer = await attempt(town, who, "updateProfile", displayName=name, bio="changed")

    assert (answer["__typename"], answer["code"]) == ("ValidationError", "INVALID_INPUT")
    assert (await town.ask(who, "{ viewer { user { bio } } }"))["viewer"]["user"]["bio"] is None


async def test_a_listing_keeps_what_is_absent_and_clears_what_is_null(town: Town) -> None:
    who = await newcomer(town)
    await done(town, who, "openMerchant", name="Odds", description=None)
    shown = "listing { id title description category stock state price { amount } photos { url } }"
    about = {"title": "One", "description": "D", "category": "odds", "kind": "GOOD", "stock": 3, "state": "ACTIVE"}
    photos = [{"url": "https://example.org/1.png", "kind": "IMAGE"}]
    price = {"amount": "2.00", "currency": "EUR"}
    made = (await done(town, who, "createListing", shown, **about, price=price, photos=photos))["listing"]

    async def change(**changes: Any) -> Any:
        return await attempt(town, who, "updateListing", shown, listingId=made["id"], **changes)

    assert (await change())["listing"] == made
    assert (await change(title="Two"))["listing"] == {**made, "title": "Two"}
    assert (await change(stock=None, photos=None))["listing"] == {**made, "title": "Two", "stock": None, "photos": []}
    for required in ("title", "description", "category", "price", "state"):
        answer = await change(**{required: None})
        assert answer["__typename"] == "ValidationError", required


async def test_a_wrong_token_is_not_nobody(town: Town) -> None:
    response = await town.http.post(
        town.url, json={"query": "{ posts { nodes { id } } }"}, headers={"Authorization": "Bearer nonsense"}
    )

    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await codes(town, None, "{ posts { nodes { id } } }") == []
