"""What the driver tells of by itself: commands that have ended, and servers that came, went, or changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)

from .types import OnCommand


class EndedCommands(CommandListener):
    """Reports each command as (name, collection, seconds, succeeded)."""

    def __init__(self, on_command: OnCommand) -> None:
        self._on_command = on_command
        self._collections: dict[int, str] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Only here is the command's collection known."""
        key = "collection" if event.command_name == "getMore" else event.command_name
        name = event.command.get(key)
        self._collections[event.request_id] = name if isinstance(name, str) else ""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """It has ended well."""
        self._end(event.request_id, event.command_name, event.duration_micros, True)

    def failed(self, event: CommandFailedEvent) -> None:
        """It has ended with an error."""
        self._end(event.request_id, event.command_name, event.duration_micros, False)

    def _end(self, request_id: int, command: str, micros: int, ok: bool) -> None:
        self._on_command(command, self._collections.pop(request_id, ""), micros / 1e6, ok)


class Changes(TopologyListener):
    """Hears from the driver, in whatever thread and up to half a second late, that servers came, went, or changed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: Callable[[], None]) -> None:
        self._loop = loop
        self._on_change = on_change

    def opened(self, event: TopologyOpenedEvent) -> None:
        """Nothing is known yet."""

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        """Who waits for a server that is gone should not have to ask for that."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_change)

    def closed(self, event: TopologyClosedEvent) -> None:
        """The client has been closed."""
