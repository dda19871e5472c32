"""Partners: their applications and keys, and the events that they follow."""

from __future__ import annotations

from .applications import (
    MadeKey,
    application,
    applications_by_id,
    checked_scopes,
    create_key,
    keys,
    keys_by_id,
    partner_of,
    revoke_key,
    rotate_key,
)
from .events import (
    ENTRIES,
    PaymentEventDocument,
    by_id,
    checked_types,
    event_document,
    feed_scope,
    follow_payment_events,
    payment_events,
)
from .keys import NewPartnerKey, new_partner_key

__all__ = [
    "ENTRIES",
    "MadeKey",
    "NewPartnerKey",
    "PaymentEventDocument",
    "application",
    "applications_by_id",
    "by_id",
    "checked_scopes",
    "checked_types",
    "create_key",
    "event_document",
    "feed_scope",
    "follow_payment_events",
    "keys",
    "keys_by_id",
    "new_partner_key",
    "partner_of",
    "payment_events",
    "revoke_key",
    "rotate_key",
]
