"""What is sent to an endpoint next: the events of its own feed past its cursor, and what was asked for out of turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from datastores import ledger, partners
from datastores import webhooks as store
from datastores.ledger import Entry
from datastores.webhooks import DeliveryDocument, DeliveryState, EndpointDocument
from resolvers.context import PAYMENTS_READ, Context, Viewer
from resolvers.partners import PaymentEventDocument, event_document

from .deliveries import TEST

PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class Message:
    """One webhook: its log, the text to be signed and sent, and the number and time of its event.

    `body` is None where the application may not see the event any more: then nothing is sent.
    """

    delivery: DeliveryDocument
    body: str | None
    seq: int | None
    happened_at: datetime


async def granted(ctx: Context, partner_ids: Sequence[str]) -> dict[str, list[str]]:
    """For each application the merchants whose events it may be sent now; none once all of its keys have ended."""
    return await partners.merchants_with_a_key(ctx.database, partner_ids, PAYMENTS_READ, ctx.now())


async def next_messages(ctx: Context, endpoint: EndpointDocument, merchant_ids: Sequence[str]) -> list[Message]:
    """The next events of the endpoint's feed, in order; at most 20."""
    seen_by = _as_partner(ctx, endpoint, merchant_ids)
    types = endpoint["types"]
    entries = await ledger.events_after(ctx.database, merchant_ids, endpoint["cursor"], types, PAGE)
    if not entries:
        return []
    previous = await ledger.previous_seq(ctx.database, merchant_ids, entries[0]["seq"], types)
    messages = []
    for entry in entries:
        messages.append(_message(seen_by, endpoint, entry, previous))
        previous = entry["seq"]
    return messages


async def queued_messages(ctx: Context, endpoint: EndpointDocument, merchant_ids: Sequence[str]) -> list[Message]:
    """What is to be sent out of turn, the oldest request first; at most 20."""
    waiting = await store.queued(ctx.database, endpoint["_id"])
    ids = [ledger.sibling_id(each["event_id"], "ent") if each["event_id"] else "" for each in waiting]
    entries = await ledger.entries_by_ids(ctx.database, ids) if waiting else []
    seen_by = _as_partner(ctx, endpoint, merchant_ids)
    messages = []
    for delivery, entry in zip(waiting, entries, strict=True):
        if delivery["event_id"] is None:
            messages.append(Message(delivery, _notice_body(ctx, endpoint, delivery), None, delivery["created_at"]))
        elif entry is None or not set(entry["merchants"]) & set(merchant_ids):
            messages.append(Message(delivery, None, delivery["seq"], delivery["created_at"]))
        else:
            previous = await ledger.previous_seq(ctx.database, merchant_ids, entry["seq"], endpoint["types"])
            made = _message(seen_by, endpoint, entry, previous)
            messages.append(replace(made, delivery=delivery))
    return messages


def body_of(type: str, happened_at: datetime, data: dict[str, Any]) -> str:
    """The text of a webhook, as Standard Webhooks has it: type, time and data."""
    return orjson.dumps({"type": type, "timestamp": _time(happened_at), "data": data}).decode()


def _message(ctx: Context, endpoint: EndpointDocument, entry: Entry, previous: int | None) -> Message:
    event = event_document(ctx, entry, previous)
    delivery: DeliveryDocument = {
        "_id": store.delivery_id(endpoint["_id"], event["_id"]),
        "endpoint_id": endpoint["_id"],
        "partner_id": endpoint["partner_id"],
        "type": event["type"],
        "event_id": event["_id"],
        "seq": event["seq"],
        "state": DeliveryState.PENDING.value,
        "attempts": [],
        "attempt_count": 0,
        "next_attempt_at": None,
        "created_at": ctx.now(),
        "delivered_at": None,
        "queued_at": None,
        "forgotten_at": ctx.now(),
    }
    return Message(
        delivery, body_of(event["type"], event["created_at"], _data(event)), event["seq"], entry["created_at"]
    )


def _data(event: PaymentEventDocument) -> dict[str, Any]:
    """The event as the graph shows it, by the same names."""
    amount = event["event_amount"]
    return {
        "id": event["_id"],
        "type": event["type"],
        "seq": str(event["seq"]),
        "previousSeq": None if event["previous_seq"] is None else str(event["previous_seq"]),
        "cursor": event["cursor"],
        "createdAt": _time(event["created_at"]),
        "eventAmount": amount
        and {
            "amount": format(ledger.decimal_amount(amount["minor_units"], amount["currency"]), "f"),
            "currency": amount["currency"],
            "minorUnits": str(amount["minor_units"]),
        },
        "transfer": event["transfer_id"] and {"id": event["transfer_id"]},
        "order": event["order_id"] and {"id": event["order_id"]},
    }


def _notice_body(ctx: Context, endpoint: EndpointDocument, delivery: DeliveryDocument) -> str:
    if delivery["type"] == TEST:
        return body_of(TEST, ctx.now(), {"endpoint": {"id": endpoint["_id"]}})
    return body_of(delivery["type"], delivery["created_at"], delivery.get("about", {}))


def _as_partner(ctx: Context, endpoint: EndpointDocument, merchant_ids: Sequence[str]) -> Context:
    scopes = frozenset({PAYMENTS_READ})
    viewer = Viewer("partner", partner_id=endpoint["partner_id"], merchant_ids=tuple(merchant_ids), scopes=scopes)
    return replace(ctx, viewer=viewer)


def _time(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds") + "Z"
