"""The domains as processes of their own, each a subgraph over one database."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from schema.graph import DOMAINS

from .processes import Program, answers_typename, running

AGORA: Final = (sys.executable, "-c", "from gateway.cli import main; main()")
NAMES: Final = tuple(domain.name for domain in DOMAINS)


@asynccontextmanager
async def subgraphs(
    environment: Mapping[str, str], folder: Path, names: Sequence[str] = NAMES
) -> AsyncIterator[dict[str, Program]]:
    """Every domain as a process with these settings, by name, when all are ready; their logs are in `folder`."""
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(subgraph(name, environment, folder)) for name in names]
        programs = dict(zip(names, await asyncio.gather(*starting), strict=True))
        try:
            yield programs
        finally:
            for program in programs.values():
                program.signal(signal.SIGTERM)


@asynccontextmanager
async def subgraph(name: str, environment: Mapping[str, str], folder: Path, *, port: int = 0) -> AsyncIterator[Program]:
    """One domain as a process, at a port of its own choice unless one is given."""
    command = (*AGORA, "subgraph", name, "--port", str(port))
    async with running(
        name, command, folder / f"{name}.log", environment=environment, is_ready=answers_typename
    ) as program:
        yield program
