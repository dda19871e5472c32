"""N+1 reads cannot come in unseen: a query over all domains makes a pinned number of MongoDB commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from datastores.mongo import Database, Driver
from gateway.execution.requests import OperationRequest
from gateway.identity.identities import Person
from gateway.settings import DEVELOPMENT_ISSUER
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERYTHING = """
query Everything($first: Int!) {
  viewer {
    user { handle followerCount followers(first: $first) { nodes { handle viewerFollows followsViewer } } }
    homeTimeline(first: $first) {
      edges { repostedBy { handle } node {
        text likeCount viewerHasLiked viewerHasReposted
        author { displayName viewerFollows merchant { name } }
        mentions { handle } replyTo { text author { handle } }
        replies(first: 3) { nodes { text author { handle } } }
        listing { title price { amount } merchant { name } }
      } }
    }
    conversations(first: $first) { nodes {
      title unreadCount
      members { role user { handle } }
      lastMessage { text sender { handle } reactions { emoji count viewerReacted } }
      messages(last: 5) { nodes { seq text sender { handle } transfer { amount { amount } } } }
      order { state total { amount } }
    } }
    wallets {
      available { amount currency }
      owner { handle }
      entries(first: $first) { nodes { kind amount { amount } counterparty { handle } transfer { memo state } } }
    }
    orders(first: $first) { nodes { state lines { title listing { stock } } merchant { name owner { handle } } } }
    notifications(first: $first) { nodes { kind actor { handle } subject { id } } }
    paymentRequests(first: $first) { nodes { state requester { handle } payer { handle } } }
  }
  listings(first: $first) { nodes { title price { amount } seller { handle } merchant { name } } }
}
"""


# Six levels deep, with some forty fields that need a read. Which loads of people meet in one batch depends on which
# answers come first, so the number moves between 44 and 50; a read for each parent would make it hundreds.
MOST_COMMANDS = 70
READS = {
    "aggregate entries",
    "aggregate posts",
    "find accounts",
    "find conversations",
    "find entries",
    "find follows",
    "find likes",
    "find listings",
    "find memberships",
    "find merchants",
    "find messages",
    "find notifications",
    "find orders",
    "find payment_requests",
    "find posts",
    "find reposts",
    "find transfers",
    "find users",
}
# Keys of people are remembered for a while only: who asks after that reads them once more.
FORGOTTEN_SINCE = {"find person_keys"}


class Counted:
    """The town's graph over a connection whose commands are counted."""

    def __init__(self, town: Town, database: Database, commands: Counter[str]) -> None:
        self._town = town
        self._database = database
        self._commands = commands

    async def commands(self, first: int) -> Counter[str]:
        """The commands, by name and collection, of the query with pages of this size."""
        gateway = self._town.gateway
        context = await gateway.contexts.open(Person(DEVELOPMENT_ISSUER, "alice", "alice", None, 2e9), "count")
        context = replace(context, database=self._database)
        prepared = gateway.graph.prepare(OperationRequest(EVERYTHING, variables={"first": first}))
        self._commands.clear()
        answer = await gateway.graph.execute(prepared, context)
        assert "errors" not in answer, answer["errors"]
        return Counter(self._commands)


@pytest_asyncio.fixture(loop_scope="session")
async def counted(town: Town, mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Counted]:
    commands: Counter[str] = Counter()

    def count(command: str, collection: str, _seconds: float, _ok: bool) -> None:
        commands[f"{command} {collection}"] += 1

    name = town.gateway.database.name
    database = await Database.connect(mongodb_uri, name=name, driver=mongo_driver, on_command=count)
    try:
        yield Counted(town, database, commands)
    finally:
        await database.close()


async def test_the_commands_are_pinned(counted: Counted) -> None:
    commands = await counted.commands(10)

    assert set(commands) - FORGOTTEN_SINCE == READS
    assert 0 < sum(commands.values()) <= MOST_COMMANDS, sorted(commands.items())


async def test_larger_pages_need_no_more_commands(counted: Counted) -> None:
    commands = await counted.commands(20)

    assert sum(commands.values()) <= MOST_COMMANDS, sorted(commands.items())
