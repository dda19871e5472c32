"""The command that plays rounds of faults: what it may be asked, and what it says at its end."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from rich.console import Console

Run = Callable[[int, int, Sequence[str], Console], Awaitable[bool]]


def command(program: str, text: str | None, *, rounds: int, faults: Iterable[str], run: Run) -> None:
    """Play `run(rounds, seed, only, console)`: `rounds` and a random seed by default. Exits with 0 where all held."""
    parser = argparse.ArgumentParser(prog=program, description=text)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", choices=list(faults), default=[])
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    started = time.monotonic()
    console = Console(width=160, soft_wrap=True)

    async def play() -> bool:
        return await run(asked.rounds, seed, asked.only, console)

    held = asyncio.run(play())
    console.print(f"{'all holds' if held else 'broken'} after {time.monotonic() - started:.0f} s; seed {seed}")
    sys.exit(0 if held else 1)
