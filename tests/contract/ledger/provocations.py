"""How the condition of each row comes about, and goes again: several can hold at once, entered one inside the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from datastores.ledger import Tier
from gateway.demo.script import PARTNER
from tests.contract.acts import done, eur, key
from tests.contract.ledger.cast import MOST_OF_A_DAY, PURSE
from tests.contract.ledger.subjects import FIELDS
from tests.contract.ledger.trials import Trial

Provocation = Callable[[Trial], AbstractAsyncContextManager[None]]
NOBODY = "nobody_of_that_name"
NO_CONVERSATION = "cnv_01JD0000000000000000000000"
MAX_EUR = "92233720368547758.07"


@asynccontextmanager
async def nobody(trial: Trial) -> AsyncIterator[None]:
    with trial.asked_by(None):
        yield


@asynccontextmanager
async def partner(trial: Trial) -> AsyncIterator[None]:
    with trial.asked_by(PARTNER):
        yield


@asynccontextmanager
async def currency(trial: Trial) -> AsyncIterator[None]:
    with trial.given(amount={**trial.input["amount"], "currency": "XXQ"}):
        yield


@asynccontextmanager
async def amount(trial: Trial) -> AsyncIterator[None]:
    given = trial.input["amount"]
    with trial.given(amount={**given, "amount": given["amount"] + "001"}):
        yield


@asynccontextmanager
async def memo(trial: Trial) -> AsyncIterator[None]:
    with trial.given(memo="m" * 281):
        yield


@asynccontextmanager
async def rail(trial: Trial) -> AsyncIterator[None]:
    with trial.given(**{_place(trial): "sandbox:nowhere"}):
        yield


@asynccontextmanager
async def invalid_key(trial: Trial) -> AsyncIterator[None]:
    with trial.given(idempotencyKey="k" * 256):
        yield


@asynccontextmanager
async def reused(trial: Trial) -> AsyncIterator[None]:
    used, cast = key(), trial.cast
    payer = cast.other if trial.who != cast.other else cast.own
    asked: dict[str, Any] = {"payerId": cast.ids[payer], "amount": eur("0.01")}
    await done(cast.town, trial.who, "requestPayment", idempotencyKey=used, **asked)
    with trial.given(idempotencyKey=used):
        yield


@asynccontextmanager
async def subject(trial: Trial) -> AsyncIterator[None]:
    with trial.asked_by(trial.cast.third):
        yield


@asynccontextmanager
async def role(trial: Trial) -> AsyncIterator[None]:
    with trial.asked_by(trial.cast.other):
        yield


@asynccontextmanager
async def own_wallet(trial: Trial) -> AsyncIterator[None]:
    if trial.mutation == "exchangeFunds":
        is_over = trial.input == {"quoteId": trial.cast.over["exchangeFunds", "quote expired"]}
        how = "no wallet, expired" if is_over else "no wallet"
        changes = {"quoteId": trial.cast.over["exchangeFunds", how]}
    else:
        changes = {_wallet(trial): trial.cast.wallets[trial.cast.other, "EUR"]}
    with trial.given(**changes):
        yield


@asynccontextmanager
async def own_currency(trial: Trial) -> AsyncIterator[None]:
    if trial.mutation in ("refundTransfer", "captureHold"):
        changes: dict[str, Any] = {"amount": {**trial.input["amount"], "currency": "USD"}}
    else:
        changes = {_wallet(trial): trial.cast.wallets[trial.cast.own, "USD"]}
    with trial.given(**changes):
        yield


@asynccontextmanager
async def payee(trial: Trial) -> AsyncIterator[None]:
    with trial.given(to={"handle": NOBODY}):
        yield


@asynccontextmanager
async def conversation(trial: Trial) -> AsyncIterator[None]:
    with trial.given(conversationId=NO_CONVERSATION):
        yield


@asynccontextmanager
async def oneself(trial: Trial) -> AsyncIterator[None]:
    own = trial.cast.own
    by_wallet = "walletId" in trial.input["to"]
    with trial.given(to={"walletId": trial.cast.wallets[own, "JPY"]} if by_wallet else {"userId": trial.cast.ids[own]}):
        yield


@asynccontextmanager
async def their_currency(trial: Trial) -> AsyncIterator[None]:
    with trial.given(to={"walletId": trial.cast.wallets[trial.cast.other, "JPY"]}):
        yield


@asynccontextmanager
async def expiry(trial: Trial) -> AsyncIterator[None]:
    with trial.given(expiresAt="2020-01-01T00:00:00Z"):
        yield


def ended(how: str) -> Provocation:
    """The mutation is about something that has ended so."""

    @asynccontextmanager
    async def provoked(trial: Trial) -> AsyncIterator[None]:
        name, over = FIELDS[trial.mutation], trial.cast.over
        is_expired = how == "state" and trial.input[name] == over.get((trial.mutation, "quote expired"))
        with trial.given(**{name: over[trial.mutation, "state, expired" if is_expired else how]}):
            yield

    return provoked


@asynccontextmanager
async def hold_exceeded(trial: Trial) -> AsyncIterator[None]:
    with trial.given(amount={**trial.input["amount"], "amount": PURSE}):
        yield


def payer_frozen(trial: Trial) -> AbstractAsyncContextManager[None]:
    cast = trial.cast
    if trial.mutation == "exchangeFunds":
        return cast.frozen(cast.own, "EUR")
    return cast.frozen(cast.other if trial.mutation == "captureHold" else cast.own)


def payee_frozen(trial: Trial) -> AbstractAsyncContextManager[None]:
    cast = trial.cast
    if trial.mutation == "exchangeFunds":
        return cast.frozen(cast.own, "USD")
    return cast.frozen(cast.own if trial.mutation in ("captureHold", "topUpWallet") else cast.other)


def transaction(trial: Trial) -> AbstractAsyncContextManager[None]:
    return trial.cast.in_tier(trial.cast.own, "EUR", Tier.UNVERIFIED)


@asynccontextmanager
async def day(trial: Trial) -> AsyncIterator[None]:
    cast = trial.cast
    async with cast.holding(cast.own, MOST_OF_A_DAY), cast.in_tier(cast.own, "EUR", Tier.BASIC):
        yield


def balance(trial: Trial) -> AbstractAsyncContextManager[None]:
    cast = trial.cast
    payee = cast.own if trial.mutation in ("topUpWallet", "exchangeFunds") else cast.other
    return cast.in_tier(payee, "USD" if trial.mutation == "exchangeFunds" else "EUR", Tier.UNVERIFIED)


@asynccontextmanager
async def too_many_bits(trial: Trial) -> AsyncIterator[None]:
    with trial.given(amount={**trial.input["amount"], "amount": MAX_EUR}):
        yield


@asynccontextmanager
async def rail_refused(trial: Trial) -> AsyncIterator[None]:
    with trial.given(**{_place(trial): "sandbox:refuse"}):
        yield


PROVOCATIONS: Final[dict[str, Provocation]] = {
    "nobody": nobody,
    "partner": partner,
    "currency": currency,
    "amount": amount,
    "memo": memo,
    "rail": rail,
    "key": invalid_key,
    "reused": reused,
    "subject": subject,
    "role": role,
    "own wallet": own_wallet,
    "own currency": own_currency,
    "payee": payee,
    "conversation": conversation,
    "self": oneself,
    "their currency": their_currency,
    "expiry": expiry,
    "state": ended("state"),
    "quote expired": ended("quote expired"),
    "hold expired": ended("hold expired"),
    "hold resolved": ended("hold resolved"),
    "hold exceeded": hold_exceeded,
    "payer frozen": payer_frozen,
    "payee frozen": payee_frozen,
    "funds": lambda trial: trial.cast.broke(trial.cast.own),
    "transaction": transaction,
    "day": day,
    "balance": balance,
    "64 bits": too_many_bits,
    "rail refused": rail_refused,
}


def _wallet(trial: Trial) -> str:
    return "walletId" if "walletId" in trial.input else "fromWalletId"


def _place(trial: Trial) -> str:
    return "source" if trial.mutation == "topUpWallet" else "destination"
