"""Exchanging between currencies: a quote that is good for 30 seconds, and the one exchange that it can be used for."""

from __future__ import annotations

from decimal import Decimal

from datastores import ledger
from datastores.commit import Act
from datastores.errors import NotFoundError, ValidationError
from datastores.ids import is_id
from datastores.ledger import Outcome, QuoteDocument
from resolvers.context import Context

from .acting import MoneyMoved, command, decided, merchants_of, paying_wallet
from .transfers import moved


async def quote_exchange(
    ctx: Context,
    *,
    sell_currency: str,
    buy_currency: str,
    sell_amount: Decimal | None = None,
    buy_amount: Decimal | None = None,
) -> QuoteDocument:
    """What selling or buying so much costs the viewer within the next 30 seconds; exactly one amount is given.

    Raises ValidationError (currencies, amount, too little or too much), and NotFoundError where nobody says what the
    one is worth in the other.
    """
    viewer_id = ctx.viewer.person()
    _check_currencies(sell_currency, buy_currency)
    sold = _minor_units(sell_amount, sell_currency, "sellAmount")
    bought = _minor_units(buy_amount, buy_currency, "buyAmount")
    if (sold is None) == (bought is None):
        raise ValidationError("Pass exactly one of sellAmount and buyAmount", "sellAmount")
    rate = await ctx.rates.rate(sell_currency, buy_currency) if ctx.rates else None
    if rate is None:
        raise NotFoundError(f"There is no rate between {sell_currency} and {buy_currency} here")
    path = "sellAmount" if bought is None else "buyAmount"
    try:
        swap = ledger.swapped(rate.value, sell_currency, buy_currency, sold=sold, bought=bought)
    except ValidationError as error:
        raise ValidationError(error.message, path) from None
    fee = ctx.fees.exchange.of(swap.sold, sell_currency)
    if swap.sold + fee > ledger.MAX_MINOR_UNITS:
        raise ValidationError("The amount is too large", path)
    return await ledger.add_quote(
        ctx.database, viewer_id, sell_currency, buy_currency, rate=rate, swap=swap, fee=fee, now=ctx.now()
    )


async def exchange_funds(ctx: Context, *, idempotency_key: str, quote_id: str) -> MoneyMoved:
    """Swap what a quote of the viewer says between their wallets; opens the one that is paid into.

    The first of these that holds is raised; those marked * are kept under the key and raised at every replay:
    ValidationError (key); IdempotencyKeyReusedError; NotFoundError (quote, then the wallet that pays); ConflictError*
    for a quote that was used; TransferRefusedError* with QUOTE_EXPIRED; TransferRefusedError* with ACCOUNT_FROZEN (the
    wallet that pays, then the other); InsufficientFundsError*; LimitExceededError*; OutcomeUnknownError.
    """
    viewer_id = ctx.viewer.person()
    request = command(viewer_id, idempotency_key, "exchangeFunds", quote_id=quote_id)
    (quote,) = await ledger.quotes_by_ids(ctx.database, [quote_id if is_id("quo", quote_id) else ""])

    async def prepare() -> Act[Outcome]:
        if quote is None or quote["owner_id"] != viewer_id:
            raise NotFoundError("There is no such quote of yours")
        await paying_wallet(ctx, None, quote["sell"]["currency"])
        return ledger.ExchangeFunds(request, quote, await merchants_of(ctx, [viewer_id]), ctx.default_tier)

    outcome = await decided(ctx, request, prepare)
    outcome.accepted()
    return await moved(ctx, outcome, viewer_id, {"rate": quote["rate"]} if quote else {})


def _check_currencies(sell: str, buy: str) -> None:
    for currency, path in ((sell, "from"), (buy, "to")):
        if currency not in ledger.EXPONENTS:
            raise ValidationError("The currency is not an active ISO 4217 code, such as EUR", path)
    if sell == buy:
        raise ValidationError("An exchange is between two currencies", "to")


def _minor_units(amount: Decimal | None, currency: str, path: str) -> int | None:
    try:
        return None if amount is None else ledger.positive(amount, currency)["minor_units"]
    except ValidationError as error:
        raise ValidationError(error.message, path) from None
