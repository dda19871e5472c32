"""Money comes in and goes out through a rail that settles, refuses, takes its time, or is not heard."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from datastores.errors import (
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    NotFoundError,
    TransferRefusedError,
    UnauthenticatedError,
    ValidationError,
)
from datastores.ledger import verify
from datastores.mongo import Database
from datastores.person_keys import destroy_key
from resolvers import wallets
from resolvers.context import Context
from resolvers.wallets import MoneyMoved
from resolvers.wallets.rails import ANSWER_TIMEOUT_S
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import (
    NO_WALLET,
    amount,
    balance,
    deltas,
    fill,
    freeze,
    key,
    later,
    transfer,
)


async def top_up(ask: Ask, user_id: str, wallet_id: str, source: str, **more: Any) -> MoneyMoved:
    given = {"idempotency_key": key(), "wallet_id": wallet_id, "amount": amount("5"), "source": source, **more}
    return await wallets.top_up_wallet(ask(user_id), **given)


async def withdraw(ask: Ask, user_id: str, wallet_id: str, destination: str, **more: Any) -> MoneyMoved:
    given = {"idempotency_key": key(), "wallet_id": wallet_id, "amount": amount("5"), **more}
    return await wallets.withdraw_from_wallet(ask(user_id), destination=destination, **given)


async def new_wallet(database: Database, ask: Ask) -> tuple[str, str]:
    (ann,) = await people(database, "ann")
    return ann, (await wallets.open_wallet(ask(ann), currency="EUR"))["_id"]


async def test_without_a_rail_no_money_comes_or_goes(database: Database, ask: Ask) -> None:
    ann, wallet = await new_wallet(database, ask)

    def without(user_id: str | None) -> Context:
        return replace(ask(user_id), rails=frozenset())

    for act in (top_up, withdraw):
        with pytest.raises(ValidationError, match="No rail is connected"):
            await act(without, ann, wallet, "sandbox:ok")
    assert await balance(ask, ann) == (0, 0)


class TestSettledAtOnce:
    async def test_top_up_and_withdrawal(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)

        came = await top_up(ask, ann, wallet, "sandbox:ok")
        went = await withdraw(ask, ann, wallet, "sandbox:ok", amount=amount("2"))

        assert (came["transfer"]["state"], came["transfer"]["recipient_id"]) == ("POSTED", ann)
        assert (went["transfer"]["state"], went["transfer"]["sender_id"]) == ("POSTED", ann)
        assert came["transfer"]["sender_id"] is None
        assert went["wallet"] is not None
        assert went["wallet"]["posted"]["minor_units"] == 300
        assert await deltas(ask, ann, wallet) == [-200, -200, 500, 500]
        assert await database.count("rail_instructions", {"state": "PENDING"}) == 0
        assert (await verify(database)).problems == []

    async def test_replayed_and_at_once(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)

        moved = await asyncio.gather(*(top_up(ask, ann, wallet, "sandbox:ok", idempotency_key="k") for _ in range(20)))
        again = await top_up(ask, ann, wallet, "sandbox:ok", idempotency_key="k")

        assert len({each["transfer"]["_id"] for each in moved}) == 1
        assert sum(not each["replayed"] for each in moved) == 1
        assert (again["transfer"]["state"], again["replayed"]) == ("POSTED", True)
        assert await balance(ask, ann) == (500, 500)
        assert await database.count("sandbox_rail", {}) == 1
        with pytest.raises(IdempotencyKeyReusedError):
            await top_up(ask, ann, wallet, "sandbox:slow", idempotency_key="k")


class TestRefused:
    async def test_nothing_moves_and_the_refusal_is_replayed(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)
        await fill(ask, ann, "10")

        for _ in range(2):
            with pytest.raises(TransferRefusedError):
                await top_up(ask, ann, wallet, "sandbox:refuse", idempotency_key="in")
            with pytest.raises(TransferRefusedError):
                await withdraw(ask, ann, wallet, "sandbox:refuse", idempotency_key="out")

        assert await balance(ask, ann) == (1_000, 1_000)
        (page,) = await wallets.entries(ask(ann), [{"_id": wallet}], first=2)
        assert not isinstance(page, Exception)
        void = page["edges"][0]["node"]
        assert (void["kind"], void["amount"]["minor_units"]) == ("VOID", 500)
        voided = await transfer(ask, ann, void["transfer_id"])
        assert voided is not None
        assert voided["state"] == "VOIDED"
        assert (await verify(database)).problems == []


@pytest.mark.parametrize("behaviour", ["slow", "lost"])
class TestNotHeardAtOnce:
    async def test_top_up_is_pending_until_the_sweeper_has_asked(
        self, database: Database, ask: Ask, behaviour: str
    ) -> None:
        ann, wallet = await new_wallet(database, ask)

        moved = await top_up(ask, ann, wallet, f"sandbox:{behaviour}", idempotency_key="k")
        again = await top_up(ask, ann, wallet, f"sandbox:{behaviour}", idempotency_key="k")

        assert (moved["transfer"]["state"], again["transfer"]["state"]) == ("PENDING", "PENDING")
        assert await balance(ask, ann) == (0, 0)
        assert moved["wallet"] is not None
        assert moved["wallet"]["pending_in"]["minor_units"] == 500
        assert await wallets.ask_rails(ask(None)) == 0
        sweepers = (wallets.ask_rails(later(ask, 60)(None)) for _ in range(3))
        assert sum(await asyncio.gather(*sweepers)) >= 1
        assert await balance(ask, ann) == (500, 500)
        settled = await top_up(ask, ann, wallet, f"sandbox:{behaviour}", idempotency_key="k")
        assert (settled["transfer"]["state"], settled["replayed"]) == ("POSTED", True)
        assert await database.count("rail_instructions", {"state": "PENDING"}) == 0
        assert (await verify(database)).problems == []

    async def test_withdrawal_is_reserved_meanwhile(self, database: Database, ask: Ask, behaviour: str) -> None:
        ann, wallet = await new_wallet(database, ask)
        await fill(ask, ann, "6")

        await withdraw(ask, ann, wallet, f"sandbox:{behaviour}")

        assert await balance(ask, ann) == (600, 100)
        with pytest.raises(InsufficientFundsError):
            await withdraw(ask, ann, wallet, "sandbox:ok")
        await wallets.ask_rails(later(ask, 60)(None))
        assert await balance(ask, ann) == (100, 100)


async def state_of(ask: Ask, user_id: str, moved: MoneyMoved) -> str:
    found = await transfer(ask, user_id, moved["transfer"]["_id"])
    assert found is not None
    return str(found["state"])


async def test_a_rail_that_was_never_asked_is_asked_by_the_sweeper(database: Database, ask: Ask) -> None:
    ann, wallet = await new_wallet(database, ask)
    await top_up(ask, ann, wallet, "sandbox:missed")
    assert await database.count("sandbox_rail", {"direction": "IN"}) == 0

    await wallets.ask_rails(later(ask, 6)(None))

    assert await balance(ask, ann) == (500, 500)
    assert (await verify(database)).problems == []


@pytest.mark.parametrize(
    "account", ["slow", "slow-refuse", "late", "lost", "missed", "returned", "twice", "ok", "refuse"]
)
class TestEveryBehaviour:
    """Whatever the rail does: one reserve, one end, the same at every replay and for ten at once."""

    async def test_a_top_up_ends_as_the_rail_says(self, database: Database, ask: Ask, account: str) -> None:
        ann, wallet = await new_wallet(database, ask)

        async def once() -> MoneyMoved | Exception:
            try:
                return await top_up(ask, ann, wallet, f"sandbox:{account}", idempotency_key="k")
            except TransferRefusedError as error:
                return error

        first = await asyncio.gather(*(once() for _ in range(10)))
        for seconds in (6, 20, 700):
            await asyncio.gather(*(wallets.ask_rails(later(ask, seconds)(None)) for _ in range(3)))
        again = await once()

        if "refuse" in account:
            assert isinstance(again, TransferRefusedError)
            assert await balance(ask, ann) == (0, 0)
        else:
            assert not isinstance(again, Exception)
            assert (again["transfer"]["state"], again["replayed"]) == ("POSTED", True)
            assert await balance(ask, ann) == (500, 500)
        assert len({one["transfer"]["_id"] for one in first if not isinstance(one, Exception)}) <= 1
        assert await database.count("rail_instructions", {}) == 1
        assert await database.count("entries", {}) == 2
        assert (await verify(database)).problems == []

    async def test_a_withdrawal_is_reserved_until_the_rail_has_spoken(
        self, database: Database, ask: Ask, account: str
    ) -> None:
        ann, wallet = await new_wallet(database, ask)
        await fill(ask, ann, "6")

        for _ in range(2):
            with contextlib.suppress(TransferRefusedError):
                await withdraw(ask, ann, wallet, f"sandbox:{account}", idempotency_key="k")
        at_once = account in ("ok", "returned", "twice")
        assert await balance(ask, ann) == ((100, 100) if at_once else (600, 600 if account == "refuse" else 100))
        for seconds in (6, 20, 700):
            await wallets.ask_rails(later(ask, seconds)(None))

        assert await balance(ask, ann) == ((600, 600) if "refuse" in account else (100, 100))


async def test_the_account_lies_in_no_document_in_the_clear_but_in_the_rails_own_book(
    database: Database, ask: Ask
) -> None:
    ann, wallet = await new_wallet(database, ask)

    await top_up(ask, ann, wallet, "sandbox:slow-refuse")

    for collection in ("rail_instructions", "entries", "transfers", "accounts"):
        for document in await database.find(collection, {}, limit=10):
            assert "slow-refuse" not in repr(document)
    (instruction,) = await database.find("rail_instructions", {}, limit=10)
    assert await ask(None).keys.open(database, [instruction["account"]]) == [b"slow-refuse"]
    await destroy_key(database, ann, ask(None).now())
    ask(None).keys.forget(ann)
    assert await ask(None).keys.open(database, [instruction["account"]]) == [None]


class TestAskingAgain:
    async def test_less_and_less_often_but_never_less_than_hourly(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)
        moved = await top_up(ask, ann, wallet, "sandbox:late")
        await database.update_one("sandbox_rail", {}, {"$set": {"settles_at": ask(None).now() + timedelta(days=3)}})
        waits, elapsed = [], 0.0

        for _ in range(16):
            (instruction,) = await database.find("rail_instructions", {}, limit=1)
            begun = instruction["asked_at"] + timedelta(seconds=elapsed)
            waits.append((instruction["due_at"] - begun).total_seconds())
            elapsed += waits[-1]
            await wallets.ask_rails(replace(ask(None), now=lambda at=instruction["due_at"]: at))  # type: ignore[misc]

        assert waits[:4] == [5, 10, 20, 40]
        assert waits == sorted(waits)
        assert waits[-1] == 3_600
        assert await state_of(ask, ann, moved) == "PENDING"
        assert await balance(ask, ann) == (0, 0)

    async def test_nothing_is_given_back_while_the_rail_has_not_refused(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)
        await fill(ask, ann, "6")
        moved = await withdraw(ask, ann, wallet, "sandbox:late")

        for minute in range(9):
            await wallets.ask_rails(later(ask, minute * 60)(None))
            assert await balance(ask, ann) == (600, 100)
        await wallets.ask_rails(later(ask, 7_200)(None))

        assert await state_of(ask, ann, moved) == "POSTED"
        assert await balance(ask, ann) == (100, 100)

    async def test_of_many_sweepers_one_asks(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)
        await top_up(ask, ann, wallet, "sandbox:late")

        await asyncio.gather(*(wallets.ask_rails(later(ask, 6)(None)) for _ in range(8)))

        (instruction,) = await database.find("rail_instructions", {}, limit=1)
        assert instruction["asks"] == 2

    async def test_a_rail_that_hangs_holds_nobody_up(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)
        began = time.monotonic()
        await asyncio.gather(*(top_up(ask, ann, wallet, "sandbox:silent") for _ in range(10)))
        await top_up(ask, ann, wallet, "sandbox:slow")

        done = await wallets.ask_rails(later(ask, 60)(None))
        took = time.monotonic() - began

        assert done == 1
        assert took < 4 * ANSWER_TIMEOUT_S
        assert await balance(ask, ann) == (500, 500)
        assert await wallets.ask_rails(later(ask, 3 * 3_600)(None)) == 10
        assert await balance(ask, ann) == (5_500, 5_500)

    async def test_an_adapter_that_fails_is_a_rail_that_was_not_heard(
        self, database: Database, ask: Ask, caplog: pytest.LogCaptureFixture
    ) -> None:
        ann, wallet = await new_wallet(database, ask)
        moved = await top_up(ask, ann, wallet, "sandbox:slow")
        await database.update_one("sandbox_rail", {}, {"$unset": {"answers_at": 1}})

        assert await wallets.ask_rails(later(ask, 60)(None)) == 0

        assert "the adapter of the rail sandbox failed" in caplog.text
        assert await state_of(ask, ann, moved) == "PENDING"

    async def test_a_rail_that_is_not_connected_any_more_is_waited_for(
        self, database: Database, ask: Ask, caplog: pytest.LogCaptureFixture
    ) -> None:
        ann, wallet = await new_wallet(database, ask)
        await fill(ask, ann, "6")
        await withdraw(ask, ann, wallet, "sandbox:slow")

        assert await wallets.ask_rails(replace(later(ask, 60)(None), rails=frozenset())) == 0
        assert await balance(ask, ann) == (600, 100)
        assert "not connected" in caplog.text

        assert await wallets.ask_rails(later(ask, 120)(None)) == 1
        assert await balance(ask, ann) == (100, 100)

    async def test_the_first_word_of_a_rail_stands(self, database: Database, ask: Ask) -> None:
        ann, wallet = await new_wallet(database, ask)
        moved = await top_up(ask, ann, wallet, "sandbox:slow-refuse")
        await wallets.ask_rails(later(ask, 60)(None))
        await database.update_one("sandbox_rail", {}, {"$set": {"refused": False}})
        again = {"$set": {"state": "PENDING", "due_at": ask(None).now()}}
        await database.update_one("rail_instructions", {}, again)

        assert await wallets.ask_rails(later(ask, 60)(None)) == 0

        assert await state_of(ask, ann, moved) == "VOIDED"
        assert await balance(ask, ann) == (0, 0)


async def test_denied_and_bad_input(database: Database, ask: Ask) -> None:
    ann, wallet = await new_wallet(database, ask)
    (bob,) = await people(database, "bob")

    for source in ("", "sandbox", "sandbox:", "sandbox:what", "bank:ok", "x" * 10_000):
        with pytest.raises(ValidationError) as caught:
            await top_up(ask, ann, wallet, source)
        assert caught.value.details["path"] == ["source"]
        with pytest.raises(ValidationError) as caught:
            await withdraw(ask, ann, wallet, source)
        assert caught.value.details["path"] == ["destination"]
    for text in ("0", "-1", "0.001"):
        with pytest.raises(ValidationError):
            await top_up(ask, ann, wallet, "sandbox:ok", amount=amount(text))
    for id in (NO_WALLET, "nonsense", "acct_rail_sandbox_EUR"):
        with pytest.raises(NotFoundError):
            await withdraw(ask, ann, id, "sandbox:ok")
    with pytest.raises(NotFoundError):
        await withdraw(ask, bob, wallet, "sandbox:ok")
    with pytest.raises(UnauthenticatedError):
        await wallets.top_up_wallet(
            ask(None), idempotency_key="k", wallet_id=wallet, amount=amount("1"), source="sandbox:ok"
        )
    with pytest.raises(TransferRefusedError) as refused:
        await top_up(ask, ann, wallet, "sandbox:ok", amount=amount("1", "USD"))
    assert refused.value.code == "CURRENCY_MISMATCH"
    with pytest.raises(InsufficientFundsError):
        await withdraw(ask, ann, wallet, "sandbox:ok")
    await freeze(ask, wallet)
    with pytest.raises(TransferRefusedError) as refused:
        await top_up(ask, ann, wallet, "sandbox:ok")
    assert refused.value.code == "ACCOUNT_FROZEN"
    assert await database.count("sandbox_rail", {}) == 0
