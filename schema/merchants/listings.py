"""Merchants and listings in the graph: what is offered, by whom, and how to find it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, cast

import strawberry
from strawberry import UNSET

import resolvers.merchants as use_cases
from datastores.merchants import ListingKind, ListingSort, ListingState, OrderState
from datastores.mongo import Document
from datastores.paging import PageDocument
from schema.arguments import AFTER, FIRST, Info, or_none, present
from schema.composition import batched, loads, plain, root
from schema.entities import Listing, Merchant, Order, User
from schema.errors import ConflictError, ForbiddenError, NotFoundError, ValidationError
from schema.scalars import Cursor
from schema.values import Connection, Media, MediaInput, Money, MoneyInput, media_documents

from .domain import amount_of, merchants

strawberry.enum(ListingKind, description="What is offered: a thing to send, a file, or work.")
strawberry.enum(
    ListingState,
    description=(
        "DRAFT and ARCHIVED are their seller's alone to see. Only ACTIVE ones can be ordered and are found by "
        "`listings`. SOLD_OUT comes when the stock is 0, and goes when it is not."
    ),
)
strawberry.enum(
    ListingSort,
    description=(
        "RELEVANCE: those that have all words of the search in their title first, then the newest. Prices in several "
        "currencies are sorted by currency first."
    ),
)
strawberry.enum(
    OrderState,
    description=(
        "PLACED waits for its payment, for 30 minutes at most. CANCELLED was never paid; REFUNDED was, and got all "
        "of it back."
    ),
)


@merchants.extends(Merchant)
class MerchantFields:
    owner: User | None = loads(User, key="owner_id", description="Whose it is; a person has one merchant at most.")
    name: str = plain(description="1–140 characters.")
    description: str = plain(description="At most 10,000 characters; may be empty.")
    created_at: datetime = plain(description="When it was opened.")
    listings: Connection[Listing] = batched(
        use_cases.listings_of_merchants,
        description="What it offers, newest first; its owner sees drafts and archived ones too.",
        first=FIRST,
        after=AFTER,
    )
    orders: Connection[Order] | None = batched(
        use_cases.orders_of_merchants,
        description="What was ordered of it, newest first; null unless the viewer owns it.",
        state="Only those in this state.",
        first=FIRST,
        after=AFTER,
    )


@merchants.extends(Listing)
class ListingFields:
    merchant: Merchant | None = loads(Merchant, key="merchant_id", description="The merchant that offers it.")
    seller: User | None = loads(User, key="seller_id", description="The merchant's owner.")
    title: str = plain(description="1–140 characters.")
    description: str = plain(description="1–10,000 characters.")
    category: str = plain(description="1–50 characters.")
    kind: ListingKind = plain(description="What it is.")
    price: Money = plain(description="What one costs now.")
    photos: list[Media] = plain(description="At most 10.")
    stock: int | None = plain(description="How many are left to order now; null without limit.")
    state: ListingState = plain(description="Whether it can be ordered.")
    created_at: datetime = plain(description="When it was made.")


@merchants.extends(User)
class UserMerchants:
    listings: Connection[Listing] | None = batched(
        use_cases.listings_of_users,
        description="What their merchant offers, newest first; drafts and archived ones for themselves alone.",
        first=FIRST,
        after=AFTER,
    )
    merchant: Merchant | None = batched(
        use_cases.merchants_of_users, description="The merchant that they own; null if none."
    )


@strawberry.input(description="A merchant to open; a person has one.")
class OpenMerchantInput:
    name: str = strawberry.field(description="1–140 characters.")
    description: str | None = strawberry.field(default=UNSET, description="At most 10,000 characters.")


@strawberry.input(description="Something to offer.")
class CreateListingInput:
    title: str = strawberry.field(description="1–140 characters.")
    description: str = strawberry.field(description="1–10,000 characters.")
    category: str = strawberry.field(description="1–50 characters; found in any case.")
    kind: ListingKind = strawberry.field(description="What it is.")
    price: MoneyInput = strawberry.field(description="More than zero.")
    stock: int | None = strawberry.field(default=UNSET, description="0–1,000,000,000; without limit if absent.")
    photos: list[MediaInput] | None = strawberry.field(default=UNSET, description="At most 10.")
    state: ListingState | None = strawberry.field(default=UNSET, description="DRAFT, PAUSED, or ACTIVE if absent.")


@strawberry.input(description="What changes of a listing: what is absent stays, null clears.")
class UpdateListingInput:
    listing_id: strawberry.ID = strawberry.field(description="A listing of the viewer's.")
    title: str | None = strawberry.field(default=UNSET, description="1–140 characters; cannot be cleared.")
    description: str | None = strawberry.field(default=UNSET, description="1–10,000 characters; cannot be cleared.")
    category: str | None = strawberry.field(default=UNSET, description="1–50 characters; cannot be cleared.")
    price: MoneyInput | None = strawberry.field(default=UNSET, description="More than zero; cannot be cleared.")
    stock: int | None = strawberry.field(default=UNSET, description="0–1,000,000,000; null is without limit.")
    photos: list[MediaInput] | None = strawberry.field(default=UNSET, description="At most 10; null is none.")
    state: ListingState | None = strawberry.field(
        default=UNSET, description="ACTIVE, PAUSED or ARCHIVED, which is for ever; DRAFT only of a draft."
    )


@strawberry.type(description="The merchant is open.")
class OpenMerchantSuccess:
    merchant: Merchant = plain(description="The merchant.")


@strawberry.type(description="The listing is made.")
class CreateListingSuccess:
    listing: Listing = plain(description="The listing.")


@strawberry.type(description="The listing is changed.")
class UpdateListingSuccess:
    listing: Listing = plain(description="The listing as it is now.")


OpenMerchantResult = Annotated[
    OpenMerchantSuccess | ConflictError | ForbiddenError | ValidationError,
    strawberry.union("OpenMerchantResult", description="What came of `openMerchant`."),
]
CreateListingResult = Annotated[
    CreateListingSuccess | ForbiddenError | ValidationError,
    strawberry.union("CreateListingResult", description="What came of `createListing`."),
]
UpdateListingResult = Annotated[
    UpdateListingSuccess | NotFoundError | ForbiddenError | ValidationError | ConflictError,
    strawberry.union("UpdateListingResult", description="What came of `updateListing`."),
]


@merchants.root
class Query:
    @root(Listing | None, description="A listing by its id; null where there is none that the viewer may see.")
    async def listing(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The listing's id.")]
    ) -> Document | None:
        return await use_cases.listing(info.context, id=id)

    @root(Connection[Listing] | None, description="What can be ordered now, of all merchants.")
    async def listings(
        self,
        info: Info,
        search: Annotated[
            str | None,
            strawberry.argument(description="Whole words, all of which must be there; the first 8 count."),
        ] = UNSET,
        category: Annotated[str | None, strawberry.argument(description="Only of this category, in any case.")] = UNSET,
        min_price: Annotated[
            MoneyInput | None, strawberry.argument(description="At least this, and only in its currency.")
        ] = UNSET,
        max_price: Annotated[
            MoneyInput | None, strawberry.argument(description="At most this, and only in its currency.")
        ] = UNSET,
        sort: Annotated[ListingSort | None, strawberry.argument(description="RELEVANCE if absent.")] = UNSET,
        first: Annotated[int | None, strawberry.argument(description=FIRST)] = UNSET,
        after: Annotated[Cursor | None, strawberry.argument(description=AFTER)] = UNSET,
    ) -> PageDocument:
        return await use_cases.listings(
            info.context,
            search=or_none(search),
            category=or_none(category),
            min_price=amount_of(min_price) if min_price else None,
            max_price=amount_of(max_price) if max_price else None,
            sort=or_none(sort),
            first=or_none(first),
            after=or_none(after),
        )

    @root(Merchant | None, description="A merchant by its id, or null.")
    async def merchant(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The merchant's id.")]
    ) -> Document | None:
        return cast("Document | None", await use_cases.merchant(info.context, id=id))


@merchants.root
class Mutation:
    @root(OpenMerchantResult | None, description="Open the viewer's merchant. `ConflictError` where they have one.")
    async def open_merchant(
        self, info: Info, input: Annotated[OpenMerchantInput, strawberry.argument(description="The merchant.")]
    ) -> Document:
        made = await use_cases.open_merchant(info.context, name=input.name, description=or_none(input.description))
        return {"__typename": "OpenMerchantSuccess", "merchant": made}

    @root(CreateListingResult | None, description="Offer something. `ForbiddenError` without a merchant.")
    async def create_listing(
        self, info: Info, input: Annotated[CreateListingInput, strawberry.argument(description="The listing.")]
    ) -> Document:
        made = await use_cases.create_listing(
            info.context,
            title=input.title,
            description=input.description,
            category=input.category,
            kind=input.kind,
            price=amount_of(input.price),
            stock=or_none(input.stock),
            photos=media_documents(or_none(input.photos)),
            state=or_none(input.state),
        )
        return {"__typename": "CreateListingSuccess", "listing": made}

    @root(UpdateListingResult | None, description="Change a listing of the viewer's.")
    async def update_listing(
        self, info: Info, input: Annotated[UpdateListingInput, strawberry.argument(description="What changes.")]
    ) -> Document:
        changed = await use_cases.update_listing(info.context, listing_id=input.listing_id, changes=_changes(input))
        return {"__typename": "UpdateListingSuccess", "listing": changed}


def _changes(input: UpdateListingInput) -> dict[str, Any]:
    changes = dict(
        present(
            title=input.title,
            description=input.description,
            category=input.category,
            price=input.price,
            stock=input.stock,
            photos=input.photos,
            state=input.state,
        )
    )
    if changes.get("price") is not None:
        changes["price"] = amount_of(changes["price"])
    if changes.get("photos") is not None:
        changes["photos"] = media_documents(changes["photos"])
    return changes
