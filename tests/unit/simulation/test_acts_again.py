"""An act that comes again, because its answer was lost on the way, finds that it has happened."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from datastores.commit import Act, CommitLoop
from datastores.conversations import ConversationKind, MemberRole, SendMessage, StartConversation
from datastores.posts import POSTS, post_document
from datastores.posts.posts import _Create, _Delete
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import Faults, Trace
from tests.simulation.scheduler import run
from tests.simulation.storage import START, Storage
from tests.simulation.towns import INDEXES

OLD = post_document(author_id="ann", text="old", created_at=START, random_bits=1)
NEW = post_document(author_id="ann", text="new", created_at=START, reply_to_id=OLD["_id"], random_bits=2)
ROLES = {"ann": MemberRole.OWNER}


def twice(*acts: Act[Any]) -> tuple[list[Any], int]:
    """What the last of these acts ends with, asked for twice, and the replies that the old post counts."""

    async def main() -> tuple[list[Any], int]:
        clock = asyncio.get_running_loop().time
        storage = Storage(INDEXES, Random(0), clock)
        storage.plant(POSTS, {**OLD})
        loop = CommitLoop(SimulatedDatabase(storage, Faults(Random(0), 0.0), Trace(), "process"), "any", clock=clock)
        *_, first = [await loop.submit(act) for act in acts]
        again = await loop.submit(acts[-1])
        old = storage.get(POSTS, OLD["_id"])
        return [first, again], old["reply_count"] if old else 0

    return run(main)


@pytest.mark.parametrize(
    "acts",
    [
        [_Create(NEW)],
        [_Create(NEW), _Delete(NEW["_id"], "del_1", START)],
        [StartConversation("cnv", ConversationKind.GROUP, "Title", ROLES)],
    ],
    ids=["a post without a client id", "a post that is deleted", "a conversation"],
)
def test_the_outcome_is_the_same(acts: list[Act[Any]]) -> None:
    (first, again), _ = twice(*acts)

    assert first == again


def test_a_reply_is_counted_once() -> None:
    assert twice(_Create(NEW))[1] == 1
    assert twice(_Create(NEW), _Delete(NEW["_id"], "del_1", START))[1] == 0


def test_a_message_without_a_client_id_is_sent_once() -> None:
    start = StartConversation("cnv", ConversationKind.GROUP, "Title", ROLES)

    (first, again), _ = twice(start, SendMessage("msg", "cnv", "ann", "text"))

    assert (first.message, first.n) == (again.message, again.n)
    assert again.replayed
