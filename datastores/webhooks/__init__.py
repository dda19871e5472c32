"""Webhooks: where applications want their events sent, and the log of what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymongo import IndexModel

from . import deliveries, endpoints
from .deliveries import (
    DELIVERIES,
    LOG_KEPT_FOR,
    AttemptDocument,
    AttemptError,
    DeliveryDocument,
    DeliveryState,
    deliveries_by_ids,
    deliveries_of,
    delivery_id,
    note_attempt,
    queue_again,
    queue_test,
    queued,
)
from .endpoints import (
    ENDPOINTS,
    MAX_ENDPOINTS,
    SECRETS_OVERLAP,
    SHARDS,
    DisabledReason,
    EndpointDocument,
    HeadDocument,
    SecretDocument,
    adopt,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    disable,
    enabled_of_shard,
    endpoint_of,
    endpoints_by_ids,
    endpoints_of,
    replace_secrets,
    settle,
    shard_of,
)

__all__ = [
    "DELIVERIES",
    "ENDPOINTS",
    "INDEXES",
    "LOG_KEPT_FOR",
    "MAX_ENDPOINTS",
    "SECRETS_OVERLAP",
    "SHARDS",
    "AttemptDocument",
    "AttemptError",
    "DeliveryDocument",
    "DeliveryState",
    "DisabledReason",
    "EndpointDocument",
    "HeadDocument",
    "SecretDocument",
    "adopt",
    "change_endpoint",
    "create_endpoint",
    "delete_endpoint",
    "deliveries_by_ids",
    "deliveries_of",
    "delivery_id",
    "disable",
    "enabled_of_shard",
    "endpoint_of",
    "endpoints_by_ids",
    "endpoints_of",
    "note_attempt",
    "queue_again",
    "queue_test",
    "queued",
    "replace_secrets",
    "settle",
    "shard_of",
]

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {**endpoints.INDEXES, **deliveries.INDEXES}
