"""Value types that domains share: identical wherever they appear."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

import strawberry

from datastores.ledger.currencies import decimal_amount
from datastores.mongo import Document
from datastores.paging import cursor_of

from .arguments import or_none
from .composition.fields import computed, plain
from .scalars import URL, BigInt, CurrencyCode, Cursor

T = TypeVar("T")


def _amount(money: Document) -> Decimal:
    return decimal_amount(money["minor_units"], money["currency"])


@strawberry.federation.type(shareable=True, description="An amount in one currency, exact.")
class Money:
    amount: Decimal = computed(
        _amount,
        reads=("minor_units", "currency"),
        description='In major units with all decimals of the currency: `"12.50"`.',
    )
    currency: CurrencyCode = plain(description="The currency.")
    minor_units: BigInt = plain(description="In the smallest unit of the currency, such as cents.")


@strawberry.input(
    description="An amount in one currency. More decimals than the currency has are refused, never rounded."
)
class MoneyInput:
    amount: Decimal = strawberry.field(description='In major units: `"12.50"`.')
    currency: CurrencyCode = strawberry.field(description="The currency.")


@strawberry.federation.type(shareable=True, description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = plain(description="Whether more follow after `endCursor`.")
    has_previous_page: bool = plain(description="Whether more come before `startCursor`.")
    start_cursor: Cursor | None = plain(description="The cursor of the first item; null for an empty page.")
    end_cursor: Cursor | None = plain(description="The cursor of the last item; null for an empty page.")


def nodes_of(connection: Document) -> list[Any]:
    """The nodes of a connection's edges."""
    return [edge["node"] for edge in connection["edges"]]


@strawberry.federation.type(shareable=True, description="One item of a page.")
class Edge(Generic[T]):
    cursor: Cursor = computed(
        cursor_of,
        reads=("scope", "place", "read"),
        description="Where the item stands; pass it as `after` or `before`.",
    )
    node: T = plain(description="The item.")


@strawberry.federation.type(shareable=True, description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = plain(description="The items with their cursors.")
    nodes: list[T] = computed(nodes_of, reads=("edges",), description="The items alone.")
    page_info: PageInfo = plain(description="Where the page stands in the list.")


@strawberry.enum(description="What a media file holds.")
class MediaKind(StrEnum):
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"


@strawberry.federation.type(shareable=True, description="A picture, film or sound that is shown with something.")
class Media:
    url: URL = plain(description="Where it is.")
    kind: MediaKind = plain(description="What it holds.")
    width: int | None = plain(description="Pixels across.")
    height: int | None = plain(description="Pixels down.")
    alt: str | None = plain(description="What it shows, for those who cannot see it; at most 500 characters.")


@strawberry.input(description="A picture, film or sound to show.")
class MediaInput:
    url: URL = strawberry.field(description="Where it is.")
    kind: MediaKind = strawberry.field(description="What it holds.")
    width: int | None = strawberry.field(default=strawberry.UNSET, description="Pixels across, 1 to 20,000.")
    height: int | None = strawberry.field(default=strawberry.UNSET, description="Pixels down, 1 to 20,000.")
    alt: str | None = strawberry.field(default=strawberry.UNSET, description="What it shows; at most 500 characters.")


def media_documents(media: list[MediaInput] | None) -> list[Document]:
    """The documents of media inputs, with absent values as None."""
    return [
        {
            "url": item.url,
            "kind": str(item.kind),
            "width": or_none(item.width),
            "height": or_none(item.height),
            "alt": or_none(item.alt),
        }
        for item in media or ()
    ]
