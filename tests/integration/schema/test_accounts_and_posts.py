"""Accounts and posts through GraphQL: what a screen asks, what mutations answer, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from strawberry.schema.config import StrawberryConfig

from datastores import accounts as people
from datastores import posts as texts
from datastores.commit import CommitLoops
from datastores.mongo import Database, Driver
from gateway.live.hub import Hub
from resolvers.context import ANONYMOUS, Context, Viewer
from schema.accounts import accounts
from schema.composition import Graph, Subgraph
from schema.composition.fields import read_key
from schema.entities import ENTITIES, PREFIXES
from schema.posts import posts
from schema.scalars import SCALARS

START = datetime(2026, 1, 1)
CONFIG = StrawberryConfig(default_resolver=read_key, scalar_map=SCALARS)
GRAPH = Graph((accounts, posts), entities=ENTITIES, prefixes=PREFIXES, config=CONFIG)
Ask = Callable[..., Awaitable[dict[str, Any]]]


class Town:
    """Three people, and the commands that their questions cost."""

    def __init__(self, database: Database, commands: Counter[str]) -> None:
        self.commands = commands
        self.people: list[str] = []
        self._database = database
        self._commits = CommitLoops(database)
        self._hub = Hub(database, {})

    async def ask(self, who: str | None, document: str, **variables: Any) -> dict[str, Any]:
        """Data and errors of an operation; errors as (path, code or message)."""
        viewer = ANONYMOUS if who is None else Viewer("person", who)
        context = Context(self._database, self._commits, self._hub, viewer)
        self.commands.clear()
        result = await GRAPH.execute(document, variable_values=variables, context_value=context)
        errors = [
            (".".join(map(str, error.path or ())), getattr(error.original_error, "code", error.message))
            for error in result.errors or ()
        ]
        return {"data": result.data, "errors": errors}


@pytest.fixture
async def town(database: Database, mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Town]:
    commands: Counter[str] = Counter()

    def count(command: str, collection: str, seconds: float, succeeded: bool) -> None:
        commands[f"{command} {collection}"] += 1

    counted = await Database.connect(mongodb_uri, name=database.name, driver=mongo_driver, on_command=count)
    town = Town(counted, commands)
    users = [
        people.user_document(handle=h, display_name=h.title(), created_at=START) for h in ("alice", "bob", "carol")
    ]
    await people.insert_users(database, users)
    town.people = [user["_id"] for user in users]
    yield town
    await counted.close()


SCREEN = """
query Screen($first: Int, $after: Cursor) {
  viewer {
    id
    user { handle followingCount }
    homeTimeline(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      edges {
        cursor
        repostedBy { handle }
        node {
          id text createdAt likeCount viewerHasLiked viewerHasReposted hashtags
          author { handle viewerFollows followsViewer posts(first: 2) { nodes { text } } }
          mentions { handle }
          replies(first: 1) { nodes { text author { handle } replyTo { text } root { text } } }
        }
      }
    }
  }
}
"""
CREATE = """
mutation Create($input: CreatePostInput!) {
  createPost(input: $input) {
    __typename
    ... on CreatePostSuccess {
      post { id text author { handle } replyTo { id replyCount } media { url kind width alt } }
    }
    ... on Error { code message }
    ... on ValidationError { path }
  }
}
"""
ACT = """
mutation Act($id: ID!) {
  %s(input: {postId: $id}) {
    __typename
    ... on PostActionSuccess { post { id likeCount repostCount viewerHasLiked viewerHasReposted } }
    ... on Error { code }
  }
}
"""


async def create(town: Town, who: str | None, **input: Any) -> dict[str, Any]:
    answer = await town.ask(who, CREATE, input=input)
    assert answer["errors"] == []
    created = answer["data"]["createPost"]
    assert isinstance(created, dict)
    return created


async def test_a_screen_costs_the_same_for_two_posts_and_for_twenty(town: Town) -> None:
    alice, bob, carol = town.people
    await town.ask(alice, "mutation F($id: ID!) { follow(input: {userId: $id}) { __typename } }", id=bob)
    made = [await create(town, (bob, alice)[n % 2], text=f"{n} @carol #tag") for n in range(20)]
    for post in made[::2]:
        await create(town, carol, text="reply", replyToId=post["post"]["id"])
    await town.ask(bob, ACT % "repost", id=made[0]["post"]["id"])
    await town.ask(alice, ACT % "likePost", id=made[19]["post"]["id"])

    few = await town.ask(alice, SCREEN, first=2)
    cost_of_few = Counter(town.commands)
    many = await town.ask(alice, SCREEN, first=20)
    cost_of_many = Counter(town.commands)

    assert few["errors"] == many["errors"] == []
    edges = many["data"]["viewer"]["homeTimeline"]["edges"]
    assert len(edges) == 20
    assert edges[0]["repostedBy"] == {"handle": "bob"}
    assert edges[0]["node"]["text"] == "0 @carol #tag"
    assert edges[1]["node"]["viewerHasLiked"] is True
    assert edges[1]["node"]["mentions"] == [{"handle": "carol"}]
    assert edges[1]["node"]["author"]["posts"]["nodes"][0]["text"] == "19 @carol #tag"
    assert edges[0]["node"]["author"] == {
        "handle": "bob",
        "viewerFollows": True,
        "followsViewer": False,
        "posts": {"nodes": [{"text": f"{n} @carol #tag"} for n in (18, 16)]},
    }
    assert edges[0]["node"]["replies"]["nodes"] == [
        {
            "text": "reply",
            "author": {"handle": "carol"},
            "replyTo": {"text": "0 @carol #tag"},
            "root": {"text": "0 @carol #tag"},
        }
    ]
    assert sum(cost_of_many.values()) <= sum(cost_of_few.values()) + 2
    assert sum(cost_of_many.values()) <= 18, cost_of_many


async def test_a_page_goes_on_after_its_cursor(town: Town) -> None:
    alice = town.people[0]
    for n in range(5):
        await create(town, alice, text=str(n))

    seen: list[str] = []
    after = None
    while True:
        answer = await town.ask(alice, SCREEN, first=2, after=after)
        page = answer["data"]["viewer"]["homeTimeline"]
        seen += [edge["node"]["text"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert sorted(seen) == ["0", "1", "2", "3", "4"]


async def test_writing_a_post(town: Town) -> None:
    alice, bob, _ = town.people
    media = [{"url": "https://img.example/a.png", "kind": "IMAGE", "width": 3, "alt": "A cat"}]
    root = await create(town, bob, text="root")

    made = await create(town, alice, text=" hi ", replyToId=root["post"]["id"], media=media, clientId="1")
    again = await create(town, alice, text="hi", replyToId=root["post"]["id"], clientId="1")

    assert made["__typename"] == "CreatePostSuccess"
    assert made["post"]["text"] == "hi"
    assert made["post"]["author"] == {"handle": "alice"}
    assert made["post"]["replyTo"] == {"id": root["post"]["id"], "replyCount": 1}
    assert made["post"]["media"] == media
    assert again == made


@pytest.mark.parametrize(
    ("input", "typename", "path"),
    [
        ({"text": ""}, "ValidationError", ["text"]),
        ({"text": "x" * 2001}, "ValidationError", ["text"]),
        ({"text": "x", "clientId": ""}, "ValidationError", ["clientId"]),
        ({"text": "x", "media": [{"url": "https://a.example", "kind": "IMAGE", "width": 0}]}, "ValidationError",
         ["media", "0", "width"]),
        ({"text": "x", "replyToId": "nonsense"}, "NotFoundError", None),
        ({"text": "x", "quoteOfId": "post_01JD0000000000000000000000"}, "NotFoundError", None),
        ({"text": "x", "listingId": "lst_01JD0000000000000000000000"}, "NotFoundError", None),
    ],
)  # fmt: skip
async def test_what_is_not_acceptable_is_a_typed_error(
    town: Town, database: Database, input: dict[str, Any], typename: str, path: list[str] | None
) -> None:
    answer = await create(town, town.people[0], **input)

    assert answer["__typename"] == typename
    assert answer.get("path") == path
    assert await database.count("posts", {}) == 0


async def test_likes_and_reposts(town: Town) -> None:
    alice, bob, _ = town.people
    made = await create(town, bob, text="hi")
    id = made["post"]["id"]

    async def act(name: str) -> Any:
        return (await town.ask(alice, ACT % name, id=id))["data"][name]["post"]

    def post(likes: int, reposts: int) -> dict[str, Any]:
        flags = {"viewerHasLiked": likes == 1, "viewerHasReposted": reposts == 1}
        return {"id": id, "likeCount": likes, "repostCount": reposts, **flags}

    assert await act("likePost") == post(1, 0)
    assert await act("likePost") == post(1, 0)
    assert await act("repost") == post(1, 1)
    assert await act("unlikePost") == post(0, 1)
    assert await act("undoRepost") == post(0, 0)


async def test_deleting(town: Town) -> None:
    alice, bob, _ = town.people
    id = (await create(town, alice, text="hi"))["post"]["id"]
    document = """mutation D($id: ID!) {
        deletePost(input: {postId: $id}) { __typename ... on DeletePostSuccess { deletedId } } }"""

    answers = [(await town.ask(who, document, id=id))["data"]["deletePost"] for who in (bob, alice, alice)]

    assert answers == [
        {"__typename": "ForbiddenError"},
        {"__typename": "DeletePostSuccess", "deletedId": id},
        {"__typename": "NotFoundError"},
    ]
    assert (await town.ask(alice, "query P($id: ID!) { post(id: $id) { id } node(id: $id) { id } }", id=id))[
        "data"
    ] == {
        "post": None,
        "node": None,
    }


async def test_following_oneself_and_a_stranger(town: Town) -> None:
    alice, bob, _ = town.people
    document = """mutation F($id: ID!) { follow(input: {userId: $id}) {
        __typename
        ... on FollowSuccess { user { handle followerCount viewerFollows } }
        ... on ValidationError { path } } }"""

    answers = [
        (await town.ask(alice, document, id=id))["data"]["follow"]
        for id in (bob, bob, alice, "usr_01JD0000000000000000000000")
    ]

    followed = {"__typename": "FollowSuccess", "user": {"handle": "bob", "followerCount": 1, "viewerFollows": True}}
    assert answers == [
        followed,
        followed,
        {"__typename": "ValidationError", "path": ["userId"]},
        {"__typename": "NotFoundError"},
    ]


async def test_a_profile_tells_absent_from_null(town: Town) -> None:
    document = """mutation U($input: UpdateProfileInput!) { updateProfile(input: $input) {
        __typename
        ... on UpdateProfileSuccess { user { displayName bio avatarUrl } }
        ... on ValidationError { path } } }"""

    async def update(**input: Any) -> Any:
        return (await town.ask(town.people[0], document, input=input))["data"]["updateProfile"]

    profile = {"displayName": "Alice", "bio": "Hi", "avatarUrl": "https://img.example/a.png"}
    assert (await update(bio="Hi", avatarUrl="https://img.example/a.png"))["user"] == profile
    assert (await update(bio=None))["user"] == {**profile, "bio": None}
    assert (await update())["user"] == {**profile, "bio": None}
    assert await update(displayName=None) == {"__typename": "ValidationError", "path": ["displayName"]}


async def test_everybody_reads_and_nobody_acts_without_signing_in(town: Town) -> None:
    made = await create(town, town.people[0], text="hello #world")
    id = made["post"]["id"]

    answer = await town.ask(
        None,
        """query Q($id: ID!) {
          viewer { id }
          post(id: $id) { viewerHasLiked author { viewerFollows } }
          posts(hashtag: "world") { nodes { text } }
          users(search: "ali") { nodes { handle } }
          user(handle: "@Alice") { posts { nodes { id } } followers { nodes { id } } }
          node(id: $id) { __typename id ... on Post { text } }
        }""",
        id=id,
    )
    denied = await town.ask(None, CREATE, input={"text": "x"})

    assert answer == {
        "data": {
            "viewer": None,
            "post": {"viewerHasLiked": False, "author": {"viewerFollows": False}},
            "posts": {"nodes": [{"text": "hello #world"}]},
            "users": {"nodes": [{"handle": "alice"}]},
            "user": {"posts": {"nodes": [{"id": id}]}, "followers": {"nodes": []}},
            "node": {"__typename": "Post", "id": id, "text": "hello #world"},
        },
        "errors": [],
    }
    assert denied == {"data": {"createPost": None}, "errors": [("createPost", "UNAUTHENTICATED")]}


@pytest.mark.parametrize("arguments", ["first: -1", "first: 1000", 'after: "foreign"'])
async def test_paging_that_cannot_be_met_fails_its_own_field(town: Town, arguments: str) -> None:
    await create(town, town.people[0], text="hello")

    answer = await town.ask(
        town.people[0],
        f"""{{
          posts({arguments}) {{ nodes {{ id }} }}
          user(handle: "alice") {{ handle posts({arguments}) {{ nodes {{ id }} }} }}
          viewer {{ id homeTimeline({arguments}) {{ nodes {{ id }} }} }}
        }}""",
    )

    assert answer["data"] == {
        "posts": None,
        "user": {"handle": "alice", "posts": None},
        "viewer": {"id": town.people[0], "homeTimeline": None},
    }
    assert sorted(answer["errors"]) == [
        ("posts", "INVALID_INPUT"),
        ("user.posts", "INVALID_INPUT"),
        ("viewer.homeTimeline", "INVALID_INPUT"),
    ]


async def test_each_is_a_subgraph_that_knows_the_other_by_id(town: Town, database: Database) -> None:
    await texts.insert_posts(
        database, [texts.post_document(author_id=town.people[0], text="hi", created_at=START + timedelta(1))]
    )
    of_posts = Subgraph(posts, prefixes=PREFIXES, config=CONFIG)
    of_accounts = Subgraph(accounts, stubs=ENTITIES, prefixes=PREFIXES, config=CONFIG)
    context = Context(database, CommitLoops(database), Hub(database, {}), Viewer("person", town.people[0]))
    document = """query E($them: [_Any!]!) { _entities(representations: $them) {
        ... on User { posts { nodes { text author { id } } } }
        ... on Viewer { homeTimeline { nodes { text } } } } }"""
    them = [{"__typename": "User", "id": town.people[0]}, {"__typename": "Viewer", "id": town.people[1]}]

    result = await of_posts.execute(document, variable_values={"them": them}, context_value=context)

    assert result.errors is None
    assert result.data == {
        "_entities": [{"posts": {"nodes": [{"text": "hi", "author": {"id": town.people[0]}}]}}, None]
    }
    assert 'type User implements Node @key(fields: "id")' in of_accounts.as_str()
