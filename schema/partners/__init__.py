"""Partners in the graph: applications with their keys, the feed of payment events, and webhooks."""

from . import applications, events, webhooks
from .domain import partners

__all__ = ["applications", "events", "partners", "webhooks"]
