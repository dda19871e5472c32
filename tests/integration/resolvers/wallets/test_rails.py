"""Money comes in and goes out through a rail that settles, refuses, takes its time, or is not heard."""

from __future__ import annotations

import asyncio
from dataclasses import replace
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
from resolvers import wallets
from resolvers.context import Context
from resolvers.wallets import MoneyMoved
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
        with pytest.raises(ValidationError, match="no rail is connected"):
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
        assert await database.count("follow_ups", {}) == 0
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
        assert await wallets.finish_follow_ups(ask(None)) == 0
        sweepers = (wallets.finish_follow_ups(later(ask, 60)(None)) for _ in range(3))
        assert sum(await asyncio.gather(*sweepers)) >= 1
        assert await balance(ask, ann) == (500, 500)
        settled = await top_up(ask, ann, wallet, f"sandbox:{behaviour}", idempotency_key="k")
        assert (settled["transfer"]["state"], settled["replayed"]) == ("POSTED", True)
        assert await database.count("follow_ups", {}) == 0
        assert (await verify(database)).problems == []

    async def test_withdrawal_is_reserved_meanwhile(self, database: Database, ask: Ask, behaviour: str) -> None:
        ann, wallet = await new_wallet(database, ask)
        await fill(ask, ann, "6")

        await withdraw(ask, ann, wallet, f"sandbox:{behaviour}")

        assert await balance(ask, ann) == (600, 100)
        with pytest.raises(InsufficientFundsError):
            await withdraw(ask, ann, wallet, "sandbox:ok")
        await wallets.finish_follow_ups(later(ask, 60)(None))
        assert await balance(ask, ann) == (100, 100)


async def test_a_rail_that_was_never_asked_is_asked_by_the_sweeper(database: Database, ask: Ask) -> None:
    ann, wallet = await new_wallet(database, ask)
    await top_up(ask, ann, wallet, "sandbox:lost")
    await database.delete_one("sandbox_rail", {})

    await wallets.finish_follow_ups(later(ask, 60)(None))
    assert await balance(ask, ann) == (0, 0)
    await wallets.finish_follow_ups(later(ask, 120)(None))

    assert await balance(ask, ann) == (500, 500)


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
