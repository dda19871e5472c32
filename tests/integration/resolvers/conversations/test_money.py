"""People show money in conversations: only their own, and only for as long as the message stands."""

from __future__ import annotations

import pytest

from datastores.errors import InsufficientFundsError, NotFoundError
from datastores.mongo import Database
from resolvers import conversations, wallets
from tests.integration.resolvers.conversations.talks import current, talk
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, fill, key, pay


async def test_sender_and_recipient_may_show_a_transfer(database: Database, ask: Ask) -> None:
    ann, bob, cem, dan = await people(database, "ann", "bob", "cem", "dan")
    await fill(ask, ann, "10")
    transfer_id = (await pay(ask, ann, bob, "1"))["transfer"]["_id"]
    group = await talk(ask, cem, ann, bob)

    assert await wallets.transfers_by_id(ask(cem), [transfer_id]) == [None]
    with pytest.raises(NotFoundError):
        await conversations.send_message(ask(cem), conversation_id=group["_id"], text="look", transfer_id=transfer_id)
    for party in (ann, bob):
        sent = await conversations.send_message(
            ask(party), conversation_id=group["_id"], text="", transfer_id=transfer_id, client_id="show"
        )
        assert sent.message["transfer_id"] == transfer_id

    (seen,) = await wallets.transfers_by_id(ask(cem), [transfer_id])
    assert seen is not None
    assert seen["amount"]["minor_units"] == 100
    assert await wallets.transfers_by_id(ask(dan), [transfer_id]) == [None]


async def test_a_deleted_message_shows_its_money_no_more(database: Database, ask: Ask) -> None:
    ann, bob, cem = await people(database, "ann", "bob", "cem")
    await fill(ask, ann, "10")
    group = await talk(ask, ann, bob, cem)
    transfer_id = (await pay(ask, ann, bob, "1", conversation_id=group["_id"]))["transfer"]["_id"]
    (last,) = await conversations.last_messages(ask(cem), [await current(ask, cem, group)])
    assert last is not None
    assert last["transfer_id"] == transfer_id
    assert await wallets.transfers_by_id(ask(cem), [transfer_id]) != [None]

    deleted = await conversations.delete_message(ask(ann), message_id=last["_id"])

    assert deleted.message["transfer_id"] is None
    assert await wallets.transfers_by_id(ask(cem), [transfer_id]) == [None]
    assert await wallets.transfers_by_id(ask(bob), [transfer_id]) != [None]


async def test_requester_and_payer_may_show_a_request(database: Database, ask: Ask) -> None:
    ann, bob, cem = await people(database, "ann", "bob", "cem")
    asked = await wallets.request_payment(ask(ann), idempotency_key=key(), payer_id=bob, amount=amount("1"))
    request_id = asked["payment_request"]["_id"]
    group = await talk(ask, cem, ann, bob)

    with pytest.raises(NotFoundError):
        await conversations.send_message(ask(cem), conversation_id=group["_id"], text="", payment_request_id=request_id)
    sent = await conversations.send_message(
        ask(bob), conversation_id=group["_id"], text="", payment_request_id=request_id
    )

    assert sent.message["payment_request_id"] == request_id


async def test_a_refused_transfer_is_not_told(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    await wallets.open_wallet(ask(ann), currency="EUR")
    direct = await talk(ask, ann, bob)

    with pytest.raises(InsufficientFundsError):
        await pay(ask, ann, bob, "1", conversation_id=direct["_id"])

    assert (await current(ask, bob, direct))["message_count"] == 0
