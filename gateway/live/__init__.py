"""Live topics: what the database's logs bring, routed to those who listen in this process."""

from .feeds import MAX_QUEUED, Feed
from .hub import Hub, LogStatistics

__all__ = ["MAX_QUEUED", "Feed", "Hub", "LogStatistics"]
