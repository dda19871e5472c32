"""Erasing a person: what stands in the way, what is gone, what stays, and that a crash leaves nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest

from datastores import accounts, ledger
from datastores.errors import ConflictError, NotFoundError, TransferRefusedError, UnauthenticatedError
from datastores.mongo import Database, Document, Driver
from resolvers import conversations, merchants, posts, wallets
from resolvers.accounts import follow, sign_in
from resolvers.context import Context
from resolvers.erasure import ABANDONED, SETTLED, erase_person, finish_erasures
from tests.integration.resolvers.merchants.shops import line, offer, paid_order, place
from tests.integration.resolvers.people import NO_USER, Ask, people
from tests.integration.resolvers.wallets.purses import amount, fill, freeze, journal, key, later, pay

T = TypeVar("T")
ISSUER = "https://login.example.org"


async def user_of(database: Database, id: str) -> Document:
    (user,) = await accounts.by_ids(database, [id])
    assert user is not None
    return user


async def lively(database: Database, ask: Ask, handle: str = "ann") -> tuple[str, str, str]:
    """A person with everything but money, one who knows them, and the transfer that they paid with all they had."""
    ann = await sign_in(database, issuer=ISSUER, subject=handle, preferred_username=handle, name="Ann Ament")
    (bob,) = await people(database, f"bob_of_{handle}")
    await accounts.update_profile(database, ann, {"bio": "Likes ferries", "avatar_url": "https://example.org/a.png"})
    await fill(ask, ann, "10")
    await wallets.open_wallet(ask(bob), currency="EUR")
    paid = await pay(ask, ann, bob, "10", memo="for the ferry")
    await wallets.request_payment(ask(ann), idempotency_key=key(), payer_id=bob, amount=amount("3"), memo="my half")
    await wallets.request_payment(ask(bob), idempotency_key=key(), payer_id=ann, amount=amount("4"), memo="your half")
    first = await posts.create_post(ask(ann), text="Hello from Ann", client_id="1")
    await posts.create_post(ask(bob), text="Hello Ann", reply_to_id=first["_id"])
    await follow(ask(ann), user_id=bob)
    await follow(ask(bob), user_id=ann)
    talk = await conversations.start_conversation(ask(ann), member_ids=[bob])
    await conversations.send_message(ask(ann), conversation_id=talk["_id"], text="Hi", client_id="1")
    await offer(ask, ann, "Bowl")
    return ann, bob, paid["transfer"]["_id"]


async def of(found: Awaitable[list[T]]) -> T:
    (only,) = await found
    return only


async def assert_erased(database: Database, ask: Ask, ann: str, bob: str, transfer_id: str) -> None:
    user = await user_of(database, ann)
    assert user["handle"] == accounts.erased_handle(ann)
    assert (user["display_name"], user["bio"], user["avatar_url"]) == (accounts.ERASED_NAME, None, None)
    assert user["erased_at"] is not None
    assert (user["follower_count"], user["following_count"]) == (0, 0)
    transfer = await of(wallets.transfers_by_id(ask(bob), [transfer_id]))
    assert transfer is not None
    assert (transfer["memo"], transfer["sender_id"]) == (None, ann)
    requests = await database.find("payment_requests", {"people": ann}, limit=10)
    assert {request["state"] for request in requests} <= {"CANCELLED", "DECLINED"}
    assert await database.count("posts", {"author_id": ann}) == 0
    assert await database.count("identities", {"user_id": ann}) == 0
    assert {listing["state"] for listing in await database.find("listings", {"seller_id": ann}, limit=9)} == {
        "ARCHIVED"
    }
    assert all(wallet["status"] == "CLOSED" for wallet in await ledger.wallets_of(database, [ann]))
    names = ("users", "transfers", "identities", "merchants", "payment_requests")
    left = str([await database.find(name, {}, limit=1_000) for name in names])
    for personal in ("Ann Ament", "Likes ferries", "example.org/a.png", "for the ferry"):
        assert personal not in left
    assert ledger.problem_lines((await ledger.verify(database)).problems) == []


async def test_what_is_personal_is_gone_and_the_ledger_holds(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)
    before = await journal(database)

    await erase_person(ask(None), ann)

    await assert_erased(database, ask, ann, bob, transfer_id)
    after = await journal(database)
    assert after[: len(before)] == before


async def test_what_others_wrote_stays_theirs(database: Database, ask: Ask) -> None:
    ann, bob, _ = await lively(database, ask)
    back = await wallets.open_wallet(ask(bob), currency="EUR")
    paid = await pay(ask, bob, ann, "1", memo="thank you", from_wallet_id=back["_id"])
    await wallets.refund_transfer(ask(ann), idempotency_key=key(), transfer_id=paid["transfer"]["_id"], memo="no need")

    await erase_person(ask(None), ann)

    kept = await of(wallets.transfers_by_id(ask(bob), [paid["transfer"]["_id"]]))
    assert kept is not None
    assert kept["memo"] == "thank you"
    (page,) = await wallets.entries(ask(bob), [back])
    assert not isinstance(page, Exception)
    legs: Any = [edge["node"] for edge in page["edges"]]
    assert [*await wallets.memos(ask(bob), legs)] == [None, "thank you", None]
    (message,) = await database.find("messages", {"sender_id": ann}, limit=2)
    assert message["text"] == "Hi"
    (reply,) = await database.find("posts", {"author_id": bob}, limit=2)
    assert reply["text"] == "Hello Ann"


async def test_receipts_still_verify_without_the_memo(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)

    async def receipt() -> Any:
        shown = await of(wallets.transfers_by_id(ask(bob), [transfer_id]))
        assert shown is not None
        return await of(wallets.receipts(ask(bob), [shown]))

    kept = await receipt()
    await erase_person(ask(None), ann)
    anew = await receipt()

    keys = await ledger.public_keys(database)
    assert ledger.check_receipt(kept, keys)["memo"]["text"] == "for the ferry"
    body = ledger.check_receipt(anew, keys)
    assert "memo" not in body
    assert body["memo_digest"] is not None


async def test_twice_is_once_and_nobody_cannot_be_erased(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)
    await erase_person(ask(None), ann)
    first = await user_of(database, ann)

    await erase_person(later(ask, 3600)(None), ann)

    assert await user_of(database, ann) == first
    await assert_erased(database, ask, ann, bob, transfer_id)
    with pytest.raises(NotFoundError):
        await erase_person(ask(None), NO_USER)


async def refuses(database: Database, ctx: Context, user_id: str, *words: str) -> None:
    before = await user_of(database, user_id)
    with pytest.raises(ConflictError) as refused:
        await erase_person(ctx, user_id)

    assert all(word in refused.value.message for word in words), refused.value.message
    assert await user_of(database, user_id) == before
    assert await database.count("identities", {"user_id": user_id}) == 1
    assert await database.count("person_keys", {"_id": user_id, "destroyed_at": None}) == 1


async def test_money_stands_in_the_way_and_all_of_it_is_named(database: Database, ask: Ask) -> None:
    ann, bob, _ = await lively(database, ask)
    euros = await fill(ask, ann, "2.50")
    yen = await fill(ask, ann, "700", "JPY")

    await refuses(database, ask(None), ann, f"{euros} holds 2.50 EUR", f"{yen} holds 700 JPY")

    await pay(ask, ann, bob, "2.50")
    await refuses(database, ask(None), ann, f"{yen} holds 700 JPY")


async def test_what_is_on_its_way_and_frozen_wallets_stand_in_the_way(database: Database, ask: Ask) -> None:
    ann, _, _ = await lively(database, ask)
    wallet = ledger.wallet_id(ann, "EUR")
    await wallets.top_up_wallet(
        ask(ann), idempotency_key=key(), wallet_id=wallet, amount=amount("5"), source="sandbox:slow"
    )
    await refuses(database, ask(None), ann, f"{wallet} awaits 5.00 EUR")
    frozen = await wallets.open_wallet(ask(ann), currency="USD")
    await freeze(ask, frozen["_id"])
    await refuses(database, ask(None), ann, f"{frozen['_id']} is frozen")


async def test_orders_that_are_not_over_stand_in_the_way(database: Database, ask: Ask) -> None:
    ann, bob, _ = await lively(database, ask)
    await fill(ask, bob, "100")
    bowl = (await database.find("listings", {"seller_id": ann}, limit=1))[0]
    wares = await offer(ask, bob, "Plate")
    sold = await paid_order(ask, bob, line(bowl))
    bought = (await place(ask, ann, line(wares)))["order"]["_id"]

    await refuses(database, ask(None), ann, sold, bought)

    await merchants.cancel_order(ask(bob), order_id=sold)
    await merchants.cancel_order(ask(ann), order_id=bought)
    await erase_person(ask(None), ann)


async def test_an_erased_person_is_paid_asked_followed_and_written_to_no_more(database: Database, ask: Ask) -> None:
    ann, bob, _ = await lively(database, ask)
    await fill(ask, bob, "10")
    await erase_person(ask(None), ann)

    with pytest.raises(NotFoundError):
        await pay(ask, bob, ann, "1")
    with pytest.raises(NotFoundError):
        await pay(ask, bob, ann, "700", amount=amount("700", "JPY"))
    to = wallets.Target(wallet_id=ledger.wallet_id(ann, "EUR"))
    with pytest.raises(TransferRefusedError):
        await wallets.transfer_funds(ask(bob), idempotency_key=key(), amount=amount("1"), to=to)
    with pytest.raises(NotFoundError):
        await wallets.request_payment(ask(bob), idempotency_key=key(), payer_id=ann, amount=amount("1"))
    with pytest.raises(NotFoundError):
        await follow(ask(bob), user_id=ann)
    with pytest.raises(NotFoundError):
        await conversations.start_conversation(ask(bob), member_ids=[ann, bob], title="Us")
    with pytest.raises(UnauthenticatedError):
        await wallets.request_payment(ask(ann), idempotency_key=key(), payer_id=bob, amount=amount("1"), memo="late")


async def test_who_signs_in_again_is_a_new_person(database: Database, ask: Ask) -> None:
    ann, _, _ = await lively(database, ask)
    await erase_person(ask(None), ann)

    again = await sign_in(database, issuer=ISSUER, subject="ann", preferred_username="ann", name="Ann")

    assert again != ann
    assert (await user_of(database, again))["handle"] == "ann"
    ((digest, _),) = await accounts.ended_since(database, None)
    assert "ann" not in digest


async def test_what_was_written_meanwhile_is_swept_up(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)
    await erase_person(ask(None), ann)
    await posts.create_post(ask(ann), text="From another process")
    await accounts.update_profile(database, ann, {"display_name": "Ann Ament"})

    assert await finish_erasures(ask(None)) == 0
    assert (await user_of(database, ann))["erasure"] is not None
    await finish_erasures(later(ask, SETTLED.total_seconds() + 1)(None))

    await assert_erased(database, ask, ann, bob, transfer_id)
    assert "erasure" not in await user_of(database, ann)


async def test_more_than_is_erased_at_once(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)
    for number in range(205):
        await posts.create_post(ask(ann), text=f"Post {number}")

    await erase_person(ask(None), ann)

    await assert_erased(database, ask, ann, bob, transfer_id)


async def test_requests_whose_time_is_over_are_ended_as_such(database: Database, ask: Ask) -> None:
    ann, bob, _ = await lively(database, ask)
    soon = ask(ann).now() + timedelta(seconds=4)
    await wallets.request_payment(
        ask(ann), idempotency_key=key(), payer_id=bob, amount=amount("9"), memo="late", expires_at=soon
    )

    while ask(ann).now() <= soon:  # noqa: ASYNC110
        await asyncio.sleep(0.05)

    await erase_person(ask(None), ann)

    states = [request["state"] for request in await database.find("payment_requests", {"people": ann}, limit=9)]
    assert sorted(states) == ["CANCELLED", "DECLINED", "EXPIRED"]


class DiedError(Exception):
    """The process is no more."""


class Dying(Database):
    """A database whose process dies after so many writes: before the next is done, or with some drivers just after."""

    left = 0

    async def _through(self, operation: Awaitable[Any]) -> Any:
        if self.left <= 0:
            if isinstance(operation, Coroutine):
                operation.close()
            else:
                # It is on its way already. Were it not waited for, it could arrive after what comes next.
                await operation
            raise DiedError
        self.left -= 1
        return await super()._through(operation)


async def test_wherever_the_process_dies_the_sweeper_finishes(
    database: Database, ask: Ask, mongodb_uri: str, mongo_driver: Driver
) -> None:
    dying = cast(Dying, await Dying.connect(mongodb_uri, name=database.name, driver=mongo_driver))
    survived, most = 0, 40
    try:
        for writes in range(most):
            ann, bob, transfer_id = await lively(database, ask, f"ann{writes}")
            dying.left = writes
            with suppress(DiedError):
                await erase_person(replace(ask(None), database=dying), ann)
                survived += 1
            if writes == 0:
                # Nothing may have been noted yet: whoever asked asks again.
                await erase_person(ask(None), ann)
            for seconds in (ABANDONED.total_seconds() + 1, SETTLED.total_seconds() * 2 + 1):
                await finish_erasures(later(ask, seconds)(None))
            await assert_erased(database, ask, ann, bob, transfer_id)
            if survived:
                break
    finally:
        await dying.close()

    assert survived == 1


async def test_of_two_erasures_at_once_the_later_one_decides(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)
    first = await accounts.begin_erasure(database, ann, ask(None).now())
    second = await accounts.begin_erasure(database, ann, ask(None).now())

    await accounts.revert_erasure(database, ann, first)
    assert not await accounts.commit_erasure(database, ann, ask(None).now(), first)
    assert (await user_of(database, ann))["erasure"]["attempt"] == second

    await accounts.revert_erasure(database, ann, second)
    assert "erasure" not in await user_of(database, ann)
    assert await database.count("person_keys", {"_id": ann, "destroyed_at": None}) == 1
    await erase_person(ask(None), ann)
    await assert_erased(database, ask, ann, bob, transfer_id)


class Overtaken(Database):
    """A database in which another erasure begins just before the first commit of one."""

    other = ""

    async def update_one(self, collection: str, filter: Any, update: Any, **options: Any) -> Any:
        if self.other and "erasure.attempt" in filter:
            person_id, self.other = self.other, ""
            await accounts.begin_erasure(self, person_id, update["$set"]["erasure"]["since"])
        return await super().update_one(collection, filter, update, **options)


async def test_who_was_overtaken_destroys_nothing(
    database: Database, ask: Ask, mongodb_uri: str, mongo_driver: Driver
) -> None:
    ann, _, _ = await lively(database, ask)
    overtaken = cast(Overtaken, await Overtaken.connect(mongodb_uri, name=database.name, driver=mongo_driver))
    overtaken.other = ann

    try:
        with pytest.raises(ConflictError, match="Another erasure"):
            await erase_person(replace(ask(None), database=overtaken), ann)
    finally:
        await overtaken.close()

    assert await database.count("person_keys", {"_id": ann, "destroyed_at": None}) == 1
    assert (await user_of(database, ann))["erasure"]["state"] == "CLOSING"
    assert (await user_of(database, ann))["bio"] == "Likes ferries"


async def test_what_is_paid_into_a_new_wallet_meanwhile_goes_back(database: Database, ask: Ask) -> None:
    ann, bob, transfer_id = await lively(database, ask)
    purse = await fill(ask, bob, "700", "JPY")
    await erase_person(ask(None), ann)
    # As a payment does that had found them just before.
    transfer = ledger.Transfer(
        ledger.Party(purse, owner_id=bob),
        ledger.Party(ledger.wallet_id(ann, "JPY"), owner_id=ann),
        700,
        "JPY",
        sender_id=bob,
        recipient_id=ann,
    )
    late = ledger.PostTransfer(ledger.command(bob, key(), "transferFunds", {}), transfer)
    await ask(None).commits[ledger.COMMIT_LOOP].submit(late)

    await finish_erasures(ask(None))

    (wallet,) = await ledger.accounts_by_ids(database, [purse])
    assert wallet is not None
    assert wallet["posted"] == 700
    await assert_erased(database, ask, ann, bob, transfer_id)
    assert "erasure" not in await ended(database, ask, ann)


async def ended(database: Database, ask: Ask, user_id: str) -> Document:
    await finish_erasures(later(ask, SETTLED.total_seconds() + 1)(None))
    return await user_of(database, user_id)


async def test_an_abandoned_erasure_is_taken_back_where_money_came_since(database: Database, ask: Ask) -> None:
    ann, _, _ = await lively(database, ask)
    await accounts.begin_erasure(database, ann, ask(None).now())
    await fill(ask, ann, "1")

    await finish_erasures(later(ask, 1)(None))
    assert (await user_of(database, ann))["erasure"]["state"] == "CLOSING"
    await finish_erasures(later(ask, (ABANDONED + timedelta(seconds=1)).total_seconds())(None))

    user = await user_of(database, ann)
    assert "erasure" not in user
    assert user["handle"] == "ann"
