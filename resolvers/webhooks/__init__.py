"""Webhooks: endpoints of applications, what is sent to them and when, and the log of it."""

from __future__ import annotations

from .addresses import Target, is_public, target_of
from .deliveries import DISABLED, TEST, deliveries, disable, replay_delivery, send_test, tell_others
from .deliveries import by_id as deliveries_by_id
from .endpoints import (
    CHANNEL,
    EndpointWithSecret,
    create_endpoint,
    delete_endpoint,
    endpoints,
    replay_from,
    rotate_secret,
    settled_cursors,
    update_endpoint,
)
from .endpoints import by_id as endpoints_by_id
from .feeds import Message, granted, next_messages, queued_messages
from .schedule import SCHEDULE, Schedule, Verdict, is_success, judge
from .secrets import valid_secrets

__all__ = [
    "CHANNEL",
    "DISABLED",
    "SCHEDULE",
    "TEST",
    "EndpointWithSecret",
    "Message",
    "Schedule",
    "Target",
    "Verdict",
    "create_endpoint",
    "delete_endpoint",
    "deliveries",
    "deliveries_by_id",
    "disable",
    "endpoints",
    "endpoints_by_id",
    "granted",
    "is_public",
    "is_success",
    "judge",
    "next_messages",
    "queued_messages",
    "replay_delivery",
    "replay_from",
    "rotate_secret",
    "send_test",
    "settled_cursors",
    "target_of",
    "tell_others",
    "update_endpoint",
    "valid_secrets",
]
