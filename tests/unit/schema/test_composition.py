"""Composition over a small graph of its own: field kinds, merged domains, subgraphs, loaders' lifetimes, errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
import strawberry
from graphql import print_schema
from strawberry import Info
from strawberry.schema.config import StrawberryConfig

from datastores.errors import InsufficientFundsError, NotFoundError
from datastores.paging import encode_cursor
from gateway.execution.executor import GraphExecutor
from gateway.execution.requests import OperationRequest
from resolvers.context import Context
from resolvers.context import Viewer as Caller
from schema.composition import (
    Domain,
    Graph,
    Subgraph,
    batched,
    computed,
    delegates,
    load_node,
    loads,
    loads_many,
    plain,
    root,
)
from schema.composition.fields import read_key
from schema.entities import PREFIXES, Node, Post, User, Viewer, Wallet
from schema.errors import InsufficientFunds
from schema.errors import NotFoundError as NotFound
from schema.scalars import SCALARS
from schema.values import Connection, Money

CONFIG = StrawberryConfig(default_resolver=read_key, scalar_map=SCALARS)


class PersonDocument(TypedDict):
    _id: str
    handle: str
    created_at: datetime
    friend_ids: list[str]


class Town:
    """Documents and use cases; counts the calls that would be reads."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.balance = 1000
        self.users = {
            f"usr_{n}": {
                "_id": f"usr_{n}",
                "handle": f"u{n}",
                "created_at": datetime(2026, 1, 2, 3, 4, n, 5000),
                "friend_ids": [f"usr_{(n + 1) % 5}", f"usr_{(n + 2) % 5}"],
            }
            for n in range(5)
        }
        self.posts = {
            f"post_{n}": {"_id": f"post_{n}", "text": f"t{n}", "author_id": f"usr_{n % 5}"} for n in range(20)
        }

    async def users_by_id(self, context: Context, ids: Sequence[str]) -> list[Any]:
        self.calls.append(("users_by_id", len(ids)))
        return [self.users.get(id) for id in ids]

    async def posts_by_id(self, context: Context, ids: Sequence[str]) -> list[Any]:
        self.calls.append(("posts_by_id", len(ids)))
        return [self.posts.get(id) for id in ids]

    async def wallets_by_id(self, context: Context, ids: Sequence[str]) -> list[Any]:
        self.calls.append(("wallets_by_id", len(ids)))
        money = {"minor_units": self.balance, "currency": "EUR"}
        return [{"_id": id, "available": money, "owner_id": id.replace("wal", "usr")} for id in ids]

    async def like_counts(self, context: Context, posts: Sequence[Any]) -> list[Any]:
        self.calls.append(("like_counts", len(posts)))
        return [ValueError("likes are down") if post["_id"] == "post_3" else len(post["_id"]) for post in posts]

    async def posts_of(
        self, context: Context, users: Sequence[Any], *, first: int | None = None, after: str | None = None
    ) -> list[Any]:
        self.calls.append(("posts_of", len(users)))
        out = []
        for user in users:
            mine = [post for post in self.posts.values() if post["author_id"] == user["_id"]][: first or 2]
            edges = [{"node": post, "scope": "posts", "place": by_id, "read": post} for post in mine]
            info = {"has_next_page": True, "has_previous_page": False, "start_cursor": None, "end_cursor": after}
            out.append({"edges": edges, "page_info": info})
        return out


def by_id(post: Any) -> tuple[str]:
    return (post["_id"],)


def domains_of(town: Town) -> dict[str, Domain]:
    accounts, posts, wallets = Domain("accounts"), Domain("posts"), Domain("wallets")
    accounts.owns(User, town.users_by_id, document=PersonDocument)
    posts.owns(Post, town.posts_by_id)
    wallets.owns(Wallet, town.wallets_by_id)

    @accounts.extends(User)
    class UserProfile:
        handle: str = plain(description="Name")
        created_at: datetime = plain(description="When")
        shouted: str = computed(lambda user: user["handle"].upper(), reads=("handle",), description="Loud")
        friends: list[User | None] = loads_many(User, key="friend_ids", description="Friends")

    @accounts.extends(Viewer)
    class ViewerUser:
        user: User = loads(User, key="_id", description="Their account")

    @accounts.root
    class Query:
        @root(Viewer | None, description="Who asks")
        def viewer(self, info: Info) -> Any:
            person = info.context.viewer.user_id
            return {"_id": person} if person else None

        @root(Node | None, description="Anything")
        async def node(self, info: Info, id: strawberry.ID) -> Any:
            return await load_node(info, id)

    @posts.extends(Post)
    class PostFields:
        text: str = plain(description="What it says")
        author: User | None = loads(User, key="author_id", description="Who wrote it")
        like_count: int | None = batched(town.like_counts, description="Likes")

    @posts.extends(User)
    class UserPosts:
        posts: Connection[Post] | None = batched(town.posts_of, description="Theirs", first="At most", after="Cursor")

    @posts.root
    class Query:  # type: ignore[no-redef]  # noqa: F811
        @root(list[Post], description="Latest")
        async def latest(self, info: Info) -> Any:
            return list(town.posts.values())[:6]

    @wallets.extends(Wallet)
    class WalletFields:
        available: Money = plain(description="Balance")
        owner: User | None = loads(User, key="owner_id", description="Whose")

    @strawberry.type
    class Paid:
        wallet: Wallet = loads(Wallet, key="wallet_id", description="Whence")

    result = Annotated[Paid | InsufficientFunds | NotFound, strawberry.union("PayResult")]

    @wallets.root
    class Mutation:
        @root(result | None, description="Pay")
        async def pay(self, info: Info, minor_units: int) -> Any:
            if minor_units > town.balance:
                raise InsufficientFundsError("Too little", available={"minor_units": town.balance, "currency": "EUR"})
            if minor_units < 0:
                raise RuntimeError("secret detail")
            if minor_units == 0:
                raise NotFoundError("Nothing")
            town.balance -= minor_units
            return {"__typename": "Paid", "wallet_id": "wal_1"}

    @wallets.root
    class Subscription:
        @root(Wallet, subscription=True, description="Changes")
        async def changed(self, info: Info) -> AsyncGenerator[Any, None]:
            for _ in range(2):
                town.balance += 1
                (wallet,) = await town.wallets_by_id(info.context, ["wal_1"])
                yield wallet
            raise NotFoundError("Gone")

    return {"accounts": accounts, "posts": posts, "wallets": wallets}


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def unexpected() -> list[Exception]:
    return []


@pytest.fixture
def executor(town: Town, unexpected: list[Exception]) -> GraphExecutor:
    graph = Graph(domains_of(town).values(), entities=[Viewer, User, Post, Wallet], prefixes=PREFIXES, config=CONFIG)
    return GraphExecutor(graph, lambda error, context, prepared: unexpected.append(error))


def context(user_id: str | None = "usr_1") -> Context:
    nothing: Any = SimpleNamespace()
    return Context(nothing, nothing, nothing, Caller("person" if user_id else "anonymous", user_id), request_id="r1")


async def run(executor: GraphExecutor, query: str, viewer: str | None = "usr_1", **variables: Any) -> dict[str, Any]:
    return await executor.execute(executor.prepare(OperationRequest(query, variables=variables)), context(viewer))


async def test_a_level_is_read_once(executor: GraphExecutor, town: Town) -> None:
    query = "{ latest { likeCount author { handle posts(first: 3) { nodes { text } edges { cursor } } } } }"

    answer = await run(executor, query)

    assert sorted(town.calls) == [("like_counts", 6), ("posts_of", 5), ("users_by_id", 5)]
    assert answer["data"]["latest"][0]["author"] == {
        "handle": "u0",
        "posts": {
            "nodes": [{"text": "t0"}, {"text": "t5"}, {"text": "t10"}],
            "edges": [{"cursor": encode_cursor("posts", f"post_{n}")} for n in (0, 5, 10)],
        },
    }


async def test_a_failing_parent_fails_alone_and_masked(executor: GraphExecutor, unexpected: list[Exception]) -> None:
    answer = await run(executor, "{ latest { likeCount } }")

    assert [post["likeCount"] for post in answer["data"]["latest"]] == [6, 6, 6, None, 6, 6]
    (error,) = answer["errors"]
    assert error["path"] == ["latest", 3, "likeCount"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "r1"}
    assert "likes are down" not in error["message"]
    assert [str(e) for e in unexpected] == ["likes are down"]


async def test_computed_plain_and_lists_of_references(executor: GraphExecutor, town: Town) -> None:
    query = '{ node(id: "usr_3") { __typename id ... on User { shouted createdAt friends { handle } } } }'

    answer = await run(executor, query)

    assert answer == {
        "data": {
            "node": {
                "__typename": "User",
                "id": "usr_3",
                "shouted": "U3",
                "createdAt": "2026-01-02T03:04:03.005Z",
                "friends": [{"handle": "u4"}, {"handle": "u0"}],
            }
        }
    }
    assert town.calls == [("users_by_id", 1), ("users_by_id", 2)]


@pytest.mark.parametrize("id", ["usr_99", "nothing_1", "", "x" * 5000, "usr"])
async def test_an_unknown_node_is_null(executor: GraphExecutor, id: str) -> None:
    assert await run(executor, "query ($id: ID!) { node(id: $id) { id } }", id=id) == {"data": {"node": None}}


async def test_each_mutation_field_reads_afresh_and_failures_are_documents(executor: GraphExecutor) -> None:
    query = """mutation {
        first: pay(minorUnits: 100) { __typename ... on Paid { wallet { available { amount } } } }
        second: pay(minorUnits: 300) { ... on Paid { wallet { available { amount minorUnits } } } }
        third: pay(minorUnits: 100000) {
            ... on Error { code message }
            ... on InsufficientFunds { available { amount } }
        }
        fourth: pay(minorUnits: 0) { __typename }
        fifth: pay(minorUnits: -1) { __typename }
    }"""

    answer = await run(executor, query)

    assert answer["data"] == {
        "first": {"__typename": "Paid", "wallet": {"available": {"amount": "9.00"}}},
        "second": {"wallet": {"available": {"amount": "6.00", "minorUnits": "600"}}},
        "third": {"code": "INSUFFICIENT_FUNDS", "message": "Too little", "available": {"amount": "6.00"}},
        "fourth": {"__typename": "NotFoundError"},
        "fifth": None,
    }
    assert [error["path"] for error in answer["errors"]] == [["fifth"]]


async def test_a_stream_ends_with_its_error(executor: GraphExecutor) -> None:
    prepared = executor.prepare(
        OperationRequest("subscription { changed { id available { amount } owner { handle } } }")
    )

    answers = [answer async for answer in executor.stream(prepared, context())]

    assert [answer.get("data") for answer in answers] == [
        {"changed": {"id": "wal_1", "available": {"amount": "10.01"}, "owner": {"handle": "u1"}}},
        {"changed": {"id": "wal_1", "available": {"amount": "10.02"}, "owner": {"handle": "u1"}}},
        None,
    ]
    assert answers[-1]["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


def test_the_plain_schema_has_no_trace_of_federation(executor: GraphExecutor) -> None:
    sdl = print_schema(executor.graph.graphql_schema)

    assert "_entities" not in sdl
    assert "@key" not in sdl
    assert "federation" not in sdl
    assert "type UserEdge" not in sdl
    assert "type PostConnection {" in sdl
    assert "after: Cursor" in sdl


async def test_a_subgraph_resolves_entities_in_one_batch_and_refuses_a_foreign_viewer(town: Town) -> None:
    domains = domains_of(town)
    graph = Subgraph(domains["posts"], prefixes=PREFIXES, config=CONFIG)
    executor = GraphExecutor(graph, lambda *_: None)
    sdl = graph.as_str()
    query = """query ($representations: [_Any!]!) {
        _entities(representations: $representations) { ... on Post { text author { id } } }
    }"""
    representations = [
        {"__typename": "Post", "id": "post_1"},
        {"__typename": "Nothing", "id": "post_1"},
        {"__typename": "Post", "id": "post_2"},
        {"__typename": "Post", "id": 7},
        {"__typename": "Post"},
    ]

    answer = await run(executor, query, representations=representations)

    assert answer["data"]["_entities"] == [
        {"text": "t1", "author": {"id": "usr_1"}},
        None,
        {"text": "t2", "author": {"id": "usr_2"}},
        None,
        None,
    ]
    assert town.calls == [("posts_by_id", 2)]
    assert 'type Post implements Node @key(fields: "id")' in sdl
    assert "federation/v2.9" in sdl


async def test_a_subgraph_names_of_other_domains_only_what_these_show(town: Town) -> None:
    domains = domains_of(town)
    del town.posts["post_1"]
    others = [domains["posts"], domains["wallets"]]
    graph = Subgraph(domains["accounts"], stubs=[User, Post, Wallet], others=others, prefixes=PREFIXES, config=CONFIG)
    executor = GraphExecutor(graph, lambda *_: None)
    query = """{ here: node(id: "post_0") { __typename id } gone: node(id: "post_1") { id }
        own: node(id: "usr_1") { id } unknown: node(id: "usr_9") { id } }"""

    # The first is executed by graphql-core, those after it are compiled.
    answers = [await run(executor, query) for _ in range(3)]

    assert [answer["data"] for answer in answers] == 3 * [
        {"here": {"__typename": "Post", "id": "post_0"}, "gone": None, "own": {"id": "usr_1"}, "unknown": None}
    ]
    assert town.calls == 3 * [("posts_by_id", 2), ("users_by_id", 2)]


async def test_what_lasts_is_named_without_a_look(town: Town) -> None:
    domains = domains_of(town)
    domains["accounts"].lasting.add(User)
    graph = Subgraph(domains["posts"], others=[domains["accounts"]], prefixes=PREFIXES, config=CONFIG)
    executor = GraphExecutor(graph, lambda *_: None)

    answers = [await run(executor, "{ latest { author { id } } }") for _ in range(3)]

    assert [answer["data"]["latest"][0]["author"] for answer in answers] == 3 * [{"id": "usr_0"}]
    assert town.calls == []


async def test_what_does_not_is_looked_up_once_a_level(town: Town) -> None:
    domains = domains_of(town)
    del town.users["usr_0"]
    graph = Subgraph(domains["posts"], others=[domains["accounts"]], prefixes=PREFIXES, config=CONFIG)
    executor = GraphExecutor(graph, lambda *_: None)

    answers = [await run(executor, "{ latest { author { id } } }") for _ in range(3)]

    assert [[post["author"] for post in answer["data"]["latest"]][:2] for answer in answers] == 3 * [
        [None, {"id": "usr_1"}]
    ]
    assert town.calls == 3 * [("users_by_id", 5)]


def test_a_key_that_documents_do_not_have_is_found_at_start(town: Town) -> None:
    accounts = Domain("accounts")
    accounts.owns(User, town.users_by_id, document=PersonDocument)

    @accounts.extends(User)
    class Wrong:
        nickname: str = plain(description="Not there")

    @accounts.root
    class Query:
        @root(User | None, description="Nobody")
        def nobody(self) -> Any:
            return None

    with pytest.raises(TypeError, match=r"User\.nickname reads `nickname`"):
        Graph([accounts], entities=[User], prefixes=PREFIXES, config=CONFIG)


def test_a_field_declared_twice_is_refused(town: Town) -> None:
    domains = domains_of(town)
    again = Domain("again")

    @again.extends(User)
    class Again:
        handle: str = computed(lambda user: "x", reads=(), description="Again")

    with pytest.raises(TypeError, match=r"User\.handle is declared twice"):
        Graph([*domains.values(), again], entities=[User], prefixes=PREFIXES, config=CONFIG)


def test_a_field_that_delegates_names_its_service_and_can_be_null(town: Town) -> None:
    domains = domains_of(town)

    @domains["posts"].extends(Post)
    class Weather:
        weather: str | None = delegates(town.like_counts, service="weather", description="Theirs")

    graph = Graph(domains.values(), entities=[Viewer, User, Post, Wallet], prefixes=PREFIXES, config=CONFIG)

    assert graph.services == {"weather"}


def test_a_field_that_delegates_and_cannot_be_null_is_refused(town: Town) -> None:
    domains = domains_of(town)

    @domains["posts"].extends(Post)
    class Weather:
        weather: str = delegates(town.like_counts, service="weather", description="Theirs")

    with pytest.raises(TypeError, match=r"Post\.weather"):
        Graph(domains.values(), entities=[Viewer, User, Post, Wallet], prefixes=PREFIXES, config=CONFIG)
