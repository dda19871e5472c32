"""What a mutation is about: a transfer, request, order, hold or quote that is open to it, and those that are over."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from datastores.clock import utc_now
from tests.contract.acts import done, eur, key
from tests.contract.ledger.cast import PRICE, Cast

FIELDS: Final[dict[str, str]] = {
    "acceptPaymentRequest": "paymentRequestId",
    "refundTransfer": "transferId",
    "payOrder": "orderId",
    "captureHold": "transferId",
    "voidHold": "transferId",
    "exchangeFunds": "quoteId",
}
# How each can have ended; for a quote also what it sells, where `own` has no wallet in that.
WAYS: Final[dict[str, tuple[str, ...]]] = {
    "acceptPaymentRequest": ("state",),
    "refundTransfer": ("state",),
    "payOrder": ("state",),
    "captureHold": ("hold expired", "hold resolved"),
    "voidHold": ("hold expired", "hold resolved"),
    "exchangeFunds": ("state", "quote expired", "state, expired", "no wallet", "no wallet, expired"),
}
LONG_S: Final = 3_600.0
SOON_S: Final = 2.5


async def acceptable(cast: Cast, mutation: str) -> dict[str, Any]:
    """An input that `own` succeeds with, but for the key."""
    if mutation in FIELDS:
        subject = {FIELDS[mutation]: await current(cast, mutation)}
        return subject | ({"amount": eur(PRICE)} if mutation in ("refundTransfer", "captureHold") else {})
    wallet = {"walletId": cast.wallets[cast.own, "EUR"], "amount": eur(PRICE)}
    match mutation:
        case "transferFunds" | "holdFunds":
            return {"to": {"handle": cast.other}, "amount": eur(PRICE)}
        case "topUpWallet":
            return {**wallet, "source": "sandbox:ok"}
        case "withdrawFromWallet":
            return {**wallet, "destination": "sandbox:ok"}
    raise KeyError(mutation)


async def current(cast: Cast, mutation: str) -> str:
    """Something that the mutation can be done to; the same until it is `consumed`."""
    if mutation not in cast.current:
        cast.current[mutation] = await _made(cast, mutation)
    return cast.current[mutation]


def consumed(cast: Cast, mutation: str) -> None:
    """The next trial needs another one."""
    cast.current.pop(mutation, None)


async def end_some(cast: Cast, mutation: str) -> None:
    """Let one end in each way, while nothing is in the way; once a cast."""
    kind = "captureHold" if mutation == "voidHold" else mutation
    for how in WAYS.get(mutation, ()):
        if (kind, how) not in cast.over:
            cast.over[kind, how] = await _ended(cast, kind, how)
        cast.over[mutation, how] = cast.over[kind, how]


async def _made(cast: Cast, mutation: str) -> str:
    own, other = cast.own, cast.other
    match mutation:
        case "acceptPaymentRequest":
            return await cast.ask(other, own)
        case "refundTransfer":
            return await cast.pay(other, own)
        case "payOrder":
            return await cast.order(own)
        case "captureHold" | "voidHold":
            return await cast.hold(other, own)
        case "exchangeFunds":
            return await cast.quote(own, "EUR", good_for_s=LONG_S)
    raise KeyError(mutation)


async def _ended(cast: Cast, mutation: str, how: str) -> str:
    town, own = cast.town, cast.own
    match mutation, how:
        case "exchangeFunds", "quote expired":
            return await cast.quote(own, "EUR", good_for_s=-SOON_S)
        case "exchangeFunds", "no wallet":
            return await cast.quote(own, "GBP", good_for_s=LONG_S)
        case "exchangeFunds", "no wallet, expired":
            return await cast.quote(own, "GBP", good_for_s=-SOON_S)
        case "exchangeFunds", "state, expired":
            id = await cast.quote(own, "EUR", good_for_s=SOON_S)
            await done(town, own, "exchangeFunds", idempotencyKey=key(), quoteId=id)
            await asyncio.sleep(SOON_S)
            return id
        case (("captureHold" | "voidHold"), "hold expired"):
            soon = (utc_now() + timedelta(seconds=SOON_S)).isoformat() + "Z"
            id = await cast.hold(cast.other, own, expiresAt=soon)
            await asyncio.sleep(SOON_S)
            return id
    id = await _made(cast, mutation)
    match mutation:
        case "acceptPaymentRequest":
            await done(town, own, "declinePaymentRequest", paymentRequestId=id)
        case "payOrder":
            await done(town, own, "cancelOrder", orderId=id)
        case "captureHold":
            await done(town, own, "voidHold", idempotencyKey=key(), transferId=id)
        case "refundTransfer" | "exchangeFunds":
            await done(town, own, mutation, idempotencyKey=key(), **{FIELDS[mutation]: id})
    return id
