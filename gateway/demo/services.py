"""The example services that a demo asks: processes of their own, started beside it where the checkout has them."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.settings import Settings

ROOT: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
RIDES: Final = "rides"
# Who is paid for rides in the demo town: its ferry captain.
PAYEE: Final = "victor"


@asynccontextmanager
async def example_services(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with the ride service of `examples/` connected, unless another is or there is none here."""
    if RIDES in settings.services or not (ROOT / "examples" / "rides_service").is_dir():
        yield settings
        return
    token = secrets.token_urlsafe(24)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.rides_service", "--port", "0", "--until-eof"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"RIDES_TOKEN": token},
        start_new_session=True,
    )
    try:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("a process without pipes")
        async with asyncio.timeout(START_TIMEOUT_S):
            port = (await process.stdout.readline()).decode().strip()
        if not port:
            # It has said why on standard error; the rest of the demo is none the worse.
            yield settings
            return
        yield replace(
            settings,
            service_urls=(*settings.service_urls, (RIDES, f"http://127.0.0.1:{port}")),
            service_tokens=(*settings.service_tokens, (RIDES, token)),
            service_payees=(*settings.service_payees, (RIDES, PAYEE)),
        )
        process.stdin.close()
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
