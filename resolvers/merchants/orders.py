"""Orders: who may see them, place them, pay for them, send them, and end them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypedDict

from datastores import conversations, ledger
from datastores import merchants as store
from datastores.commit import Act
from datastores.errors import (
    ExpectedError,
    ForbiddenError,
    NotFoundError,
    OutOfStockError,
    PriceChangedError,
    ValidationError,
)
from datastores.ids import is_id
from datastores.ledger import COMMIT_LOOP, MAX_MINOR_UNITS, Command, system_command
from datastores.merchants import (
    CancelOrder,
    CompleteOrder,
    Decided,
    MerchantDocument,
    OrderDocument,
    OrderEventKind,
    OrderState,
    PayOrder,
    PlaceOrder,
    ShipOrder,
    Wanted,
)
from datastores.paging import PageDocument, window
from resolvers.connections import HasId, connections
from resolvers.context import PAYMENTS_READ, Context
from resolvers.texts import is_storable
from resolvers.wallets import AmountInput, paying_wallet, submit
from resolvers.wallets.acting import command

from .follow_ups import announce
from .listings import price_of
from .order_events import event_cursor

MAX_LINES: Final = 50
MAX_QUANTITY: Final = 1_000
_KEY: Final[Mapping[str, type]] = {"created_at": datetime, "_id": str}
_NO_ORDER: Final = "There is no such order"
_NO_LISTING: Final = "There is no such listing"


class LineInput(TypedDict):
    """A line of an order as it was given."""

    listing_id: str
    quantity: int
    expected_unit_price: AmountInput


class OrderChanged(TypedDict):
    """What an act on an order answers; `cursor` is one of `orderUpdated`."""

    order: OrderDocument
    cursor: str


class OrderPlaced(OrderChanged):
    """As `OrderChanged`; `replayed` where an earlier try with the same key had done it."""

    replayed: bool


class OrderPaid(OrderPlaced):
    """As `OrderPlaced`, with the payment and the wallet that it came from."""

    transfer_id: str
    wallet_id: str


async def orders_by_id(ctx: Context, ids: Sequence[str]) -> list[OrderDocument | None]:
    """For each id the order, or None unless the viewer is its buyer or owns its merchant.

    A partner that may read payments sees those of its merchants, since the events it follows are about them.
    """
    if ctx.viewer.kind == "anonymous":
        return [None] * len(ids)
    found = await store.orders_by_ids(ctx.database, ids)
    return [each if each is not None and _may_see(ctx, each) else None for each in found]


async def order(ctx: Context, *, id: str) -> OrderDocument | None:
    """The order with this id, or None unless the viewer is its buyer or owns its merchant."""
    return None if ctx.viewer.user_id is None else (await orders_by_id(ctx, [id]))[0]


async def orders_of_viewers(
    ctx: Context, viewers: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """The orders that the viewer placed, newest first."""

    async def one(viewer: HasId) -> PageDocument | Exception:
        if viewer["_id"] != user_id:
            return ForbiddenError("Orders are their own buyer's alone")
        return await store.orders_of_buyer(ctx.database, user_id, asked)

    user_id = ctx.viewer.person()
    asked = window(f"viewer_orders/{user_id}", *_KEY.values(), first=first, after=after)
    return [await one(viewer) for viewer in viewers]


async def orders_of_merchants(
    ctx: Context,
    merchants: Sequence[MerchantDocument],
    *,
    state: OrderState | None = None,
    first: int | None = None,
    after: str | None = None,
) -> list[PageDocument | Exception | None]:
    """For each merchant a page of its orders (in this state), newest first; None unless the viewer owns it."""
    own: list[HasId] = [{"_id": each["_id"]} for each in merchants if each["owner_id"] == ctx.viewer.user_id]
    pages = await connections(
        own,
        f"merchant_orders/{state or ''}",
        lambda ids, w: store.orders_of_merchants(ctx.database, ids, state, w),
        _KEY,
        first=first,
        after=after,
    )
    by_id = {each["_id"]: page for each, page in zip(own, pages, strict=True)}
    return [by_id.get(each["_id"]) for each in merchants]


async def place_order(ctx: Context, *, idempotency_key: str, lines: Sequence[LineInput]) -> OrderPlaced:
    """The viewer's new order, with its stock reserved until it is paid, for at most 30 minutes.

    The first of these that holds is raised; those marked * are kept under the key and raised at every replay, with the
    listing as it is then: ValidationError (1–50 lines of different listings, quantity 1–1,000, one currency, one
    merchant); IdempotencyKeyReusedError; NotFoundError for a listing that the viewer cannot see; ForbiddenError for
    one's own; PriceChangedError*; OutOfStockError* (also where it is not offered now).
    """
    viewer_id = ctx.viewer.person()
    wanted = _wanted(lines)
    request = [
        {"listing_id": line.listing_id, "quantity": line.quantity, "price": dict(line.expected_unit_price)}
        for line in wanted
    ]
    asked = command(viewer_id, idempotency_key, "placeOrder", lines=request)

    async def prepare() -> Act[Decided]:
        merchant_id, owner_id = await _merchant_of_lines(ctx, wanted)
        conversation_id = conversations.order_conversation_id(asked.id("ord"))
        return PlaceOrder(asked, viewer_id, merchant_id, owner_id, conversation_id, wanted)

    decided = await _decided(ctx, asked, asked.id("ord"), len(wanted), prepare)
    try:
        placed = decided.accepted()
    except (OutOfStockError, PriceChangedError) as refused:
        raise await _with_listing(ctx, refused) from None
    await announce(ctx, placed, OrderEventKind.PLACED)
    cursor = event_cursor(placed, OrderEventKind.PLACED, viewer_id)
    return {"order": placed, "replayed": decided.outcome.replayed, "cursor": cursor}


async def pay_order(
    ctx: Context, *, idempotency_key: str, order_id: str, from_wallet_id: str | None = None
) -> OrderPaid:
    """Pay an order of the viewer, from the wallet that is named or from the viewer's in its currency; into escrow.

    The first of these that holds is raised; those marked * are kept under the key and raised at every replay:
    ValidationError (key); IdempotencyKeyReusedError; NotFoundError unless the viewer placed it, and for the wallet;
    TransferRefusedError with CURRENCY_MISMATCH; ConflictError* where it is paid, ended, or past its 30 minutes;
    TransferRefusedError* with ACCOUNT_FROZEN; InsufficientFundsError*; LimitExceededError*; OutcomeUnknownError.
    """
    viewer_id = ctx.viewer.person()
    other = command(viewer_id, idempotency_key, "payOrder")
    try:
        found = await _order_of_buyer(ctx, order_id, viewer_id)
        if from_wallet_id is not None and not ledger.is_wallet_id(from_wallet_id):
            raise NotFoundError("There is no such wallet of yours")
    except NotFoundError:
        # From what is not there nothing was ever paid: a key that is known was used for another input.
        await ledger.stored(ctx.database, other)
        raise
    currency = found["total"]["currency"]
    source = from_wallet_id or ledger.wallet_id(viewer_id, currency)
    asked = command(viewer_id, idempotency_key, "payOrder", order_id=order_id, from_wallet_id=source)

    async def prepare() -> Act[Decided]:
        return PayOrder(asked, found, await paying_wallet(ctx, from_wallet_id, currency), ctx.default_tier)

    decided = await _decided(ctx, asked, order_id, 1, prepare)
    paid = decided.accepted()
    await announce(ctx, paid, OrderEventKind.PAID)
    return {
        "order": paid,
        "transfer_id": asked.id("trf"),
        "wallet_id": source,
        "replayed": decided.outcome.replayed,
        "cursor": event_cursor(paid, OrderEventKind.PAID, viewer_id),
    }


async def ship_order(ctx: Context, *, order_id: str) -> OrderChanged:
    """The order, on its way to its buyer; completes by itself 14 days later.

    Raises NotFoundError, ForbiddenError unless the viewer owns the merchant, ConflictError unless it is PAID.
    """
    found = await _order(ctx, order_id)
    viewer_id = ctx.viewer.person()
    if viewer_id != found["merchant_owner_id"]:
        raise ForbiddenError("Only the merchant can ship an order")
    act = ShipOrder(system_command("ship", order_id), found, viewer_id)
    return await _changed(ctx, act, OrderEventKind.SHIPPED)


async def complete_order(ctx: Context, *, order_id: str) -> OrderChanged:
    """The order, with what was paid released to the merchant's owner, who pays the commission of the sale.

    Raises NotFoundError, ForbiddenError unless the viewer placed it, ConflictError unless it is SHIPPED, or where the
    merchant's wallet is frozen, closed or full.
    """
    found = await _order(ctx, order_id)
    viewer_id = ctx.viewer.person()
    if viewer_id != found["buyer_id"]:
        raise ForbiddenError("Only its buyer can complete an order")
    command = system_command("complete", order_id)
    act = CompleteOrder(command, found, viewer_id, ctx.fees.sale, ctx.default_tier)
    return await _changed(ctx, act, OrderEventKind.COMPLETED)


async def cancel_order(ctx: Context, *, order_id: str) -> OrderChanged:
    """The order, CANCELLED where it was not paid, else REFUNDED with all of it sent back; its stock is free again.

    Buyer and merchant can, until it is shipped. Raises NotFoundError, or ConflictError where it is too late or the
    buyer's wallet is frozen.
    """
    found = await _order(ctx, order_id)
    act = CancelOrder(system_command("cancel", order_id), found, ctx.viewer.person())
    return await _changed(ctx, act, OrderEventKind.CANCELLED, OrderEventKind.REFUNDED)


def weight_of(lines: int) -> int:
    """About how many documents an act on an order of so many lines writes."""
    return 12 + lines


async def _changed(ctx: Context, act: ShipOrder | CompleteOrder | CancelOrder, *kinds: OrderEventKind) -> OrderChanged:
    changed = await ctx.commits[COMMIT_LOOP].submit(act, weight=weight_of(len(act.order["lines"])))
    kind = next(kind for kind in kinds if kind in changed["numbers"])
    await announce(ctx, changed, kind)
    return {"order": changed, "cursor": event_cursor(changed, kind, ctx.viewer.person())}


async def _decided(
    ctx: Context, asked: Command, order_id: str, lines: int, prepare: Callable[[], Awaitable[Act[Decided]]]
) -> Decided:
    """What was decided for this key, now or at an earlier try, whatever would speak against it now."""
    try:
        act = await prepare()
    except ExpectedError:
        if (outcome := await ledger.stored(ctx.database, asked)) is None:
            raise
        return Decided(outcome, (await store.orders_by_ids(ctx.database, [order_id]))[0])
    return await submit(ctx, act, asked.key, weight=weight_of(lines))


async def _order(ctx: Context, order_id: str) -> OrderDocument:
    ctx.viewer.person()
    (found,) = await orders_by_id(ctx, [order_id])
    if found is None:
        raise NotFoundError(_NO_ORDER)
    return found


async def _order_of_buyer(ctx: Context, order_id: str, buyer_id: str) -> OrderDocument:
    found = await _order(ctx, order_id)
    if found["buyer_id"] != buyer_id:
        raise NotFoundError(_NO_ORDER)
    return found


def _may_see(ctx: Context, order: OrderDocument) -> bool:
    viewer = ctx.viewer
    if viewer.kind == "partner":
        return PAYMENTS_READ in viewer.scopes and order["merchant_id"] in viewer.merchant_ids
    return viewer.user_id in (order["buyer_id"], order["merchant_owner_id"])


def _wanted(lines: Sequence[LineInput]) -> tuple[Wanted, ...]:
    if not 1 <= len(lines) <= MAX_LINES:
        raise ValidationError(f"An order has 1 to {MAX_LINES} lines, not {len(lines)}", "lines")
    wanted: list[Wanted] = []
    for place, line in enumerate(lines):
        path = ("lines", str(place))
        if not 1 <= line["quantity"] <= MAX_QUANTITY:
            raise ValidationError(f"The quantity must be 1 to {MAX_QUANTITY:,}", *path, "quantity")
        if not is_storable(line["listing_id"]):
            raise NotFoundError(_NO_LISTING)
        if any(line["listing_id"] == earlier.listing_id for earlier in wanted):
            raise ValidationError("Each listing stands in one line: add up the quantities", *path, "listingId")
        price = price_of(line["expected_unit_price"], *path, "expectedUnitPrice")
        if wanted and price["currency"] != wanted[0].expected_unit_price["currency"]:
            raise ValidationError("An order is in one currency", *path, "expectedUnitPrice", "currency")
        wanted.append(Wanted(line["listing_id"], line["quantity"], price))
    if sum(line.quantity * line.expected_unit_price["minor_units"] for line in wanted) > MAX_MINOR_UNITS:
        raise ValidationError("The total is too large", "lines")
    return tuple(wanted)


async def _merchant_of_lines(ctx: Context, wanted: Sequence[Wanted]) -> tuple[str, str]:
    """The merchant of all lines and its owner."""
    ids = [line.listing_id for line in wanted]
    if not all(is_id("lst", id) for id in ids):
        raise NotFoundError(_NO_LISTING)
    found = [each for each in await store.listings_by_ids(ctx.database, ids) if each is not None and each["public"]]
    if len(found) < len(ids):
        raise NotFoundError(_NO_LISTING)
    merchants = {(each["merchant_id"], each["seller_id"]) for each in found}
    if len(merchants) > 1:
        raise ValidationError("An order is of one merchant: place one for each", "lines")
    return merchants.pop()


async def _with_listing(ctx: Context, refused: ExpectedError) -> ExpectedError:
    """The refusal with the listing as it is now, also where it was archived since: its buyer saw it before."""
    (listing,) = await store.listings_by_ids(ctx.database, [refused.details["listing_id"]])
    return type(refused)(refused.message, listing=listing)
