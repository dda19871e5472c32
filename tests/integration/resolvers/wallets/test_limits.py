"""The deployment's default tier reaches every use case that moves money; what is left is shown to the owner alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from datastores import ledger
from datastores.commit import CommitLoops
from datastores.errors import ConflictError, ForbiddenError, LimitExceededError, NotFoundError, UnauthenticatedError
from datastores.ledger import Tier
from datastores.mongo import Database
from gateway.contexts import Contexts
from gateway.live.hub import Hub
from resolvers import merchants, wallets
from resolvers.context import Viewer
from resolvers.wallets import Target
from tests.integration.resolvers.merchants.shops import check_ledger, line, offer, place
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, balance, fill, key

# More than UNVERIFIED may send at once, and less than it may hold.
MUCH = "60"
Way = Callable[[Ask, str, str], Awaitable[Any]]


async def paying(ask: Ask, ann: str, ben: str) -> Any:
    return lambda strict: wallets.transfer_funds(
        strict(ann), idempotency_key=key(), amount=amount(MUCH), to=Target(user_id=ben)
    )


async def holding(ask: Ask, ann: str, ben: str) -> Any:
    return lambda strict: wallets.hold_funds(
        strict(ann), idempotency_key=key(), amount=amount(MUCH), to=Target(user_id=ben)
    )


async def accepting(ask: Ask, ann: str, ben: str) -> Any:
    asked = await wallets.request_payment(ask(ben), idempotency_key=key(), payer_id=ann, amount=amount(MUCH))
    id = asked["payment_request"]["_id"]
    return lambda strict: wallets.accept_payment_request(strict(ann), idempotency_key=key(), payment_request_id=id)


async def withdrawing(ask: Ask, ann: str, ben: str) -> Any:
    given: dict[str, Any] = {
        "wallet_id": ledger.wallet_id(ann, "EUR"),
        "amount": amount(MUCH),
        "destination": "sandbox:ok",
    }
    return lambda strict: wallets.withdraw_from_wallet(strict(ann), idempotency_key=key(), **given)


async def exchanging(ask: Ask, ann: str, ben: str) -> Any:
    quote = await wallets.quote_exchange(ask(ann), sell_currency="EUR", buy_currency="USD", sell_amount=Decimal(MUCH))
    return lambda strict: wallets.exchange_funds(strict(ann), idempotency_key=key(), quote_id=quote["_id"])


async def ordering(ask: Ask, ann: str, ben: str) -> Any:
    placed = await place(ask, ann, line(await offer(ask, ben, price=MUCH), price=MUCH))
    id = placed["order"]["_id"]
    return lambda strict: merchants.pay_order(strict(ann), idempotency_key=key(), order_id=id)


async def topping_up(ask: Ask, ann: str, ben: str) -> Any:
    given: dict[str, Any] = {"wallet_id": ledger.wallet_id(ann, "EUR"), "amount": amount("51"), "source": "sandbox:ok"}
    return lambda strict: wallets.top_up_wallet(strict(ann), idempotency_key=key(), **given)


@pytest.fixture
def strict(ask: Ask) -> Ask:
    """As `ask`, in a deployment whose default tier is UNVERIFIED."""
    return lambda user_id: replace(ask(user_id), default_tier=Tier.UNVERIFIED)


@pytest.mark.parametrize("way", [paying, holding, accepting, withdrawing, exchanging, ordering, topping_up])
async def test_the_default_tier_limits_every_way(database: Database, ask: Ask, strict: Ask, way: Way) -> None:
    ann, ben = await people(database, "ann", "ben")
    await fill(ask, ann, "100")
    act = await way(ask, ann, ben)

    with pytest.raises(LimitExceededError) as caught:
        await act(strict)

    assert caught.value.details["window"] == ("balance" if way is topping_up else "transaction")
    assert (await balance(ask, ann))[0] == 100_00
    await act(ask)
    await check_ledger(database)


async def test_an_order_waits_while_the_sellers_wallet_is_full(database: Database, ask: Ask, strict: Ask) -> None:
    ann, ben = await people(database, "ann", "ben")
    await fill(ask, ann, "100")
    await fill(ask, ben, "100")
    placed = await place(ask, ann, line(await offer(ask, ben, price=MUCH), price=MUCH))
    id = placed["order"]["_id"]
    await merchants.pay_order(ask(ann), idempotency_key=key(), order_id=id)
    await merchants.ship_order(ask(ben), order_id=id)

    with pytest.raises(ConflictError):
        await merchants.complete_order(strict(ann), order_id=id)
    await wallets.transfer_funds(strict(ben), idempotency_key=key(), amount=amount("20"), to=Target(user_id=ann))
    completed = await merchants.complete_order(strict(ann), order_id=id)

    assert completed["order"]["state"] == "COMPLETED"
    assert (await balance(ask, ben))[0] == 140_00


async def test_what_is_left_is_the_owners_alone_to_see(database: Database, ask: Ask, strict: Ask) -> None:
    ann, ben = await people(database, "ann", "ben")
    await fill(ask, ann, "100")
    await wallets.transfer_funds(strict(ann), idempotency_key=key(), amount=amount("30"), to=Target(user_id=ben))
    theirs: list[Any] = [{"_id": ledger.wallet_id(who, "EUR")} for who in (ann, ben)]

    mine, others = await wallets.limits(strict(ann), theirs)

    assert others is None
    assert mine == {
        "tier": "UNVERIFIED",
        "per_transaction": ledger.money(50_00, "EUR"),
        "per_day": ledger.money(100_00, "EUR"),
        "per_30_days": ledger.money(150_00, "EUR"),
        "max_balance": ledger.money(150_00, "EUR"),
        "left_today": ledger.money(70_00, "EUR"),
        "left_in_30_days": ledger.money(120_00, "EUR"),
    }
    assert await wallets.limits(strict(None), theirs) == [None, None]


async def test_closing_needs_a_person_and_a_wallet_of_theirs(database: Database, ask: Ask) -> None:
    ann, ben = await people(database, "ann", "ben")
    wallet = (await wallets.open_wallet(ask(ann), currency="EUR"))["_id"]

    with pytest.raises(UnauthenticatedError):
        await wallets.close_wallet(ask(None), wallet_id=wallet)
    with pytest.raises(ForbiddenError):
        await wallets.close_wallet(replace(ask(None), viewer=Viewer("partner", partner_id="ptn")), wallet_id=wallet)
    for who, id in ((ben, wallet), (ann, "x"), (ann, ledger.rail_account_id("sandbox", "EUR"))):
        with pytest.raises(NotFoundError):
            await wallets.close_wallet(ask(who), wallet_id=id)
    assert (await wallets.close_wallet(ask(ann), wallet_id=wallet))["status"] == "CLOSED"


async def test_the_gateway_hands_its_default_tier_to_every_context(database: Database, ask: Ask) -> None:
    ctx = ask(None)
    contexts = Contexts(
        database,
        CommitLoops(database),
        Hub(database, {}),
        rails=ctx.rails,
        rates=ctx.rates,
        fees=ctx.fees,
        keys=ctx.keys,
        default_tier=Tier.BASIC,
    )

    assert contexts.of_viewer().default_tier is Tier.BASIC
    assert contexts.of_viewer(Viewer("person", "usr")).default_tier is Tier.BASIC
