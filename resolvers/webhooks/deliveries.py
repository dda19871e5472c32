"""The log of an endpoint as its application sees it, and what it may ask to be sent once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from datastores import webhooks as store
from datastores.errors import ConflictError, ExpectedError
from datastores.ids import derived_id, new_id
from datastores.mongo import Document
from datastores.paging import PageDocument, window
from datastores.webhooks import DeliveryDocument, DeliveryState, DisabledReason, EndpointDocument
from resolvers import partners
from resolvers.connections import HasId
from resolvers.context import WEBHOOKS_WRITE, Context

from .endpoints import tell

TEST: Final = "webhook.test"
DISABLED: Final = "webhook.disabled"


async def by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the delivery, or None unless it is the application's that asks."""
    if ctx.viewer.partner_id is None:
        return [None] * len(ids)
    found = await store.deliveries_by_ids(ctx.database, ids)
    theirs = [each if each is not None and each["partner_id"] == ctx.viewer.partner_id else None for each in found]
    return cast("list[Document | None]", theirs)


async def deliveries(
    ctx: Context,
    endpoints: Sequence[HasId],
    *,
    state: DeliveryState | None = None,
    first: int | None = None,
    after: str | None = None,
) -> list[PageDocument | ExpectedError]:
    """For each endpoint a page of its log, the newest first; it goes back 30 days."""

    async def one(id: str) -> PageDocument | ExpectedError:
        try:
            asked = window(f"webhook_deliveries/{id}/{state or ''}", datetime, str, first=first, after=after)
        except ExpectedError as error:
            return error
        return await store.deliveries_of(ctx.database, id, state, asked)

    return [await one(endpoint["_id"]) for endpoint in endpoints]


async def send_test(ctx: Context, *, endpoint_id: str) -> DeliveryDocument:
    """A test that is sent once, out of turn, as soon as may be; the one that waits already, where one does.

    Raises NotFoundError, and ConflictError for an endpoint that is disabled.
    """
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    endpoint = await store.endpoint_of(ctx.database, partner_id, endpoint_id)
    if not endpoint["enabled"]:
        raise ConflictError("The endpoint is disabled: enable it first")
    delivery = await store.queue_test(ctx.database, _draft(new_id("whd"), endpoint, TEST, ctx.now()))
    await tell(ctx, endpoint)
    return delivery


async def disable(ctx: Context, endpoint: EndpointDocument, changes: Mapping[str, Any], reason: DisabledReason) -> bool:
    """Disable the endpoint with these changes, and have the application's other endpoints told, once, out of turn.

    Both are written, or neither; False where `store.settle` says so.
    """
    now = ctx.now()
    about = {"endpoint": {"id": endpoint["_id"], "url": endpoint["url"]}, "reason": reason.value}
    notices: list[DeliveryDocument] = []
    for other in await _others(ctx, endpoint):
        id = derived_id("whd", other["_id"], DISABLED, endpoint["_id"], str(endpoint["generation"]))
        notices.append({**_draft(id, other, DISABLED, now), "about": about})
    return await store.disable(ctx.database, endpoint, changes, notices)


async def tell_others(ctx: Context, endpoint: EndpointDocument) -> None:
    """Tell whoever delivers to the application's other endpoints that there is something to send."""
    for other in await _others(ctx, endpoint):
        await tell(ctx, other)


async def _others(ctx: Context, endpoint: EndpointDocument) -> list[EndpointDocument]:
    theirs = await store.endpoints_of(ctx.database, endpoint["partner_id"])
    return [each for each in theirs if each["enabled"] and each["_id"] != endpoint["_id"]]


async def replay_delivery(ctx: Context, *, delivery_id: str) -> DeliveryDocument:
    """The delivery, whose event is sent once more, out of turn and with the same `webhook-id`.

    Raises NotFoundError, and ConflictError for an endpoint that is disabled.
    """
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    (found,) = await by_id(ctx, [delivery_id])
    endpoint = None
    if found is not None:
        endpoint = await store.endpoint_of(ctx.database, partner_id, found["endpoint_id"])
        if not endpoint["enabled"]:
            raise ConflictError("The endpoint is disabled: enable it first")
    delivery = await store.queue_again(ctx.database, partner_id, delivery_id, ctx.now())
    if endpoint is not None:
        await tell(ctx, endpoint)
    return delivery


def _draft(id: str, endpoint: EndpointDocument, type: str, now: datetime) -> DeliveryDocument:
    return {
        "_id": id,
        "endpoint_id": endpoint["_id"],
        "partner_id": endpoint["partner_id"],
        "type": type,
        "event_id": None,
        "seq": None,
        "state": DeliveryState.PENDING.value,
        "attempts": [],
        "attempt_count": 0,
        "next_attempt_at": now,
        "created_at": now,
        "delivered_at": None,
        "queued_at": now,
        "forgotten_at": now + store.LOG_KEPT_FOR,
    }
