"""How a command runs: with the settings of the environment, on a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.settings import Environment, Settings


def settings(default_environment: Environment = Environment.DEVELOPMENT) -> Settings:
    """The settings of the environment; raises SettingsError with all that is wrong."""
    return Settings.of_process(default_environment)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What the work returns."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
