"""Webhooks: who delivers them, one process a shard of the endpoints, and how one is sent."""

from __future__ import annotations
