"""Whether the process lives and whether it should be sent requests: `/livez` and `/readyz`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CHECK_TIMEOUT_S: Final = 1.0
REMEMBERED_S: Final = 1.0
NOT_STORED: Final = {"Cache-Control": "no-store"}

Check = Callable[[], Awaitable[bool]]
"""Whether one thing that every request needs is there; an exception counts as no."""

_log = structlog.get_logger(__name__)


class Readiness:
    """Asks all checks at once, each for at most 1 s, and remembers the answer for 1 s, however often it is asked."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        is_draining: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = dict(checks)
        self._is_draining = is_draining
        self._clock = clock
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._results: dict[str, str] = {}
        self._asked_at: float | None = None

    async def results(self) -> dict[str, str]:
        """`ok`, `failed` or `timeout` for each check, and for `draining` while the process stops."""
        if self._asked_at is None or self._clock() - self._asked_at >= REMEMBERED_S:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        return self._results | ({"draining": "failed"} if self._is_draining() else {})

    async def _ask(self) -> dict[str, str]:
        try:
            answers = await asyncio.gather(*(_outcome(name, check) for name, check in self._checks.items()))
            results = dict(zip(self._checks, answers, strict=True))
            if results != self._results:
                # Only a change is worth a line: probes come every second.
                _log.info("readiness_changed", checks=results)
            self._results, self._asked_at = results, self._clock()
            return results
        finally:
            self._asking = None


def health_routes(readiness: Readiness) -> list[Route]:
    """`/livez`: 200 while the event loop turns. `/readyz`: 200 when every check is ok, else 503 and which is not."""

    async def live(request: Request) -> JSONResponse:
        return JSONResponse({"status": "live"}, headers=NOT_STORED)

    async def ready(request: Request) -> JSONResponse:
        results = await readiness.results()
        is_ready = all(outcome == "ok" for outcome in results.values())
        body = {"status": "ready" if is_ready else "not ready", "checks": results}
        return JSONResponse(body, 200 if is_ready else 503, headers=NOT_STORED)

    return [Route("/livez", live, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]


async def _outcome(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return "ok" if await check() else "failed"
    except TimeoutError:
        return "timeout"
    except Exception:
        _log.debug("readiness_check_failed", check=name, exc_info=True)
        return "failed"
