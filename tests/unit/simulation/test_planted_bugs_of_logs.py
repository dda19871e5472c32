"""Whoever breaks what is promised of conversations, posts or orders is caught by the simulator as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from datastores.commit import Act, CommitLoop, Work
from datastores.conversations import CONVERSATIONS, MessageDocument, SendMessage, log, messages
from datastores.merchants import LISTINGS, purchases
from datastores.mongo import Database, Document, Session
from datastores.posts import POSTS
from tests.simulation.conversations.wishes import Wish as Said
from tests.simulation.database import SimulatedDatabase
from tests.simulation.storage import Storage
from tests.simulation.towns import INDEXES
from tests.unit.simulation.planted import WITHOUT_INDEXES, Plant, caught, read_outside_the_snapshot


def remember(collection: str) -> Plant:
    """Each process takes what it once read of this collection for what is still so."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        read = CommitLoop._read
        known: WeakKeyDictionary[Database, dict[tuple[str, str], Document]] = WeakKeyDictionary()

        async def recall(loop: CommitLoop, work: Work, batch: Sequence[Act[Any]], session: Session) -> None:
            await read(loop, work, batch, session)
            of_loop = known.setdefault(loop.database, {})
            for key, document in work._documents.items():
                if key[0] == collection and document is not None:
                    work._documents[key] = of_loop.setdefault(key, document)

        monkeypatch.setattr(CommitLoop, "_read", recall)

    plant.__name__ = f"remember_{collection}"
    return plant


def number_messages_outside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    read = CommitLoop._read
    taken: WeakKeyDictionary[Storage, dict[str, int]] = WeakKeyDictionary()

    async def number_before(loop: CommitLoop, work: Work, batch: Sequence[Act[Any]], session: Session) -> None:
        await read(loop, work, batch, session)
        assert isinstance(loop.database, SimulatedDatabase)
        counts = taken.setdefault(loop.database._storage, {})
        for (name, id), document in list(work._documents.items()):
            if name == CONVERSATIONS and document is not None:
                count = counts.get(id, 0)
                counts[id] = count + sum(isinstance(act, SendMessage) and act.conversation_id == id for act in batch)
                work._documents[name, id] = {**document, "message_count": count}

    monkeypatch.setattr(CommitLoop, "_read", number_before)


def leave_one_inbox_out(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = log.deliver

    def to_all_but_the_last(work: Work, message: MessageDocument, member_ids: Sequence[str]) -> None:
        deliver(work, message, member_ids[:-1] or member_ids)

    monkeypatch.setattr(messages, "deliver", to_all_but_the_last)


def make_every_try_a_new_message(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(range(10**9))

    def act(wish: Said) -> SendMessage:
        id = f"{wish.message_id}/{next(tries)}"
        return SendMessage(id, wish.conversation_id, wish.actor, wish.text, client_id=wish.client_id)

    ask = Said.act
    monkeypatch.setattr(Said, "act", lambda wish: act(wish) if wish.kind == "send" else ask(wish))


def keep_the_stock_of_what_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchases, "add_stock", lambda work, listing_id, quantity: None)


def pay_what_is_paid_or_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchases, "_not_payable", lambda work, order: None)


def cancel_without_a_refund(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchases, "_payment_id", lambda order: None)


def like_without_counting_in_the_same_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Work.update

    def late(work: Work, collection: str, id: str, **changes: Any) -> Document:
        return update(work, collection, id, **{k: v for k, v in changes.items() if k != "like_count"})

    monkeypatch.setattr(Work, "update", late)


def forget_client_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "find", lambda work, collection, **fields: [])


PLANTED: list[tuple[Plant, str, bool, str]] = [
    (number_messages_outside_the_transaction, "conversations", False, "of event"),
    (leave_one_inbox_out, "conversations", True, "inboxes miss"),
    (make_every_try_a_new_message, "conversations", True, "one client id, two messages"),
    (remember(CONVERSATIONS), "conversations", True, "BulkWriteError"),
    (read_outside_the_snapshot, "posts", True, "_count says"),
    (remember(LISTINGS), "orders", True, "are left and"),
    (keep_the_stock_of_what_is_cancelled, "orders", True, "are left and"),
    (pay_what_is_paid_or_over, "orders", True, "where the model says"),
    (cancel_without_a_refund, "orders", True, "in escrow"),
    (remember(POSTS), "posts", True, "_count says"),
    (like_without_counting_in_the_same_commit, "posts", True, "like_count says"),
    (forget_client_ids, "posts", True, "BulkWriteError"),
    (forget_client_ids, "posts", False, "two posts"),
]


@pytest.mark.parametrize(
    ("plant", "town", "unique", "found"), PLANTED, ids=[f"{p.__name__}-{town}-{u}" for p, town, u, _ in PLANTED]
)
def test_a_planted_bug_is_caught(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, town: str, unique: bool, found: str
) -> None:
    plant(monkeypatch)

    assert caught(town, found, INDEXES if unique else WITHOUT_INDEXES)
