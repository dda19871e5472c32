"""A crash between the ledger and what follows from it: the sweeper finishes it, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from datastores.errors import OutcomeUnknownError, UnavailableError
from datastores.mongo import Database
from resolvers import conversations, wallets
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, balance, fill, later, pay


def failing(ask: Ask, error: BaseException) -> Ask:
    """As `ask`, where nothing can be written to conversations."""

    class Failing:
        def __init__(self, loops: Any) -> None:
            self._loops = loops

        def __getitem__(self, name: str) -> Any:
            return self if name == "conversations" else self._loops[name]

        async def submit(self, act: object, **_: object) -> None:
            raise error

    def context(user_id: str | None) -> Any:
        real = ask(user_id)
        return replace(real, commits=cast(Any, Failing(real.commits)))

    return context


async def message_count(database: Database, conversation_id: str) -> int:
    return await database.count("messages", {"conversation_id": conversation_id})


async def test_a_message_that_a_crash_left_out_is_posted_once(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(ask, ann, "10")
    direct = await conversations.start_conversation(ask(ann), member_ids=[bob])
    with pytest.raises(asyncio.CancelledError):
        await pay(failing(ask, asyncio.CancelledError()), ann, bob, "1", conversation_id=direct["_id"])
    assert await message_count(database, direct["_id"]) == 0

    assert await wallets.finish_follow_ups(ask(None)) == 0
    await asyncio.gather(*(wallets.finish_follow_ups(later(ask, 60)(None)) for _ in range(3)))

    assert await message_count(database, direct["_id"]) == 1
    assert await balance(ask, bob) == (100, 100)
    assert await database.count("follow_ups", {}) == 0


async def test_a_request_that_a_crash_left_untold_is_told_once(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    direct = await conversations.start_conversation(ask(ann), member_ids=[bob])
    given: dict[str, Any] = {"idempotency_key": "k", "payer_id": bob, "amount": amount("1")}
    given["conversation_id"] = direct["_id"]
    with pytest.raises(asyncio.CancelledError):
        await wallets.request_payment(failing(ask, asyncio.CancelledError())(ann), **given)

    await wallets.request_payment(ask(ann), **given)
    await wallets.finish_follow_ups(later(ask, 60)(None))

    assert await message_count(database, direct["_id"]) == 1


async def test_a_client_hears_of_success_when_both_are_there(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(ask, ann, "10")
    direct = await conversations.start_conversation(ask(ann), member_ids=[bob])
    given = {"idempotency_key": "rent", "conversation_id": direct["_id"]}

    with pytest.raises(OutcomeUnknownError) as caught:
        await pay(failing(ask, UnavailableError("The database is away")), ann, bob, "1", **given)
    moved = await pay(ask, ann, bob, "1", **given)

    assert caught.value.details == {"idempotency_key": "rent"}
    assert moved["replayed"]
    assert await message_count(database, direct["_id"]) == 1
    assert await balance(ask, bob) == (100, 100)


async def test_what_cannot_be_done_yet_is_tried_again_later(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(ask, ann, "10")
    direct = await conversations.start_conversation(ask(ann), member_ids=[bob])
    broken = failing(ask, UnavailableError("The database is away"))
    with pytest.raises(OutcomeUnknownError):
        await pay(broken, ann, bob, "1", conversation_id=direct["_id"])

    assert await wallets.finish_follow_ups(later(broken, 60)(None)) == 0
    assert await wallets.finish_follow_ups(later(ask, 60)(None)) == 0
    assert await wallets.finish_follow_ups(later(ask, 120)(None)) == 1

    assert await message_count(database, direct["_id"]) == 1


async def test_who_has_left_the_conversation_is_not_waited_for(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(ask, ann, "10")
    group = await conversations.start_conversation(ask(bob), member_ids=[ann], title="Rent")
    with pytest.raises(asyncio.CancelledError):
        await pay(failing(ask, asyncio.CancelledError()), ann, bob, "1", conversation_id=group["_id"])
    await conversations.remove_member(ask(bob), conversation_id=group["_id"], user_id=ann)

    assert await wallets.finish_follow_ups(later(ask, 60)(None)) == 1

    assert await database.count("follow_ups", {}) == 0
