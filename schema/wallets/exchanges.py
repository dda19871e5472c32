"""Exchanges in the graph: quotes, the mutation that uses one, and what a transfer says of an exchange."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from datastores.mongo import Document
from resolvers import wallets as use_cases
from schema.arguments import KEY, Info, or_none
from schema.composition import plain, root
from schema.errors import ForbiddenError, NotFoundError, ValidationError
from schema.scalars import CurrencyCode
from schema.values import Money

from .domain import moved, wallets
from .types import TransferFundsResult


@strawberry.input(description="What to exchange: exactly one of `sellAmount` and `buyAmount`.")
class QuoteExchangeInput:
    from_: CurrencyCode = strawberry.field(name="from", description="The currency to sell.")
    to: CurrencyCode = strawberry.field(description="The currency to buy; another one.")
    sell_amount: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="How much of `from` to sell, the fee not counted; more than zero."
    )
    buy_amount: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="How much of `to` to buy; more than zero."
    )


@strawberry.input(description="A quote to use.")
class ExchangeFundsInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    quote_id: strawberry.ID = strawberry.field(description="A quote of the viewer, neither used nor expired.")


@strawberry.type(
    description=(
        "What an exchange costs, promised for 30 seconds and good for one `exchangeFunds`. The amount that was asked "
        "for is exact; the other is its worth at `rate` in whole minor units: rounded down where it is bought, up "
        "where it is sold."
    )
)
class ExchangeQuote:
    id: strawberry.ID = plain(key="_id", description="Pass it to `exchangeFunds`.")
    sell: Money = plain(description="What leaves the one wallet, the fee not counted.")
    buy: Money = plain(description="What comes into the other.")
    rate: Decimal = plain(description="How many units of what is bought a unit of what is sold is worth.")
    fee: Money = plain(description="What is paid on top of `sell`; may be zero.")
    expires_at: datetime = plain(description="Until when it can be used, on the ledger's time.")


@strawberry.type(description="What an exchange swapped between two wallets of a person.")
class Exchange:
    sold: Money = plain(description="What left the one wallet, the fee not counted.")
    bought: Money = plain(description="What came into the other.")
    rate: Decimal = plain(description="How many units of what was bought a unit of what was sold was worth.")


@strawberry.type(description="The quote is made.")
class QuoteExchangeSuccess:
    quote: ExchangeQuote = plain(description="The quote.")


QuoteExchangeResult = Annotated[
    QuoteExchangeSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("QuoteExchangeResult", description="What became of `quoteExchange`."),
]


@wallets.root
class Mutation:
    @root(
        QuoteExchangeResult | None,
        description=(
            "Ask what exchanging one currency for another costs. It is promised for 30 seconds; nothing moves. "
            "`NotFoundError` where there is no rate between the two."
        ),
    )
    async def quote_exchange(self, info: Info, input: QuoteExchangeInput) -> Document:
        quote = await use_cases.quote_exchange(
            info.context,
            sell_currency=input.from_,
            buy_currency=input.to,
            sell_amount=or_none(input.sell_amount),
            buy_amount=or_none(input.buy_amount),
        )
        return {"__typename": "QuoteExchangeSuccess", "quote": quote}

    @root(
        TransferFundsResult | None,
        description=(
            "Swap what a quote says between the viewer's wallets, once; opens the wallet that is paid into. A quote "
            "that was used is a `ConflictError`, one that has expired a `TransferRefused` with `QUOTE_EXPIRED`. "
            "`wallet` is the one that pays."
        ),
    )
    async def exchange_funds(self, info: Info, input: ExchangeFundsInput) -> Document:
        return moved(
            await use_cases.exchange_funds(info.context, idempotency_key=input.idempotency_key, quote_id=input.quote_id)
        )
