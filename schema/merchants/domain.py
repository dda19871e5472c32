"""The domain of merchants, and the words that its files share."""

from __future__ import annotations

import resolvers.merchants as use_cases
from datastores.merchants import ListingDocument, MerchantDocument, OrderDocument
from schema.composition import Domain
from schema.entities import Listing, Merchant, Order
from schema.values import MoneyInput

merchants = Domain("merchants")
merchants.owns(Merchant, use_cases.merchants_by_id, document=MerchantDocument, viewer=False)
merchants.owns(Listing, use_cases.listings_by_id, document=ListingDocument)
merchants.owns(Order, use_cases.orders_by_id, document=OrderDocument)


def amount_of(given: MoneyInput) -> use_cases.AmountInput:
    """The amount as use cases take it."""
    return {"amount": given.amount, "currency": given.currency}
