"""People ask one another for money and answer: happy, denied, replayed, at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from datastores import ledger, merchants
from datastores.errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    NotFoundError,
    TransferRefusedError,
    UnauthenticatedError,
    ValidationError,
)
from datastores.mongo import Database, Document
from datastores.wallets import PaymentRequestDirection, PaymentRequestState
from resolvers import conversations, notifications, wallets
from tests.integration.resolvers.people import NO_USER, Ask, people
from tests.integration.resolvers.wallets.purses import NO_REQUEST, amount, balance, fill, journal, key, later


async def asked(ask: Ask, requester: str, payer: str, text: str = "5", **more: Any) -> Document:
    """A request that was made."""
    given = {"idempotency_key": key(), "payer_id": payer, "amount": amount(text), **more}
    return (await wallets.request_payment(ask(requester), **given))["payment_request"]


async def seen(ask: Ask, viewer: str | None, request: Document) -> Document | None:
    (found,) = await wallets.payment_requests_by_id(ask(viewer), [request["_id"]])
    return found


async def listed(ask: Ask, viewer: str, **more: Any) -> list[str]:
    (page,) = await wallets.payment_requests(ask(viewer), [{"_id": viewer}], **more)
    assert not isinstance(page, Exception), page
    return [edge["node"]["_id"] for edge in page["edges"]]


class TestAsking:
    async def test_both_see_it_and_nobody_else(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")

        request = await asked(ask, ann, bob, memo=" pizza ")

        assert (request["state"], request["memo"], request["amount"]["minor_units"]) == ("OPEN", "pizza", 500)
        assert await seen(ask, ann, request) == await seen(ask, bob, request) == request
        assert await seen(ask, eve, request) is None
        assert await seen(ask, None, request) is None
        assert await wallets.may_attach_payment_request(ask(bob), request["_id"])
        assert not await wallets.may_attach_payment_request(ask(eve), request["_id"])
        (page,) = await notifications.notifications(ask(bob), [{"_id": bob}])
        assert [edge["node"]["kind"] for edge in page["edges"]] == ["payment_request"]

    async def test_replayed_and_at_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        given: dict[str, Any] = {"idempotency_key": "pizza", "payer_id": bob, "amount": amount("5")}

        made = await asyncio.gather(*(wallets.request_payment(ask(ann), **given) for _ in range(20)))

        assert len({each["payment_request"]["_id"] for each in made}) == 1
        assert sum(not each["replayed"] for each in made) == 1
        assert await database.count("payment_requests", {}) == 1
        with pytest.raises(IdempotencyKeyReusedError):
            await wallets.request_payment(ask(ann), **{**given, "amount": amount("6")})

    async def test_a_replay_after_its_time_is_over_is_still_a_replay(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        expires_at = ask(ann).now() + timedelta(hours=1)
        given: dict[str, Any] = {"idempotency_key": "pizza", "expires_at": expires_at}
        first = await asked(ask, ann, bob, **given)

        again = await asked(later(ask, 7_200), ann, bob, **given)

        assert again == {**first, "state": "EXPIRED"}

    async def test_in_a_conversation_one_message_shows_it_to_its_members(self, database: Database, ask: Ask) -> None:
        ann, bob, cat, eve = await people(database, "ann", "bob", "cat", "eve")
        group = await conversations.start_conversation(ask(ann), member_ids=[bob, cat], title="Friends")

        given = {"idempotency_key": "pizza", "conversation_id": group["_id"]}
        request, _ = [await asked(ask, ann, bob, **given) for _ in range(2)]

        found = await database.find("messages", {"conversation_id": group["_id"]}, limit=10)
        assert [each["payment_request_id"] for each in found] == [request["_id"]]
        assert await seen(ask, cat, request) is not None
        assert await seen(ask, eve, request) is None

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"amount": amount("0")}, ["amount", "amount"]),
            ({"amount": amount("0.001")}, ["amount", "amount"]),
            ({"amount": amount("1", "XYZ")}, ["amount", "currency"]),
            ({"memo": "m" * 281}, ["memo"]),
            ({"idempotency_key": ""}, ["idempotencyKey"]),
            ({"payer_id": "ann"}, ["payerId"]),
            ({"expires_at": -1}, ["expiresAt"]),
            ({"expires_at": 367 * 86_400}, ["expiresAt"]),
        ],
    )
    async def test_bad_input(self, database: Database, ask: Ask, change: dict[str, Any], path: list[str]) -> None:
        ann, bob = await people(database, "ann", "bob")
        if change.get("payer_id") == "ann":
            change = {"payer_id": ann}
        if "expires_at" in change:
            change = {"expires_at": ask(ann).now() + timedelta(seconds=change["expires_at"])}

        with pytest.raises(ValidationError) as caught:
            await asked(ask, ann, bob, **change)

        assert caught.value.details["path"] == path
        assert await journal(database) == []

    async def test_denied(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        foreign = await conversations.start_conversation(ask(bob), member_ids=[eve])

        for change in ({"payer_id": NO_USER}, {"payer_id": "x"}, {"conversation_id": foreign["_id"]}):
            with pytest.raises(NotFoundError):
                await asked(ask, ann, bob, **change)
        with pytest.raises(UnauthenticatedError):
            await wallets.request_payment(ask(None), idempotency_key="k", payer_id=bob, amount=amount("1"))

        assert await journal(database) == []


class TestAccepting:
    async def test_pays_by_one_transfer(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, bob, "20")
        request = await asked(ask, ann, bob, memo="pizza")

        moved = await wallets.accept_payment_request(ask(bob), idempotency_key="yes", payment_request_id=request["_id"])
        again = await wallets.accept_payment_request(ask(bob), idempotency_key="yes", payment_request_id=request["_id"])

        closed = await seen(ask, ann, request)
        assert closed is not None
        assert (closed["state"], closed["transfer_id"]) == ("ACCEPTED", moved["transfer"]["_id"])
        assert (moved["transfer"]["memo"], again["replayed"]) == ("pizza", True)
        assert again["transfer"] == moved["transfer"]
        assert await balance(ask, ann) == (500, 500)
        with pytest.raises(ConflictError):
            await wallets.accept_payment_request(ask(bob), idempotency_key="again", payment_request_id=request["_id"])

    async def test_at_once_with_many_keys(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, bob, "100")
        request = await asked(ask, ann, bob)

        moved = await asyncio.gather(
            *(
                wallets.accept_payment_request(
                    ask(bob), idempotency_key=f"yes{n % 10}", payment_request_id=request["_id"]
                )
                for n in range(20)
            ),
            return_exceptions=True,
        )

        posted = [each for each in moved if isinstance(each, dict)]
        assert len(posted) == 2
        assert len({each["transfer"]["_id"] for each in posted}) == 1
        assert sum(isinstance(each, ConflictError) for each in moved) == 18
        assert await balance(ask, ann) == (500, 500)

    async def test_without_money_it_stays_open(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, bob, "1")
        request = await asked(ask, ann, bob)

        with pytest.raises(InsufficientFundsError):
            await wallets.accept_payment_request(ask(bob), idempotency_key="yes", payment_request_id=request["_id"])

        assert await seen(ask, bob, request) == request

    async def test_denied(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        yen = await fill(ask, bob, "100", "JPY")
        request = await asked(ask, ann, bob)

        async def refused(who: str, id: str, error: type[Exception], **more: Any) -> None:
            with pytest.raises(error):
                await wallets.accept_payment_request(ask(who), idempotency_key=key(), payment_request_id=id, **more)

        await refused(ann, request["_id"], ForbiddenError)
        await refused(eve, request["_id"], NotFoundError)
        await refused(bob, NO_REQUEST, NotFoundError)
        await refused(bob, "nonsense", NotFoundError)
        await refused(bob, request["_id"], NotFoundError)
        await refused(bob, request["_id"], TransferRefusedError, from_wallet_id=yen)

    async def test_not_after_its_time(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, bob, "100")
        request = await asked(ask, ann, bob)
        soon = ask(ann).now()
        await database.update_one("payment_requests", {"_id": request["_id"]}, {"$set": {"expires_at": soon}})

        with pytest.raises(ConflictError, match="expired"):
            await wallets.accept_payment_request(ask(bob), idempotency_key="yes", payment_request_id=request["_id"])

        assert await balance(ask, bob) == (10_000, 10_000)


class TestEnding:
    async def test_only_the_payer_declines_and_only_the_requester_cancels(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        one, other = await asked(ask, ann, bob), await asked(ask, ann, bob)

        with pytest.raises(ForbiddenError):
            await wallets.decline_payment_request(ask(ann), payment_request_id=one["_id"])
        with pytest.raises(ForbiddenError):
            await wallets.cancel_payment_request(ask(bob), payment_request_id=one["_id"])
        with pytest.raises(NotFoundError):
            await wallets.cancel_payment_request(ask(eve), payment_request_id=one["_id"])
        with pytest.raises(NotFoundError):
            await wallets.decline_payment_request(ask(eve), payment_request_id=NO_REQUEST)
        for _ in range(2):
            declined = await wallets.decline_payment_request(ask(bob), payment_request_id=one["_id"])
            cancelled = await wallets.cancel_payment_request(ask(ann), payment_request_id=other["_id"])
            assert (declined["state"], cancelled["state"]) == ("DECLINED", "CANCELLED")

        with pytest.raises(ConflictError):
            await wallets.cancel_payment_request(ask(ann), payment_request_id=one["_id"])

    async def test_accepting_declining_and_cancelling_at_once_ends_it_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, bob, "100")
        request = await asked(ask, ann, bob)
        id = request["_id"]

        ends = await asyncio.gather(
            wallets.accept_payment_request(ask(bob), idempotency_key="yes", payment_request_id=id),
            wallets.decline_payment_request(ask(bob), payment_request_id=id),
            wallets.cancel_payment_request(ask(ann), payment_request_id=id),
            return_exceptions=True,
        )

        assert sum(isinstance(each, ConflictError) for each in ends) == 2
        closed = await seen(ask, ann, request)
        assert closed is not None
        assert (await balance(ask, bob) == (9_500, 9_500)) == (closed["state"] == "ACCEPTED")

    async def test_time_ends_it(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        request, other = await asked(ask, ann, bob), await asked(ask, ann, bob)
        now = ask(ann).now()
        await database.update_one("payment_requests", {"_id": request["_id"]}, {"$set": {"expires_at": now}})
        tomorrow = {"$set": {"expires_at": now + timedelta(days=1)}}
        await database.update_one("payment_requests", {"_id": other["_id"]}, tomorrow)

        assert await wallets.expire_payment_requests(ask(None)) == 1

        stored = await database.find_one("payment_requests", {"_id": request["_id"]})
        assert stored is not None
        assert stored["state"] == "EXPIRED"
        assert await wallets.expire_payment_requests(ask(None)) == 0
        assert await database.count("payment_requests", {"state": "OPEN"}) == 1

    async def test_the_ledgers_clock_decides_not_the_sweepers(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await asked(ask, ann, bob, expires_at=ask(ann).now() + timedelta(days=1))

        assert await wallets.expire_payment_requests(later(ask, 2 * 86_400)(None)) == 0

        assert await database.count("payment_requests", {"state": "OPEN"}) == 1


async def test_lists_by_direction_and_state(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    gets = [(await asked(ask, bob, ann))["_id"] for _ in range(2)]
    makes = (await asked(ask, ann, bob))["_id"]
    soon = (await asked(ask, ann, bob, expires_at=ask(ann).now() + timedelta(hours=1)))["_id"]
    await wallets.decline_payment_request(ask(ann), payment_request_id=gets[0])
    after = later(ask, 7_200)

    assert set(await listed(ask, ann)) == {*gets, makes, soon}
    assert set(await listed(ask, ann, direction=PaymentRequestDirection.INCOMING)) == set(gets)
    assert set(await listed(ask, ann, direction=PaymentRequestDirection.OUTGOING)) == {makes, soon}
    assert await listed(ask, ann, state=PaymentRequestState.DECLINED) == [gets[0]]
    assert set(await listed(ask, ann, state=PaymentRequestState.OPEN)) == {gets[1], makes, soon}
    assert set(await listed(after, ann, state=PaymentRequestState.OPEN)) == {gets[1], makes}
    assert await listed(after, ann, state=PaymentRequestState.EXPIRED) == [soon]
    (page,) = await wallets.payment_requests(ask(ann), [{"_id": ann}], first=3)
    assert not isinstance(page, Exception)
    rest = await listed(ask, ann, first=3, after=page["page_info"]["end_cursor"])
    assert {edge["node"]["_id"] for edge in page["edges"]} | set(rest) == {*gets, makes, soon}
    (failed,) = await wallets.payment_requests(ask(ann), [{"_id": ann}], first=-1)
    assert isinstance(failed, ValidationError)


async def test_what_concerns_a_merchant_is_in_its_feed_and_nothing_else(database: Database, ask: Ask) -> None:
    ann, bob, eve = await people(database, "ann", "bob", "eve")
    shop = merchants.merchant_document(owner_id=ann, name="Shop", description="", created_at=ask(ann).now())
    await merchants.open_merchant(database, shop)
    mer = shop["_id"]
    await fill(ask, bob, "20")
    accepted, declined = await asked(ask, ann, bob), await asked(ask, ann, bob)
    poor = await asked(ask, ann, eve)
    await wallets.open_wallet(ask(eve), currency="EUR")

    await asked(ask, eve, bob)
    moved = await wallets.accept_payment_request(ask(bob), idempotency_key="y", payment_request_id=accepted["_id"])
    await wallets.decline_payment_request(ask(bob), payment_request_id=declined["_id"])
    with pytest.raises(InsufficientFundsError):
        await wallets.accept_payment_request(ask(eve), idempotency_key="y", payment_request_id=poor["_id"])
    await wallets.refund_transfer(ask(ann), idempotency_key="r", transfer_id=moved["transfer"]["_id"])

    events = await ledger.events_after(database, [mer], 0, None, 100)
    assert [event["event_type"] for event in events] == [
        "payment.requested",
        "payment.requested",
        "payment.requested",
        "payment.completed",
        "payment.refused",
        "payment.refused",
        "payment.refunded",
    ]
    before = [await ledger.previous_seq(database, [mer], event["seq"], None) for event in events]
    assert before == [None, *(event["seq"] for event in events[:-1])]
    refused = await ledger.events_after(database, [mer], 0, ["payment.refused"], 100)
    assert [await ledger.previous_seq(database, [mer], refused[1]["seq"], ["payment.refused"])] == [refused[0]["seq"]]
    assert await ledger.last_seq(database, [mer], None) == events[-1]["seq"]
    assert await ledger.events_after(database, [merchants.merchant_id(bob)], 0, None, 100) == []
