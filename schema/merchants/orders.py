"""Orders in the graph: placing, paying, sending, completing, cancelling, and hearing of all that."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, cast

import strawberry
from strawberry import UNSET

import resolvers.merchants as use_cases
from datastores.merchants import OrderState
from datastores.mongo import Document
from schema.arguments import AFTER, FIRST, KEY, SINCE, Info, or_none
from schema.composition import batched, loads, plain, root
from schema.entities import Conversation, Listing, Merchant, Order, Transfer, User, Viewer, Wallet
from schema.errors import (
    ConflictError,
    Error,
    ForbiddenError,
    IdempotencyKeyReused,
    InsufficientFunds,
    LimitExceeded,
    NotFoundError,
    OutcomeUnknown,
    TransferRefused,
    ValidationError,
)
from schema.scalars import Cursor
from schema.values import Connection, Money, MoneyInput

from .domain import amount_of, merchants


@strawberry.type(description="So many of one listing, as it was called and cost when the order was placed.")
class OrderLine:
    listing: Listing | None = loads(Listing, key="listing_id", description="The listing as it is now, if it is public.")
    title: str = plain(description="Its title then.")
    quantity: int = plain(description="1–1,000.")
    unit_price: Money = plain(description="What one cost then.")


@merchants.extends(Order)
class OrderFields:
    state: OrderState = plain(description="What has become of it.")
    buyer: User | None = loads(User, key="buyer_id", description="Who placed it.")
    merchant: Merchant | None = loads(Merchant, key="merchant_id", description="The merchant that it was placed with.")
    lines: list[OrderLine] = plain(description="1–50, each of another listing.")
    total: Money = plain(description="What all lines cost together.")
    transfer: Transfer | None = loads(
        Transfer, key="transfer_id", description="The buyer's payment, into escrow; null until it is paid."
    )
    conversation: Conversation | None = loads(
        Conversation, key="conversation_id", description="The conversation of buyer and merchant about it."
    )
    created_at: datetime = plain(description="When it was placed.")
    paid_at: datetime | None = plain(description="When it was paid.")
    shipped_at: datetime | None = plain(description="When it was sent.")
    completed_at: datetime | None = plain(description="When the merchant got the money.")


@merchants.extends(Viewer)
class ViewerOrders:
    orders: Connection[Order] | None = batched(
        use_cases.orders_of_viewers, description="What the viewer ordered, newest first.", first=FIRST, after=AFTER
    )


@strawberry.type(description="Fewer are left than were ordered, or it is not offered now. A new try takes a new key.")
class OutOfStock(Error):
    listing: Listing = plain(description="The listing as it is now.")


@strawberry.type(description="The price is not the one that the buyer saw. A new try takes a new key.")
class PriceChanged(Error):
    listing: Listing = plain(description="The listing as it is now.")


@strawberry.input(description="So many of a listing, at the price that the buyer saw.")
class OrderLineInput:
    listing_id: strawberry.ID = strawberry.field(description="A listing; each stands in one line.")
    quantity: int = strawberry.field(description="1–1,000.")
    expected_unit_price: MoneyInput = strawberry.field(
        description="Refuses the order with PriceChanged rather than charge another price than the buyer saw."
    )


@strawberry.input(description="An order to place.")
class PlaceOrderInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    lines: list[OrderLineInput] = strawberry.field(description="1–50, of one merchant, in one currency.")


@strawberry.input(description="An order to pay.")
class PayOrderInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    order_id: strawberry.ID = strawberry.field(description="An order that the viewer placed.")
    from_wallet_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The viewer's wallet in that currency if absent."
    )


@strawberry.input(description="An order to do something with.")
class OrderRefInput:
    order_id: strawberry.ID = strawberry.field(description="The order.")


@strawberry.type(description="The order is placed, and its stock reserved for 30 minutes.")
class PlaceOrderSuccess:
    order: Order = plain(description="The order as it is now.")
    replayed: bool = plain(description="Whether an earlier try with the same key had placed it.")
    cursor: Cursor = plain(description="Pass it to `orderUpdated` to hear of all that comes after.")


@strawberry.type(description="The order is paid; the money is held until the order is completed.")
class PayOrderSuccess:
    order: Order = plain(description="The order as it is now.")
    transfer: Transfer | None = loads(Transfer, key="transfer_id", description="The payment.")
    wallet: Wallet | None = loads(Wallet, key="wallet_id", description="The wallet that paid, as it is now.")
    replayed: bool = plain(description="Whether an earlier try with the same key had paid it.")
    cursor: Cursor = plain(description="Pass it to `orderUpdated` to hear of all that comes after.")


@strawberry.type(description="It is as was asked.")
class OrderActionSuccess:
    order: Order = plain(description="The order as it is now.")
    cursor: Cursor = plain(description="Pass it to `orderUpdated` to hear of all that comes after.")


@strawberry.type(description="Something happened to an order.")
class OrderEvent:
    cursor: Cursor = plain(description="Where to go on; all orders of a person share one sequence.")
    order: Order = plain(description="The order as it is now.")


PlaceOrderResult = Annotated[
    PlaceOrderSuccess
    | OutOfStock
    | PriceChanged
    | IdempotencyKeyReused
    | NotFoundError
    | ForbiddenError
    | ValidationError,
    strawberry.union("PlaceOrderResult", description="What came of `placeOrder`."),
]
PayOrderResult = Annotated[
    PayOrderSuccess
    | InsufficientFunds
    | LimitExceeded
    | TransferRefused
    | IdempotencyKeyReused
    | OutcomeUnknown
    | NotFoundError
    | ForbiddenError
    | ConflictError
    | ValidationError,
    strawberry.union("PayOrderResult", description="What came of `payOrder`."),
]
OrderActionResult = Annotated[
    OrderActionSuccess | NotFoundError | ForbiddenError | ConflictError,
    strawberry.union("OrderActionResult", description="What came of sending, completing or cancelling an order."),
]
OrderRef = Annotated[OrderRefInput, strawberry.argument(description="Which order.")]


@merchants.root
class Query:
    @root(Order | None, description="An order that the viewer placed or gets as a merchant, or null.")
    async def order(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The order's id.")]
    ) -> Document | None:
        return cast("Document | None", await use_cases.order(info.context, id=id))


@merchants.root
class Mutation:
    @root(
        PlaceOrderResult | None,
        description=(
            "Order from a merchant, which reserves the stock until it is paid, for at most 30 minutes. Opens a "
            "conversation with the merchant. Safe to repeat with the same key, refusals included. Nobody buys from "
            "themselves: `ForbiddenError`."
        ),
    )
    async def place_order(
        self, info: Info, input: Annotated[PlaceOrderInput, strawberry.argument(description="The order.")]
    ) -> Document:
        placed = await use_cases.place_order(
            info.context, idempotency_key=input.idempotency_key, lines=[_line(line) for line in input.lines]
        )
        return {"__typename": "PlaceOrderSuccess", **placed}

    @root(
        PayOrderResult | None,
        description=(
            "Pay an order that the viewer placed. The money is held until the order is completed, and comes back whole "
            "where it is cancelled. Safe to repeat with the same key, refusals included."
        ),
    )
    async def pay_order(
        self, info: Info, input: Annotated[PayOrderInput, strawberry.argument(description="The payment.")]
    ) -> Document:
        paid = await use_cases.pay_order(
            info.context,
            idempotency_key=input.idempotency_key,
            order_id=input.order_id,
            from_wallet_id=or_none(input.from_wallet_id),
        )
        return {"__typename": "PayOrderSuccess", **paid}

    @root(
        OrderActionResult | None,
        description="Say that a paid order was sent; only its merchant can. It completes by itself 14 days later.",
    )
    async def ship_order(self, info: Info, input: OrderRef) -> Document:
        return _acted(await use_cases.ship_order(info.context, order_id=input.order_id))

    @root(
        OrderActionResult | None,
        description="Say that an order arrived, which pays its merchant; only its buyer can, once it is SHIPPED.",
    )
    async def complete_order(self, info: Info, input: OrderRef) -> Document:
        return _acted(await use_cases.complete_order(info.context, order_id=input.order_id))

    @root(
        OrderActionResult | None,
        description=(
            "Cancel an order before it is sent; buyer and merchant can. Unpaid it is CANCELLED; what was paid comes "
            "back whole, and it is REFUNDED."
        ),
    )
    async def cancel_order(self, info: Info, input: OrderRef) -> Document:
        return _acted(await use_cases.cancel_order(info.context, order_id=input.order_id))


@merchants.root
class Subscription:
    @root(
        OrderEvent,
        subscription=True,
        hearers="viewer",
        description="What happens to an order, or to all that the viewer placed or gets as a merchant.",
    )
    async def order_updated(
        self,
        info: Info,
        order_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only this order; all of the viewer's if absent.")
        ] = UNSET,
        after: Annotated[Cursor | None, strawberry.argument(description=SINCE)] = UNSET,
    ) -> AsyncGenerator[Document, None]:
        events = use_cases.order_updated(info.context, order_id=or_none(order_id), after=or_none(after))
        async with aclosing(events):
            async for event in events:
                yield cast(Document, event)


def _line(line: OrderLineInput) -> use_cases.LineInput:
    price = amount_of(line.expected_unit_price)
    return {"listing_id": line.listing_id, "quantity": line.quantity, "expected_unit_price": price}


def _acted(changed: Any) -> Document:
    return {"__typename": "OrderActionSuccess", **changed}
