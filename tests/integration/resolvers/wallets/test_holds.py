"""People promise one another money, capture it and give it back: happy, denied, replayed, at once, and in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores.commit import CommitLoops
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
from datastores.ledger import EntryState, WalletStatus
from datastores.mongo import Database, Document
from resolvers import conversations, merchants, notifications, partners, wallets
from resolvers.context import PAYMENTS_READ, Context, Viewer
from resolvers.wallets import MoneyMoved, Target
from tests.integration.resolvers.listening import heard
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
    transfer,
)

NOON = datetime(2026, 1, 1, 12)


class Days:
    """A time that a test moves, and contexts in which it is the time, also of the ledger."""

    def __init__(self, database: Database, ask: Ask) -> None:
        self.time = NOON
        self.commits = CommitLoops(database, self.now)
        self._ask = ask

    def now(self) -> datetime:
        return self.time

    def ask(self, user_id: str | None) -> Context:
        return replace(self._ask(user_id), commits=self.commits, now=self.now)


@pytest.fixture
async def days(database: Database, ask: Ask) -> AsyncIterator[Days]:
    days = Days(database, ask)
    yield days
    await days.commits.drain()


async def hold(ask: Ask, payer: str, payee: str, text: str = "6", **more: Any) -> MoneyMoved:
    """A hold between two people."""
    given = {"idempotency_key": key(), "amount": amount(text), "to": Target(user_id=payee), **more}
    return await wallets.hold_funds(ask(payer), **given)


async def held(database: Database, ask: Ask, text: str = "6", **more: Any) -> tuple[str, str, str]:
    """Two people, the first with 10 EUR, of which this much is held for the other; and the id of the hold."""
    ann, bob = await people(database, "ann", "bob")
    await fill(ask, ann, "10")
    return ann, bob, (await hold(ask, ann, bob, text, **more))["transfer"]["_id"]


async def capture(ask: Ask, who: str | None, id: str, text: str | None = None, **more: Any) -> MoneyMoved:
    given = {"idempotency_key": key(), "transfer_id": id, "amount": amount(text) if text else None, **more}
    return await wallets.capture_hold(ask(who), **given)


async def void(ask: Ask, who: str | None, id: str, **more: Any) -> MoneyMoved:
    return await wallets.void_hold(ask(who), **{"idempotency_key": key(), "transfer_id": id, **more})


async def kinds(ask: Ask, user_id: str) -> list[str]:
    """Of what a person was told, newest first."""
    (page,) = await notifications.notifications(ask(user_id), [{"_id": user_id}])
    return [edge["node"]["kind"] for edge in page["edges"]]


async def amounts(ask: Ask, user_id: str) -> tuple[int, int, int]:
    """What a person has posted, on its way out and on its way in; minor units."""
    (wallet,) = await wallets.wallet(ask(user_id), [{"_id": user_id}], currency="EUR")
    assert wallet is not None
    return tuple(wallet[name]["minor_units"] for name in ("posted", "pending_out", "pending_in"))  # type: ignore[return-value]


def eur(minor_units: int) -> dict[str, Any]:
    return {"minor_units": minor_units, "currency": "EUR"}


class TestHolding:
    async def test_the_money_is_promised_and_can_be_spent_for_nothing_else(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        wallet_id = await fill(ask, ann, "10")

        made = await hold(ask, ann, bob, "6", memo=" A room ")

        shown = made["transfer"]
        assert (shown["state"], shown["kind"], shown["memo"]) == ("PENDING", "HOLD", "A room")
        assert (shown["amount"], shown["captured_amount"], shown["refunded_amount"]) == (eur(600), eur(0), None)
        assert shown["expires_at"] - shown["created_at"] == timedelta(days=7)
        assert made["wallet"] is not None
        assert (made["wallet"]["posted"], made["wallet"]["available"]) == (eur(1000), eur(400))
        assert await transfer(ask, ann, shown["_id"]) == shown
        assert await transfer(ask, bob, shown["_id"]) == shown
        assert await transfer(ask, (await people(database, "eve"))[0], shown["_id"]) is None
        assert (await amounts(ask, ann), await amounts(ask, bob)) == ((1000, 600, 0), (0, 0, 600))
        assert await deltas(ask, ann, wallet_id) == [-600, 1000, 1000]
        assert await kinds(ask, bob) == ["hold"]
        with pytest.raises(InsufficientFundsError):
            await hold(ask, ann, bob, "4.01")

    async def test_it_may_end_sooner_or_later(self, database: Database, days: Days) -> None:
        expires_at = NOON + timedelta(days=30)

        _, _, id = await held(database, days.ask, expires_at=expires_at)

        assert (await transfer(days.ask, (await people(database, "x"))[0], id)) is None
        found = await database.find_one("transfers", {"_id": id})
        assert found is not None
        assert found["expires_at"] == expires_at

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"idempotency_key": ""}, ValidationError),
            ({"amount": amount("0")}, ValidationError),
            ({"amount": amount("1.001")}, ValidationError),
            ({"amount": amount("1", "XXQ")}, ValidationError),
            ({"memo": "m" * 281}, ValidationError),
            ({"to": Target()}, ValidationError),
            ({"to": Target(user_id=NO_USER)}, NotFoundError),
            ({"to": Target(wallet_id=NO_WALLET)}, NotFoundError),
            ({"from_wallet_id": NO_WALLET}, NotFoundError),
            ({"amount": amount("1", "CHF")}, NotFoundError),
            ({"conversation_id": "cnv_01JD0000000000000000000000"}, NotFoundError),
            ({"expires_at": datetime(2026, 1, 1, 12)}, ValidationError),
            ({"expires_at": datetime(2026, 1, 31, 12, 0, 0, 1000)}, ValidationError),
        ],
        ids=str,
    )
    async def test_what_cannot_be_held_uses_no_key(
        self, database: Database, days: Days, given: dict[str, Any], error: type[Exception]
    ) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(days.ask, ann, "10")
        before = len(await journal(database))

        with pytest.raises(error):
            await hold(days.ask, ann, bob, **{"idempotency_key": "k", **given})

        assert len(await journal(database)) == before
        if given.get("idempotency_key", "k"):
            assert not (await hold(days.ask, ann, bob, idempotency_key="k"))["replayed"]

    async def test_nobody_holds_for_themselves_nor_unasked(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        await fill(ask, ann, "10")

        with pytest.raises(ValidationError):
            await hold(ask, ann, ann)
        with pytest.raises(UnauthenticatedError):
            await wallets.hold_funds(ask(None), idempotency_key=key(), amount=amount("1"), to=Target(user_id=ann))

    async def test_a_frozen_wallet_promises_nothing(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await freeze(ask, await fill(ask, ann, "10"))

        with pytest.raises(TransferRefusedError) as caught:
            await hold(ask, ann, bob)

        assert caught.value.code == "ACCOUNT_FROZEN"

    async def test_a_key_has_one_hold(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        made = await asyncio.gather(*(hold(ask, ann, bob, "3", idempotency_key="k") for _ in range(8)))

        assert len({each["transfer"]["_id"] for each in made}) == 1
        assert sorted(each["replayed"] for each in made) == [False] + [True] * 7
        assert await amounts(ask, ann) == (1000, 300, 0)
        for other in ({"expires_at": datetime(2100, 1, 1)}, {"memo": "x"}, {"amount": amount("4")}):
            with pytest.raises(IdempotencyKeyReusedError):
                await hold(ask, ann, bob, "3", idempotency_key="k", **other)

    async def test_a_replay_answers_when_its_time_is_over(self, database: Database, days: Days) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(days.ask, ann, "10")
        given: dict[str, Any] = {"idempotency_key": "k", "expires_at": NOON + timedelta(hours=1)}
        made = await hold(days.ask, ann, bob, **given)
        days.time += timedelta(days=1)

        again = await hold(days.ask, ann, bob, **given)

        assert (again["replayed"], again["transfer"]["_id"]) == (True, made["transfer"]["_id"])

    async def test_many_at_once_promise_no_more_than_there_is(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")

        made = await asyncio.gather(*(hold(ask, ann, bob, "3") for _ in range(8)), return_exceptions=True)

        assert sum(not isinstance(each, Exception) for each in made) == 3
        assert sum(isinstance(each, InsufficientFundsError) for each in made) == 5
        assert await amounts(ask, ann) == (1000, 900, 0)

    async def test_in_a_conversation_it_posts_one_message(self, database: Database, ask: Ask) -> None:
        ann, bob, cat = await people(database, "ann", "bob", "cat")
        await fill(ask, ann, "10")
        started = await conversations.start_conversation(ask(ann), member_ids=[bob, cat], title="Trip")
        chat = started["_id"]

        given = {"conversation_id": chat, "memo": "A room"}
        made = [await hold(ask, ann, bob, idempotency_key="k", **given) for _ in range(2)]

        id = made[1]["transfer"]["_id"]
        (now,) = await conversations.by_id(ask(cat), [chat])
        assert now is not None
        (page,) = await conversations.messages(ask(cat), [now])
        assert not isinstance(page, Exception)
        assert [edge["node"]["transfer_id"] for edge in page["edges"]] == [id]
        shown = await transfer(ask, cat, id)
        assert shown is not None
        assert (shown["memo"], shown["state"]) == ("A room", "PENDING")
        assert not {"captured_amount", "expires_at", "from_id"} & set(shown)


class TestCapturing:
    async def test_in_parts_to_the_end(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)

        first = await capture(ask, bob, id, "2")
        last = await capture(ask, bob, id)

        assert [each["transfer"]["state"] for each in (first, last)] == ["PENDING", "POSTED"]
        assert [each["transfer"]["captured_amount"] for each in (first, last)] == [eur(200), eur(600)]
        wallets_then = [each["wallet"] for each in (first, last)]
        assert [w and (w["posted"], w["pending_in"]) for w in wallets_then] == [
            (eur(200), eur(400)),
            (eur(600), eur(0)),
        ]
        assert (await balance(ask, ann), await balance(ask, bob)) == ((400, 400), (600, 600))
        assert await deltas(ask, bob, first["wallet"]["_id"] if first["wallet"] else "") == [400, 200, 600]
        assert await kinds(ask, ann) == ["hold_captured"]

    async def test_a_final_part_gives_back_the_rest(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)

        done = await capture(ask, bob, id, "2", final=True)

        assert (done["transfer"]["state"], done["transfer"]["captured_amount"]) == ("POSTED", eur(200))
        assert done["wallet"] is not None
        assert (done["wallet"]["posted"], done["wallet"]["pending_in"]) == (eur(200), eur(0))
        assert (await amounts(ask, ann), await amounts(ask, bob)) == ((800, 0, 0), (200, 0, 0))
        (wallet,) = await wallets.wallet(ask(ann), [{"_id": ann}], currency="EUR")
        assert wallet is not None
        assert (await deltas(ask, ann, wallet["_id"]))[:3] == [400, -200, -600]

    async def test_the_cursor_is_past_all_that_it_did(self, database: Database, live: Ask) -> None:
        _, bob, id = await held(database, live)
        part = await capture(live, bob, id, "1")
        done = await capture(live, bob, id, "2", final=True)
        await fill(live, bob, "1")

        after = await heard(wallets.balance_changed(live(bob), after=done["cursor"]), 1)
        after_part = await heard(wallets.balance_changed(live(bob), after=part["cursor"]), 3)

        assert [event["entry"]["kind"] for event in after] == ["TOP_UP"]
        assert [event["entry"]["kind"] for event in after_part] == ["CAPTURE", "VOID", "TOP_UP"]

    async def test_only_who_is_promised_it_captures_or_gives_back(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)
        (eve,) = await people(database, "eve")

        for act in (capture, void):
            with pytest.raises(ForbiddenError):
                await act(ask, ann, id)
            with pytest.raises(NotFoundError):
                await act(ask, eve, id)
            with pytest.raises(UnauthenticatedError):
                await act(ask, None, id)
        assert await amounts(ask, bob) == (0, 0, 600)
        assert not (await capture(ask, bob, id))["replayed"]

    @pytest.mark.parametrize("id", ["", "nonsense", NO_TRANSFER, "ent_01JD0000000000000000000000", "trf_\x00"])
    async def test_a_hold_that_is_none_is_not_found(self, database: Database, ask: Ask, id: str) -> None:
        (bob,) = await people(database, "bob")

        for act in (capture, void):
            with pytest.raises(NotFoundError):
                await act(ask, bob, id)

    async def test_a_transfer_that_is_no_hold_is_not_found(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(ask, ann, "10")
        given = {"idempotency_key": key(), "amount": amount("1"), "to": Target(user_id=bob)}
        paid = (await wallets.transfer_funds(ask(ann), **given))["transfer"]["_id"]  # type: ignore[arg-type]
        with pytest.raises(InsufficientFundsError):
            await hold(ask, ann, bob, "99", idempotency_key="poor")
        refused = next(entry for entry in await journal(database) if entry["key"] == "poor")

        for id in (paid, ledger.sibling_id(refused["_id"], "trf")):
            with pytest.raises(NotFoundError):
                await capture(ask, bob, id)

    async def test_another_currency_is_refused_and_uses_no_key(self, database: Database, ask: Ask) -> None:
        _, bob, id = await held(database, ask)

        with pytest.raises(TransferRefusedError) as caught:
            await capture(ask, bob, id, idempotency_key="k", amount=amount("1", "CHF"))

        assert caught.value.code == "CURRENCY_MISMATCH"
        assert not (await capture(ask, bob, id, "1", idempotency_key="k"))["replayed"]

    @pytest.mark.parametrize("text", ["6.01", "92233720368547758.07"])
    async def test_more_than_is_held_is_refused_for_ever(self, database: Database, ask: Ask, text: str) -> None:
        _, bob, id = await held(database, ask)

        for _ in range(2):
            with pytest.raises(TransferRefusedError) as caught:
                await capture(ask, bob, id, text, idempotency_key="k")
            assert caught.value.code == "AMOUNT_EXCEEDS_HOLD"

        assert await amounts(ask, bob) == (0, 0, 600)

    @pytest.mark.parametrize("text", ["0", "-1", "0.001"])
    async def test_an_amount_that_is_none_is_not_acceptable(self, database: Database, ask: Ask, text: str) -> None:
        _, bob, id = await held(database, ask)

        with pytest.raises(ValidationError):
            await capture(ask, bob, id, text)

    async def test_a_key_captures_once(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)

        done = await asyncio.gather(*(capture(ask, bob, id, "1", final=True, idempotency_key="k") for _ in range(8)))

        assert sorted(each["replayed"] for each in done) == [False] + [True] * 7
        assert len({each["cursor"] for each in done}) == 1
        assert (await amounts(ask, ann), await amounts(ask, bob)) == ((900, 0, 0), (100, 0, 0))
        for other in ({"final": False}, {"amount": amount("2"), "final": True}):
            with pytest.raises(IdempotencyKeyReusedError):
                await capture(ask, bob, id, "1", idempotency_key="k", **other)
        with pytest.raises(IdempotencyKeyReusedError):
            await void(ask, bob, id, idempotency_key="k")

    async def test_many_at_once_capture_no_more_than_is_held(self, database: Database, ask: Ask) -> None:
        _, bob, id = await held(database, ask)

        done = await asyncio.gather(*(capture(ask, bob, id, "2.50") for _ in range(8)), return_exceptions=True)

        assert sum(not isinstance(each, Exception) for each in done) == 2
        assert {each.code for each in done if isinstance(each, TransferRefusedError)} == {"AMOUNT_EXCEEDS_HOLD"}
        assert await amounts(ask, bob) == (500, 0, 100)
        assert (await ledger.verify(database)).problems == []

    @pytest.mark.parametrize("whose", ["ann", "bob"])
    async def test_a_frozen_wallet_stops_it(self, database: Database, ask: Ask, whose: str) -> None:
        ann, bob, id = await held(database, ask)
        wallet = ledger.wallet_id(ann if whose == "ann" else bob, "EUR")
        await freeze(ask, wallet)

        with pytest.raises(TransferRefusedError) as caught:
            await capture(ask, bob, id, "1")
        await freeze(ask, wallet, WalletStatus.OPEN)

        assert caught.value.code == "ACCOUNT_FROZEN"
        assert (await capture(ask, bob, id, "1"))["transfer"]["captured_amount"] == eur(100)

    async def test_a_refusal_is_among_the_entries_of_who_was_refused(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)
        with pytest.raises(TransferRefusedError):
            await capture(ask, bob, id, "7")

        mine, theirs = ledger.wallet_id(bob, "EUR"), ledger.wallet_id(ann, "EUR")

        assert await deltas(ask, bob, mine, states=[EntryState.REFUSED]) == [700]
        assert await deltas(ask, ann, theirs, states=[EntryState.REFUSED]) == []

    async def test_each_capture_has_a_receipt_that_verifies(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask, memo="A room")
        receipts: list[Document] = []
        for text in ("2", "1"):
            done = await capture(ask, bob, id, text, final=text == "1")
            (receipt,) = await wallets.receipts(ask(bob), [done["transfer"]])
            assert receipt is not None
            receipts.append(receipt)

        keys = await ledger.public_keys(database)
        bodies = [ledger.check_receipt(receipt, keys) for receipt in receipts]

        assert [(body["kind"], body["amount"]) for body in bodies] == [("CAPTURE", "200"), ("CAPTURE", "100")]
        assert {body["memo"]["text"] for body in bodies} == {"A room"}
        (of_payer,) = await wallets.receipts(ask(ann), [await transfer(ask, ann, id) or {}])
        assert of_payer is not None
        assert of_payer["entry_hash"] == receipts[1]["entry_hash"]


class TestGivingBack:
    async def test_by_who_was_promised_it(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)

        done = await void(ask, bob, id)

        assert done["transfer"]["state"] == "VOIDED"
        assert done["wallet"] is not None
        assert done["wallet"]["pending_in"] == eur(0)
        assert (await amounts(ask, ann), await amounts(ask, bob)) == ((1000, 0, 0), (0, 0, 0))
        assert await kinds(ask, ann) == ["hold_voided"]

    async def test_what_was_captured_stays(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)
        await capture(ask, bob, id, "2")

        done = await void(ask, bob, id)

        assert (done["transfer"]["state"], done["transfer"]["captured_amount"]) == ("POSTED", eur(200))
        assert (await amounts(ask, ann), await amounts(ask, bob)) == ((800, 0, 0), (200, 0, 0))

    async def test_a_key_gives_back_once(self, database: Database, ask: Ask) -> None:
        _, bob, id = await held(database, ask)

        done = await asyncio.gather(*(void(ask, bob, id, idempotency_key="k") for _ in range(8)))

        assert sorted(each["replayed"] for each in done) == [False] + [True] * 7
        assert await amounts(ask, bob) == (0, 0, 0)

    async def test_at_once_with_captures_there_is_one_end(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)

        done = await asyncio.gather(
            *(act(ask, bob, id) for act in (void, capture, void, capture)), return_exceptions=True
        )

        assert sum(not isinstance(each, Exception) for each in done) == 1
        assert {each.code for each in done if isinstance(each, TransferRefusedError)} == {"HOLD_RESOLVED"}
        assert (await amounts(ask, ann))[1:] == (0, 0)
        assert sum(entry["final"] for entry in await journal(database) if entry["kind"] != "TOP_UP") == 1

    @pytest.mark.parametrize("first", ["capture", "void"])
    async def test_after_the_end_there_is_nothing(self, database: Database, ask: Ask, first: str) -> None:
        _, bob, id = await held(database, ask)
        await (capture if first == "capture" else void)(ask, bob, id)

        for act in (capture, void, capture, void):
            with pytest.raises(TransferRefusedError) as caught:
                await act(ask, bob, id)
            assert caught.value.code == "HOLD_RESOLVED"

    async def test_frozen_wallets_do_not_keep_it(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)
        for who in (ann, bob):
            await freeze(ask, ledger.wallet_id(who, "EUR"))

        assert (await void(ask, bob, id))["transfer"]["state"] == "VOIDED"
        assert (await amounts(ask, ann))[:2] == (1000, 0)


class TestExpiring:
    async def test_what_is_overdue_goes_back_by_itself(self, database: Database, days: Days) -> None:
        ann, bob, id = await held(database, days.ask, "6")
        other = (await hold(days.ask, ann, bob, "1", expires_at=NOON + timedelta(days=8)))["transfer"]["_id"]
        await capture(days.ask, bob, id, "2")

        before = await wallets.expire_holds(days.ask(None))
        days.time += timedelta(days=7)
        expired = [await wallets.expire_holds(days.ask(None)) for _ in range(2)]

        assert (before, expired) == (0, [1, 0])
        states = [(await transfer(days.ask, ann, each) or {})["state"] for each in (id, other)]
        assert states == ["POSTED", "PENDING"]
        assert (await amounts(days.ask, ann), await amounts(days.ask, bob)) == ((800, 100, 0), (200, 0, 100))
        with pytest.raises(TransferRefusedError) as caught:
            await capture(days.ask, bob, id, "1")
        assert caught.value.code == "HOLD_EXPIRED"
        assert (await ledger.verify(database)).problems == []

    async def test_too_late_is_too_late_before_the_sweeper_comes(self, database: Database, days: Days) -> None:
        _, bob, id = await held(database, days.ask)
        days.time += timedelta(days=7)

        for act in (capture, void):
            with pytest.raises(TransferRefusedError) as caught:
                await act(days.ask, bob, id)
            assert caught.value.code == "HOLD_EXPIRED"

        assert await wallets.expire_holds(days.ask(None)) == 1

    async def test_a_hundred_at_a_time(self, database: Database, days: Days) -> None:
        ann, bob = await people(database, "ann", "bob")
        await fill(days.ask, ann, "10")
        await asyncio.gather(*(hold(days.ask, ann, bob, "0.01") for _ in range(103)))
        days.time += timedelta(days=8)

        assert [await wallets.expire_holds(days.ask(None)) for _ in range(3)] == [100, 3, 0]
        assert await amounts(days.ask, ann) == (1000, 0, 0)


class TestRefunding:
    async def test_what_was_captured_and_no_more(self, database: Database, ask: Ask) -> None:
        ann, bob, id = await held(database, ask)
        given: dict[str, Any] = {"transfer_id": id}
        refund = wallets.refund_transfer

        with pytest.raises(ConflictError):
            await refund(ask(bob), idempotency_key=key(), **given)
        await capture(ask, bob, id, "2", final=True)
        with pytest.raises(ConflictError):
            await refund(ask(bob), idempotency_key=key(), amount=amount("2.01"), **given)
        with pytest.raises(ForbiddenError):
            await refund(ask(ann), idempotency_key=key(), **given)
        done = await refund(ask(bob), idempotency_key=key(), **given)

        assert done["transfer"]["amount"] == eur(200)
        shown = await transfer(ask, ann, id)
        assert shown is not None
        assert (shown["state"], shown["refunded_amount"]) == ("REFUNDED", eur(200))
        assert (await amounts(ask, ann), await amounts(ask, bob)) == ((1000, 0, 0), (0, 0, 0))
        assert (await ledger.verify(database)).problems == []


async def test_merchants_and_their_partners_see_each_step(database: Database, days: Days) -> None:
    ann, carol = await people(database, "ann", "carol")
    await fill(days.ask, ann, "10")
    shop = (await merchants.open_merchant(days.ask(carol), name="Tea"))["_id"]
    kept, left = [(await hold(days.ask, ann, carol, "3", memo="Secret"))["transfer"]["_id"] for _ in range(2)]
    await capture(days.ask, carol, kept, "1")
    with pytest.raises(TransferRefusedError):
        await capture(days.ask, carol, kept, "3")
    await capture(days.ask, carol, kept, "1", final=True)
    days.time += timedelta(days=7)
    await wallets.expire_holds(days.ask(None))

    page = await partners.payment_events(days.ask(carol))
    viewer = Viewer("partner", None, "ptn_01JD0000000000000000000000", (shop,), frozenset({PAYMENTS_READ}))
    watching = replace(days.ask(None), viewer=viewer)
    (seen,) = await wallets.transfers_by_id(watching, [kept])

    events = [edge["node"] for edge in page["edges"]]
    assert [(e["type"], e["event_amount"]["minor_units"], e["transfer_id"]) for e in events] == [
        ("payment.held", 300, kept),
        ("payment.held", 300, left),
        ("payment.captured", 100, kept),
        ("payment.captured", 100, kept),
        ("payment.voided", 100, kept),
        ("payment.voided", 300, left),
    ]
    assert seen is not None
    assert (seen["captured_amount"], seen["expires_at"]) == (eur(200), NOON + timedelta(days=7))
    assert "memo" not in seen
