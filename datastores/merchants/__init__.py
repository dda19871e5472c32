"""Merchants: shops, what they offer, and what is ordered of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pymongo import IndexModel

from datastores.mongo import Document

from . import listings, orders, shops
from .listings import (
    LISTINGS,
    MAX_STOCK,
    ListingChanges,
    ListingDocument,
    ListingKind,
    ListingState,
    UpdateListing,
    hide_listings,
    insert_listings,
    is_public,
    listing_document,
    listings_by_ids,
    listings_of,
)
from .orders import (
    EVENTS,
    FOLLOW_UPS,
    ORDERS,
    OrderDocument,
    OrderEventKind,
    OrderFollowUp,
    OrderState,
    due_follow_ups,
    due_orders,
    event_head,
    event_number,
    events_after,
    finish_follow_up,
    follow_up,
    open_order_ids,
    orders_by_ids,
    orders_of_buyer,
    orders_of_merchants,
    postpone,
    postpone_follow_up,
)
from .placing import Decided, PlaceOrder, Wanted
from .purchases import CancelOrder, CompleteOrder, PayOrder, ShipOrder
from .searches import ListingSort, Search, search
from .shops import (
    MERCHANTS,
    MerchantDocument,
    blank_merchant,
    merchant_document,
    merchant_id,
    merchants_by_ids,
    open_merchant,
)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {**shops.INDEXES, **listings.INDEXES, **orders.INDEXES}
LOGS: Final[dict[str, Callable[[Document], Sequence[str]]]] = orders.LOGS

__all__ = [
    "EVENTS",
    "FOLLOW_UPS",
    "INDEXES",
    "LISTINGS",
    "LOGS",
    "MAX_STOCK",
    "MERCHANTS",
    "ORDERS",
    "CancelOrder",
    "CompleteOrder",
    "Decided",
    "ListingChanges",
    "ListingDocument",
    "ListingKind",
    "ListingSort",
    "ListingState",
    "MerchantDocument",
    "OrderDocument",
    "OrderEventKind",
    "OrderFollowUp",
    "OrderState",
    "PayOrder",
    "PlaceOrder",
    "Search",
    "ShipOrder",
    "UpdateListing",
    "Wanted",
    "blank_merchant",
    "due_follow_ups",
    "due_orders",
    "event_head",
    "event_number",
    "events_after",
    "finish_follow_up",
    "follow_up",
    "hide_listings",
    "insert_listings",
    "is_public",
    "listing_document",
    "listings_by_ids",
    "listings_of",
    "merchant_document",
    "merchant_id",
    "merchants_by_ids",
    "open_merchant",
    "open_order_ids",
    "orders_by_ids",
    "orders_of_buyer",
    "orders_of_merchants",
    "postpone",
    "postpone_follow_up",
    "search",
]
