"""Payment events: what happened to a merchant's money and orders, for its owner and for partners that may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final, TypedDict, cast

from datastores import ledger
from datastores import merchants as merchants_store
from datastores import partners as store
from datastores.errors import ForbiddenError, UnauthenticatedError, ValidationError
from datastores.ids import is_id
from datastores.ledger import Entry, Money
from datastores.mongo import Document
from datastores.paging import PageDocument, decode_cursor, encode_cursor, page, window
from resolvers.audiences import Delivery
from resolvers.context import PAYMENTS_READ, Context, Viewer
from resolvers.merchants import merchant_of_viewer
from resolvers.streams import follow

ENTRIES: Final = "entries"
RIGHTS_KEPT_FOR: Final = timedelta(seconds=1)


class PaymentEventDocument(TypedDict):
    """An entry of the ledger as an event; `previous_seq` is that of the event before it in the feed asked for."""

    _id: str
    type: str
    seq: int
    previous_seq: int | None
    cursor: str
    created_at: datetime
    event_amount: Money | None
    transfer_id: str | None
    order_id: str | None
    wallet_id: str | None


class FollowedEvent(PaymentEventDocument):
    """A payment event as the feed brings it."""

    delivery: Delivery


async def by_id(ctx: Context, ids: Sequence[str]) -> list[PaymentEventDocument | None]:
    """For each id the event, or None unless it is in the feed of the caller; without a previous number."""
    merchant_ids = set(await _visible_merchants(ctx))
    if not merchant_ids:
        return [None] * len(ids)
    wanted = [ledger.sibling_id(id, "ent") if is_id("pev", id) else "" for id in ids]
    found = await ledger.entries_by_ids(ctx.database, wanted)
    return [
        event_document(ctx, entry, None)
        if entry is not None and entry["event_type"] is not None and merchant_ids & set(entry["merchants"])
        else None
        for entry in found
    ]


async def payment_events(
    ctx: Context, *, after: str | None = None, types: Sequence[str] | None = None, first: int | None = None
) -> PageDocument:
    """A page of the caller's feed, or of its events of these types, the oldest first.

    Raises UnauthenticatedError, ForbiddenError for a key without the scope `payments:read` and for a person without a
    merchant, ValidationError for a type that there is not.
    """
    merchant_ids = await _granted(ctx)
    wanted = checked_types(types)
    asked = window(feed_scope(ctx.viewer), int, first=first, after=after)
    seq = 0 if asked.key is None else cast(int, asked.key[0])
    entries = await ledger.events_after(ctx.database, merchant_ids, seq, wanted, asked.limit)
    previous = await _previous(ctx, merchant_ids, entries[0]["seq"], wanted) if entries else None
    events: list[PaymentEventDocument] = []
    for entry in entries:
        events.append(event_document(ctx, entry, previous))
        previous = entry["seq"]
    return page(cast("list[Document]", events), asked, lambda event: (event["seq"],))


async def follow_payment_events(
    ctx: Context, *, after: str | None = None, types: Sequence[str] | None = None
) -> AsyncGenerator[FollowedEvent, None]:
    """Each event of the caller's feed (of these types) past `after`, or from now on, once and in order.

    Raises as `payment_events` does, ForbiddenError where the partner may see other merchants than at the start, and
    what `streams.follow` raises.
    """
    merchant_ids = await _granted(ctx)
    wanted = checked_types(types)
    place = None if after is None else cast(int, decode_cursor(feed_scope(ctx.viewer), after, int)[0])

    async def head() -> int:
        found = await ledger.head(ctx.database)
        return 0 if found is None else found["n"]

    async def read(seq: int, limit: int) -> list[Document]:
        entries = await ledger.events_after(ctx.database, merchant_ids, seq, wanted, limit)
        return cast("list[Document]", entries)

    rows = follow(
        ctx,
        ENTRIES,
        merchant_ids,
        after=place,
        head=head,
        read=read,
        number=lambda row: cast(int, row["seq"]),
        scope=feed_scope(ctx.viewer),
    )
    last: int | None = None
    checked_at = ctx.now()
    async with aclosing(rows):
        async for row in rows:
            entry = cast(Entry, row)
            if entry["event_type"] is None or (wanted is not None and entry["event_type"] not in wanted):
                continue
            if ctx.now() - checked_at >= RIGHTS_KEPT_FOR:
                await _check_rights(ctx, merchant_ids)
                checked_at = ctx.now()
            previous = last if last is not None else await _previous(ctx, merchant_ids, entry["seq"], wanted)
            last = entry["seq"]
            yield {**event_document(ctx, entry, previous), "delivery": Delivery(entry["seq"])}


def event_document(ctx: Context, entry: Entry, previous_seq: int | None) -> PaymentEventDocument:
    """An entry as the caller sees it."""
    legs = entry["legs"]
    own = [leg["account_id"] for leg in legs if leg["owner_id"] and leg["owner_id"] == ctx.viewer.user_id]
    return {
        "_id": ledger.sibling_id(entry["_id"], "pev"),
        "type": entry["event_type"] or "",
        "seq": entry["seq"],
        "previous_seq": previous_seq,
        "cursor": encode_cursor(feed_scope(ctx.viewer), entry["seq"]),
        "created_at": entry["created_at"],
        "event_amount": ledger.money(entry["amount"], entry["currency"]) if entry["currency"] else None,
        "transfer_id": ledger.sibling_id(entry["pending_id"] or entry["_id"], "trf") if legs else None,
        "order_id": entry["order_id"],
        "wallet_id": own[0] if own else None,
    }


async def _granted(ctx: Context) -> list[str]:
    """The merchants of the caller's feed; raises what forbids it."""
    viewer = ctx.viewer
    if viewer.kind == "anonymous":
        raise UnauthenticatedError("Send a partner's key or an access token in the Authorization header")
    if viewer.kind == "partner":
        if PAYMENTS_READ not in viewer.scopes:
            raise ForbiddenError(f"The key lacks the scope {PAYMENTS_READ}")
        return list(viewer.merchant_ids)
    return [(await merchant_of_viewer(ctx))["_id"]]


async def _visible_merchants(ctx: Context) -> list[str]:
    """As `_granted`, with none where that is forbidden."""
    viewer = ctx.viewer
    if viewer.user_id is not None:
        return [merchants_store.merchant_id(viewer.user_id)]
    return list(viewer.merchant_ids) if PAYMENTS_READ in viewer.scopes else []


async def _check_rights(ctx: Context, merchant_ids: Sequence[str]) -> None:
    if ctx.viewer.partner_id is None:
        return
    now = await store.merchants_of(ctx.database, ctx.viewer.partner_id)
    if set(now) != set(merchant_ids):
        raise ForbiddenError("What this key may see has changed: subscribe again with your last cursor")


async def _previous(ctx: Context, merchant_ids: Sequence[str], seq: int, types: Sequence[str] | None) -> int | None:
    return await ledger.previous_seq(ctx.database, merchant_ids, seq, types)


def checked_types(types: Sequence[str] | None) -> list[str] | None:
    """The types, each once; raises ValidationError for one that there is not, and for none at all."""
    if types is None:
        return None
    unknown = [each for each in types if each not in store.EVENT_TYPES]
    if unknown or not types:
        raise ValidationError(f"Types are one or more of {', '.join(store.EVENT_TYPES)}", "types")
    return list(dict.fromkeys(types))


def feed_scope(viewer: Viewer) -> str:
    """The scope of the cursors of this caller's feed, however it is read."""
    return f"payment_events/{viewer.partner_id or viewer.user_id}"
