"""The example ride service in a process of its own, whose faults and rides a test sets."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.services import OnCall, Upstream, UpstreamClient
from gateway.services.clients import http_client

ROOT = Path(__file__).resolve().parents[1]
PAYEE = "victor"


@dataclass(frozen=True)
class RidesService:
    """The running service: where it is, its token, and a hand on it."""

    url: str
    token: str
    http: httpx.AsyncClient

    @property
    def upstream(self) -> Upstream:
        """How a gateway reaches it."""
        return Upstream(self.url, self.token, PAYEE)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that connect it."""
        return {
            "service_urls": (("rides", self.url),),
            "service_tokens": (("rides", self.token),),
            "service_payees": (("rides", PAYEE),),
        }

    async def control(self, **what: Any) -> dict[str, Any]:
        """Set how it fails (`way`, `times`) or how far a ride is; what it was asked since, and its bookings."""
        response = await self.http.post(f"{self.url}/controls", json=what)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    @asynccontextmanager
    async def client(self, *, token: str | None = None, on_call: OnCall | None = None) -> AsyncIterator[UpstreamClient]:
        """A client of a process that has just started."""
        upstream = Upstream(self.url, token or self.token, PAYEE)
        async with http_client(upstream) as http:
            given: dict[str, Any] = {} if on_call is None else {"on_call": on_call}
            yield UpstreamClient("rides", upstream, http, **given)


@asynccontextmanager
async def rides_service(*, pace_s: float = 0.0) -> AsyncIterator[RidesService]:
    """The service, until the block ends; with no pace its rides go on by hand."""
    token = f"secret-{secrets.token_hex(12)}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.rides_service", "--port", "0", "--controls", "--until-eof"),
        *("--pace", str(pace_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"RIDES_TOKEN": token},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = (await process.stdout.readline()).decode().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=10) as http:
            yield RidesService(f"http://127.0.0.1:{port}", token, http)
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
