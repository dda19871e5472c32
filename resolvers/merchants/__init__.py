"""Merchants: opening one, offering things, ordering them, and what the system does when an order's time has come."""

from resolvers.wallets import AmountInput

from .chores import complete_orders, expire_orders
from .follow_ups import finish_order_follow_ups
from .listings import (
    create_listing,
    listing,
    listings,
    listings_by_id,
    listings_of_merchants,
    listings_of_users,
    update_listing,
)
from .order_events import OrderEvent, event_cursor, order_updated
from .orders import (
    LineInput,
    OrderChanged,
    OrderPaid,
    OrderPlaced,
    cancel_order,
    complete_order,
    order,
    orders_by_id,
    orders_of_merchants,
    orders_of_viewers,
    pay_order,
    place_order,
    ship_order,
)
from .shops import merchant, merchant_of_viewer, merchants_by_id, merchants_of_users, open_merchant

__all__ = [
    "AmountInput",
    "LineInput",
    "OrderChanged",
    "OrderEvent",
    "OrderPaid",
    "OrderPlaced",
    "cancel_order",
    "complete_order",
    "complete_orders",
    "create_listing",
    "event_cursor",
    "expire_orders",
    "finish_order_follow_ups",
    "listing",
    "listings",
    "listings_by_id",
    "listings_of_merchants",
    "listings_of_users",
    "merchant",
    "merchant_of_viewer",
    "merchants_by_id",
    "merchants_of_users",
    "open_merchant",
    "order",
    "order_updated",
    "orders_by_id",
    "orders_of_merchants",
    "orders_of_viewers",
    "pay_order",
    "place_order",
    "ship_order",
    "update_listing",
]
