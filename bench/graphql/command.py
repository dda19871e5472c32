"""What a benchmark's command does around its measuring: where it can run, what it prints and leaves, how it fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from rich.console import Console

from .load import LoadError
from .verification import DifferentAnswer

OUTPUT_WIDTH: Final = 120
MAX_COMPLAINTS: Final = 20


class Run(Protocol):
    """Measures, and returns the results, which name `complaints`."""

    def __call__(self, console: Console, *, quick: bool, driver: str) -> Coroutine[Any, Any, dict[str, Any]]:
        """The results; raises DifferentAnswer and LoadError."""
        ...


def command(
    run: Run, show: Callable[[Console, Mapping[str, Any]], None], write: Callable[[Mapping[str, Any]], list[Path]]
) -> None:
    """Run by QUICK=1 or in full, with the driver of AGORA_MONGO_DRIVER; show the results, and `write` their files.

    Ends the process with a line where nothing could be measured, or an answer was not good.
    """
    console = Console(width=None if sys.stdout.isatty() else OUTPUT_WIDTH)
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("agora: the benchmark needs Linux: it gives the servers a core of their own")
    quick = os.environ.get("QUICK", "") not in ("", "0")
    driver = os.environ.get("AGORA_MONGO_DRIVER") or "motor"
    try:
        results = asyncio.run(_until_ended(run(console, quick=quick, driver=driver)))
    except asyncio.CancelledError:
        sys.exit("agora: ended before all was measured")
    except (DifferentAnswer, LoadError) as error:
        sys.exit(f"agora: {error}")
    show(console, results)
    console.print(f"written: {', '.join(map(str, write(results)))}")
    if complaints := results["complaints"]:
        lines = ["agora: not all answers were good, so these figures say little:", *complaints[:MAX_COMPLAINTS]]
        sys.exit("\n".join(lines))


async def _until_ended(measuring: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Whoever ends this process ends what it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measuring
