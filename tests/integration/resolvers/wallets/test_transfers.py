"""People pay one another and send back: happy, denied, replayed, at once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, cast

import pytest

from datastores.errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    LimitExceededError,
    NotFoundError,
    OutcomeUnknownError,
    TransferRefusedError,
    UnauthenticatedError,
    ValidationError,
)
from datastores.ledger import verify
from datastores.mongo import Database
from resolvers import conversations, notifications, wallets
from resolvers.wallets import Target, acting
from tests.integration.resolvers.people import NO_USER, Ask, people
from tests.integration.resolvers.wallets.purses import (
    NO_TRANSFER,
    NO_WALLET,
    amount,
    balance,
    deltas,
    fill,
    freeze,
    journal,
    key,
    pay,
    transfer,
)


class TestPaying:
    async def test_money_moves_and_the_payees_wallet_opens(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        wallet = await fill(ask, ann, "10")

        moved = await pay(ask, ann, bob, "2.50", memo="  for lunch ")

        assert moved["wallet"] is not None
        assert moved["wallet"]["available"] == {"minor_units": 750, "currency": "EUR"}
        shown = moved["transfer"]
        assert (shown["state"], shown["memo"], shown["from_id"]) == ("POSTED", "for lunch", wallet)
        assert await transfer(ask, ann, shown["_id"]) == shown
        assert await balance(ask, bob) == (250, 250)
        assert not moved["replayed"]

    @pytest.mark.parametrize("handle", ["bob", "@Bob"])
    async def test_by_handle(self, database: Database, ask: Ask, handle: str) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        await pay(ask, ann, bob, "1", to=Target(handle=handle))

        assert await balance(ask, bob) == (100, 100)

    async def test_by_a_wallet_that_the_payer_cannot_see(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        wallet = (await wallets.open_wallet(ask(bob), currency="EUR"))["_id"]

        await pay(ask, ann, bob, "1", to=Target(wallet_id=wallet))

        assert await wallets.wallets_by_id(ask(ann), [wallet]) == [None]
        assert await balance(ask, bob) == (100, 100)

    async def test_payee_is_notified_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        moved = [await pay(ask, ann, bob, "1", idempotency_key="once") for _ in range(2)]

        (page,) = await notifications.notifications(ask(bob), [{"_id": bob}])
        told = [(edge["node"]["kind"], edge["node"]["subject_id"]) for edge in page["edges"]]
        assert told == [("transfer", moved[0]["transfer"]["_id"])]

    async def test_all_of_a_wallet_can_be_spent_and_not_a_cent_more(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        with pytest.raises(InsufficientFundsError):
            await pay(ask, ann, bob, "10.01")
        await pay(ask, ann, bob, "10")

        assert await balance(ask, ann) == (0, 0)


BAD_AMOUNTS = [
    ("0", "EUR", "amount"),
    ("-1", "EUR", "amount"),
    ("0.001", "EUR", "amount"),
    ("0.5", "JPY", "amount"),
    ("NaN", "EUR", "amount"),
    ("Infinity", "EUR", "amount"),
    ("1E3", "EUR", "amount"),
    ("92233720368547758.08", "EUR", "amount"),
    ("9" * 60, "EUR", "amount"),
    ("1", "XYZ", "currency"),
    ("1", "eur", "currency"),
]
BAD_INPUT: list[tuple[dict[str, Any], list[str]]] = [
    ({"idempotency_key": ""}, ["idempotencyKey"]),
    ({"idempotency_key": "  "}, ["idempotencyKey"]),
    ({"idempotency_key": "k" * 256}, ["idempotencyKey"]),
    ({"idempotency_key": "\x00"}, ["idempotencyKey"]),
    ({"memo": "m" * 281}, ["memo"]),
    ({"memo": "\ud800"}, ["memo"]),
    ({"to": Target()}, ["to"]),
    ({"to": Target(user_id=NO_USER, handle="bob")}, ["to"]),
    ({"to": Target(handle="ann")}, ["to"]),
]
UNKNOWN: list[dict[str, Any]] = [
    {"to": Target(user_id=NO_USER)},
    {"to": Target(user_id="nonsense")},
    {"to": Target(handle="nobody")},
    {"to": Target(handle="'; drop table")},
    {"to": Target(wallet_id=NO_WALLET)},
    {"to": Target(wallet_id="acct_rail_sandbox_EUR")},
    {"from_wallet_id": NO_WALLET},
    {"from_wallet_id": "acct_rail_sandbox_EUR"},
    {"conversation_id": "cnv_01JD0000000000000000000000"},
    {"conversation_id": "nonsense"},
]


class TestBadInput:
    @pytest.mark.parametrize(("text", "currency", "part"), BAD_AMOUNTS)
    async def test_amount(self, database: Database, ask: Ask, text: str, currency: str, part: str) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        before = len(await journal(database))

        with pytest.raises(ValidationError) as caught:
            await pay(ask, ann, bob, "1", amount={"amount": Decimal(text), "currency": currency})

        assert caught.value.details["path"] == ["amount", part]
        assert len(await journal(database)) == before

    @pytest.mark.parametrize(("change", "path"), BAD_INPUT)
    async def test_other_input(self, database: Database, ask: Ask, change: dict[str, Any], path: list[str]) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        before = len(await journal(database))

        with pytest.raises(ValidationError) as caught:
            await pay(ask, ann, bob, "1", **change)

        assert caught.value.details["path"] == path
        assert len(await journal(database)) == before

    @pytest.mark.parametrize("change", UNKNOWN)
    async def test_what_does_not_exist(self, database: Database, ask: Ask, change: dict[str, Any]) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        before = len(await journal(database))

        with pytest.raises(NotFoundError):
            await pay(ask, ann, bob, "1", **change)

        assert len(await journal(database)) == before

    async def test_nobody_signed_in(self, database: Database, ask: Ask) -> None:
        (bob,) = await people(database, "bob")

        with pytest.raises(UnauthenticatedError):
            await wallets.transfer_funds(ask(None), idempotency_key="k", amount=amount("1"), to=Target(user_id=bob))


class TestDenied:
    async def test_from_a_wallet_of_another(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        foreign = await fill(ask, bob, "10")

        with pytest.raises(NotFoundError):
            await pay(ask, ann, bob, "1", from_wallet_id=foreign)

        assert await balance(ask, bob) == (1_000, 1_000)

    async def test_without_a_wallet_in_the_currency(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        with pytest.raises(NotFoundError, match="EUR"):
            await pay(ask, ann, bob, "1")

    async def test_wallets_in_another_currency(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        mine = await fill(ask, ann, "1000", "JPY")
        theirs = (await wallets.open_wallet(ask(bob), currency="JPY"))["_id"]

        for change in ({"from_wallet_id": mine}, {"to": Target(wallet_id=theirs)}):
            with pytest.raises(TransferRefusedError) as caught:
                await pay(ask, ann, bob, "1", **change)
            assert caught.value.code == "CURRENCY_MISMATCH"

    @pytest.mark.parametrize("who", [0, 1])
    async def test_frozen_wallets(self, database: Database, ask: Ask, who: int) -> None:
        ann, bob = await people(database, "ann", "bob")
        both = [await fill(ask, ann, "10"), await fill(ask, bob, "10")]
        await freeze(ask, both[who])

        for _ in range(2):
            with pytest.raises(TransferRefusedError) as caught:
                await pay(ask, ann, bob, "1", idempotency_key="frozen")
            assert caught.value.code == "ACCOUNT_FROZEN"

    async def test_more_than_a_balance_can_hold(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "9223372036854775800", "JPY")

        with pytest.raises(LimitExceededError):
            await wallets.top_up_wallet(
                ask(ann), idempotency_key="k", wallet_id=wallet, amount=amount("8", "JPY"), source="sandbox:ok"
            )


class TestReplay:
    async def test_the_same_key_is_the_same_transfer(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        first = await pay(ask, ann, bob, "1", idempotency_key="rent", memo="rent")
        again = await pay(ask, ann, bob, "1.00", idempotency_key="rent", memo=" rent")

        assert (first["replayed"], again["replayed"]) == (False, True)
        assert again["transfer"] == first["transfer"]
        assert again["cursor"] == first["cursor"]
        assert await balance(ask, ann) == (900, 900)

    async def test_other_input_under_a_key_that_was_used(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        wallet = await fill(ask, ann, "10")
        moved = await pay(ask, ann, bob, "1", idempotency_key="rent")

        for change in (
            {"to": Target(user_id=eve)},
            {"memo": "rent"},
            {"from_wallet_id": wallet},
            {"amount": amount("2")},
        ):
            with pytest.raises(IdempotencyKeyReusedError):
                await pay(ask, ann, bob, "1", **{"idempotency_key": "rent", **change})
        with pytest.raises(IdempotencyKeyReusedError):
            await wallets.request_payment(ask(ann), idempotency_key="rent", payer_id=bob, amount=amount("1"))
        with pytest.raises(IdempotencyKeyReusedError):
            await wallets.refund_transfer(ask(ann), idempotency_key="rent", transfer_id=moved["transfer"]["_id"])

        assert await balance(ask, ann) == (900, 900)

    async def test_a_refusal_is_replayed_after_the_money_has_come(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "1")
        with pytest.raises(InsufficientFundsError):
            await pay(ask, ann, bob, "5", idempotency_key="rent")

        await fill(ask, ann, "100")
        with pytest.raises(InsufficientFundsError) as caught:
            await pay(ask, ann, bob, "5", idempotency_key="rent")

        assert caught.value.details["available"] == {"minor_units": 100, "currency": "EUR"}

    async def test_what_was_done_stays_done_when_its_reasons_are_gone(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        group = await conversations.start_conversation(ask(bob), member_ids=[ann], title="Rent")
        again = {"idempotency_key": "rent", "conversation_id": group["_id"]}
        first = await pay(ask, ann, bob, "1", **again)

        await conversations.remove_member(ask(bob), conversation_id=group["_id"], user_id=ann)
        replay = await pay(ask, ann, bob, "1", **again)

        assert replay["replayed"]
        assert replay["transfer"]["_id"] == first["transfer"]["_id"]

    async def test_fifty_at_once_with_one_key(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        moved = await asyncio.gather(*(pay(ask, ann, bob, "1", idempotency_key="rent") for _ in range(50)))

        assert len({each["transfer"]["_id"] for each in moved}) == 1
        assert sum(not each["replayed"] for each in moved) == 1
        assert await balance(ask, ann) == (900, 900)

    async def test_sixty_four_at_once_with_funds_for_forty(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "40")

        moved = await asyncio.gather(*(pay(ask, ann, bob, "1") for _ in range(64)), return_exceptions=True)

        assert sum(isinstance(each, InsufficientFundsError) for each in moved) == 24
        assert sum(isinstance(each, dict) for each in moved) == 40
        assert await balance(ask, bob) == (4_000, 4_000)
        assert (await verify(database)).problems == []


class TestInConversation:
    async def test_one_message_shows_the_transfer(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        direct = await conversations.start_conversation(ask(ann), member_ids=[bob])

        given = {"idempotency_key": "rent", "conversation_id": direct["_id"]}
        moved = [await pay(ask, ann, bob, "1", **given) for _ in range(3)]

        found = await database.find("messages", {"conversation_id": direct["_id"]}, limit=10)
        assert [(each["transfer_id"], each["sender_id"]) for each in found] == [(moved[0]["transfer"]["_id"], ann)]
        assert moved[2]["transfer"]["conversation_id"] == direct["_id"]
        assert await database.count("follow_ups", {}) == 0

    async def test_a_conversation_of_others_is_unknown(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        await fill(ask, ann, "10")
        foreign = await conversations.start_conversation(ask(bob), member_ids=[eve])

        with pytest.raises(NotFoundError):
            await pay(ask, ann, bob, "1", conversation_id=foreign["_id"])

        assert await balance(ask, ann) == (1_000, 1_000)

    async def test_members_see_what_was_shown_and_others_nothing(self, database: Database, ask: Ask) -> None:
        ann, bob, cat, eve = await people(database, "ann", "bob", "cat", "eve")
        await fill(ask, ann, "10")
        group = await conversations.start_conversation(ask(ann), member_ids=[bob, cat], title="Friends")

        id = (await pay(ask, ann, bob, "1", memo="lunch", conversation_id=group["_id"]))["transfer"]["_id"]

        seen = await transfer(ask, cat, id)
        assert seen is not None
        assert {name for name, value in seen.items() if value is not None} == {
            "_id",
            "created_at",
            "amount",
            "sender_id",
            "recipient_id",
            "memo",
            "state",
        }
        assert await wallets.receipts(ask(cat), [seen]) == [None]
        assert await transfer(ask, eve, id) is None
        assert await transfer(ask, None, id) is None
        assert not await wallets.may_attach_transfer(ask(cat), id)
        assert await wallets.may_attach_transfer(ask(bob), id)
        await conversations.remove_member(ask(cat), conversation_id=group["_id"], user_id=cat)
        assert await transfer(ask, cat, id) is None


class TestRefunds:
    async def test_in_parts_and_never_more_than_was_paid(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        id = (await pay(ask, ann, bob, "10"))["transfer"]["_id"]

        first = await wallets.refund_transfer(
            ask(bob), idempotency_key="1", transfer_id=id, amount=amount("4"), memo="too much"
        )
        partly = await transfer(ask, ann, id)
        with pytest.raises(ConflictError):
            await wallets.refund_transfer(ask(bob), idempotency_key="2", transfer_id=id, amount=amount("6.01"))
        await wallets.refund_transfer(ask(bob), idempotency_key="3", transfer_id=id)
        whole = await transfer(ask, ann, id)
        for _ in range(2):
            with pytest.raises(ConflictError):
                await wallets.refund_transfer(ask(bob), idempotency_key="4", transfer_id=id)

        assert (first["transfer"]["sender_id"], first["transfer"]["amount"]["minor_units"]) == (bob, 400)
        assert first["transfer"]["memo"] == "too much"
        assert partly is not None
        assert whole is not None
        assert (partly["state"], partly["refunded_amount"]["minor_units"]) == ("POSTED", 400)
        assert (whole["state"], whole["refunded_amount"]["minor_units"]) == ("REFUNDED", 1_000)
        assert await balance(ask, ann) == (1_000, 1_000)

    async def test_replayed(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        id = (await pay(ask, ann, bob, "10"))["transfer"]["_id"]
        given: dict[str, Any] = {"idempotency_key": "1", "transfer_id": id, "amount": amount("4")}

        first = await wallets.refund_transfer(ask(bob), **given)
        again = await wallets.refund_transfer(ask(bob), **given)

        assert again["replayed"]
        assert again["transfer"] == first["transfer"]
        assert await balance(ask, ann) == (400, 400)

    async def test_at_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        id = (await pay(ask, ann, bob, "10"))["transfer"]["_id"]

        moved = await asyncio.gather(
            *(
                wallets.refund_transfer(ask(bob), idempotency_key=key(), transfer_id=id, amount=amount("3"))
                for _ in range(10)
            ),
            return_exceptions=True,
        )

        assert sum(isinstance(each, dict) for each in moved) == 3
        assert sum(isinstance(each, ConflictError) for each in moved) == 7

    async def test_denied(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        wallet = await fill(ask, ann, "10")
        moved = await pay(ask, ann, bob, "5")
        id = moved["transfer"]["_id"]
        refund = await wallets.refund_transfer(ask(bob), idempotency_key="1", transfer_id=id, amount=amount("1"))
        top_up = await wallets.top_up_wallet(
            ask(ann), idempotency_key="t", wallet_id=wallet, amount=amount("1"), source="sandbox:ok"
        )

        async def refused(who: str, transfer_id: str, error: type[Exception], **more: Any) -> None:
            with pytest.raises(error):
                await wallets.refund_transfer(ask(who), idempotency_key=key(), transfer_id=transfer_id, **more)

        await refused(ann, id, ForbiddenError)
        await refused(eve, id, NotFoundError)
        await refused(ann, refund["transfer"]["_id"], ForbiddenError)
        await refused(ann, top_up["transfer"]["_id"], ForbiddenError)
        await refused(bob, NO_TRANSFER, NotFoundError)
        await refused(bob, "nonsense", NotFoundError)
        await refused(bob, id, TransferRefusedError, amount=amount("1", "USD"))
        await refused(bob, id, ValidationError, amount=amount("0"))
        await refused(bob, id, ValidationError, memo="m" * 281)

    async def test_of_money_that_was_spent(self, database: Database, ask: Ask) -> None:
        ann, bob, eve = await people(database, "ann", "bob", "eve")
        await fill(ask, ann, "10")
        id = (await pay(ask, ann, bob, "10"))["transfer"]["_id"]
        await pay(ask, bob, eve, "10")

        with pytest.raises(InsufficientFundsError):
            await wallets.refund_transfer(ask(bob), idempotency_key="1", transfer_id=id)


async def test_an_outcome_that_is_unknown_names_the_key(
    database: Database, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await people(database, "ann", "bob")
    await fill(ask, ann, "10")

    with monkeypatch.context() as impatience:
        impatience.setattr(acting, "ANSWER_TIMEOUT_S", 0)
        with pytest.raises(OutcomeUnknownError) as caught:
            await pay(ask, ann, bob, "1", idempotency_key="rent")

    assert caught.value.details == {"idempotency_key": "rent"}
    assert (await pay(ask, ann, bob, "1", idempotency_key="rent"))["transfer"]["state"] == "POSTED"
    assert await balance(ask, ann) == (900, 900)


async def test_entries_of_a_wallet_by_state_and_in_both_directions(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    wallet = await fill(ask, ann, "10")
    for text in ("1", "2", "3"):
        await pay(ask, ann, bob, text, memo=f"memo {text}")
    with pytest.raises(InsufficientFundsError):
        await pay(ask, ann, bob, "100")

    assert await deltas(ask, ann, wallet) == [-300, -200, -100, 1_000, 1_000]
    assert await deltas(ask, ann, wallet, states=[wallets.EntryState.REFUSED]) == [-10_000]
    assert await deltas(ask, ann, wallet, states=[wallets.EntryState.PENDING]) == [1_000]
    assert await deltas(ask, ann, wallet, states=[]) == []
    (first,) = await wallets.entries(ask(ann), [{"_id": wallet}], first=2)
    assert not isinstance(first, Exception)
    assert first["page_info"]["has_next_page"]
    end = first["page_info"]["end_cursor"]
    assert await deltas(ask, ann, wallet, first=2, after=end) == [-100, 1_000]
    assert await deltas(ask, ann, wallet, last=2) == [1_000, 1_000]
    assert await deltas(ask, ann, wallet, last=1, before=end) == [-300]
    legs = [edge["node"] for edge in first["edges"]]
    assert await wallets.legs_by_id(ask(ann), [leg["_id"] for leg in legs]) == legs
    assert await wallets.legs_by_id(ask(bob), [leg["_id"] for leg in legs]) == [None, None]
    assert await wallets.memos(ask(ann), cast(Any, legs)) == ["memo 3", "memo 2"]
    assert {leg["counterparty_id"] for leg in legs} == {bob}


async def test_entries_of_many_wallets_at_once_and_their_bad_arguments(database: Database, ask: Ask) -> None:
    (ann,) = await people(database, "ann")
    ids = [await fill(ask, ann, "10", currency) for currency in ("EUR", "USD", "CHF")]
    (page,) = await wallets.entries(ask(ann), [{"_id": ids[0]}], first=1)
    assert not isinstance(page, Exception)
    cursor = page["page_info"]["end_cursor"]

    pages = await wallets.entries(ask(ann), [{"_id": id} for id in ids], first=1, after=cursor)
    assert [isinstance(each, ValidationError) for each in pages] == [False, True, True]
    for bad in ({"first": -1}, {"first": 1_000}, {"last": 101}, {"first": 1, "last": 1}, {"after": "nonsense"}):
        (failed,) = await wallets.entries(ask(ann), [{"_id": ids[0]}], **bad)
        assert isinstance(failed, ValidationError)
    (empty,) = await wallets.entries(ask(ann), [{"_id": ids[0]}], first=0)
    assert not isinstance(empty, Exception)
    assert (empty["edges"], empty["page_info"]["has_next_page"]) == ([], True)


async def test_refused_transfer_is_shown_to_its_sender_alone(database: Database, ask: Ask) -> None:
    ann, bob = await people(database, "ann", "bob")
    wallet = await fill(ask, ann, "1")
    with pytest.raises(InsufficientFundsError):
        await pay(ask, ann, bob, "100")
    (page,) = await wallets.entries(ask(ann), [{"_id": wallet}], states=[wallets.EntryState.REFUSED])
    assert not isinstance(page, Exception)
    id = page["edges"][0]["node"]["transfer_id"]

    seen = await transfer(ask, ann, id)

    assert seen is not None
    assert (seen["state"], seen["amount"]["minor_units"]) == ("REFUSED", 10_000)
    assert await transfer(ask, bob, id) is None
    assert not await wallets.may_attach_transfer(ask(bob), id)


async def test_opening_wallets(database: Database, ask: Ask) -> None:
    (ann,) = await people(database, "ann")

    opened = await asyncio.gather(*(wallets.open_wallet(ask(ann), currency="EUR") for _ in range(10)))
    other = await wallets.open_wallet(ask(ann), currency="IQD")

    assert len({wallet["_id"] for wallet in opened}) == 1
    (mine,) = await wallets.wallets(ask(ann), [{"_id": ann}])
    assert [wallet["currency"] for wallet in mine] == ["EUR", "IQD"]
    assert await wallets.wallet(ask(ann), [{"_id": ann}], currency="USD") == [None]
    assert await wallets.wallets_by_id(ask(ann), [other["_id"], NO_WALLET, "x"]) == [other, None, None]
    assert await wallets.wallets_by_id(ask(None), [other["_id"]]) == [None]
    with pytest.raises(ValidationError):
        await wallets.open_wallet(ask(ann), currency="XYZ")
    with pytest.raises(UnauthenticatedError):
        await wallets.open_wallet(ask(None), currency="EUR")
