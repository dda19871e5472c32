"""The service over HTTP: JSON, one bearer token, and, where it is told so, the ways in which a service can fail."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .rides import RefusedError, Rides

MAX_BODY_BYTES: Final = 16 * 1024
MAX_REFERENCES: Final = 100
MAX_TEXT: Final = 200
MAX_ASKED: Final = 1_000
Handler = Callable[[Request], Awaitable[Response]]


def rides_app(rides: Rides, token: str, *, controls: bool = False) -> Starlette:
    """The service's application; with `controls` its faults and stages can be set by whoever has the token."""
    desk, faults = _Desk(rides), Faults(token)
    routes = [
        Route("/quotes", _guarded(desk.quotes, token, faults)),
        Route("/quotes/{id}", _guarded(desk.quote, token, faults)),
        Route("/bookings", _guarded(desk.bookings, token, faults)),
        Route("/bookings", _guarded(desk.book, token, faults), methods=["POST"]),
        Route("/cancellations", _guarded(desk.cancel, token, faults), methods=["POST"]),
    ]
    if controls:
        controlled = _Controls(rides, faults)
        routes.append(Route("/controls", _guarded(controlled.set, token, None), methods=["POST"]))
    return Starlette(routes=routes)


class _Desk:
    """What clients ask for."""

    def __init__(self, rides: Rides) -> None:
        self._rides = rides

    async def quotes(self, request: Request) -> Response:
        pickup, dropoff, currency = (_text(request.query_params.get(n)) for n in ("pickup", "dropoff", "currency"))
        return JSONResponse({"quotes": [quote.json() for quote in self._rides.offer(pickup, dropoff, currency)]})

    async def quote(self, request: Request) -> Response:
        return JSONResponse(self._rides.quote(request.path_params["id"]).json())

    async def bookings(self, request: Request) -> Response:
        references = request.query_params.get("references", "").split(",")[:MAX_REFERENCES]
        found = [self._rides.bookings[each] for each in references if each in self._rides.bookings]
        return JSONResponse({"bookings": [self._rides.json(each) for each in found]})

    async def book(self, request: Request) -> Response:
        body = await _body(request)
        if not request.headers.get("Idempotency-Key"):
            raise RefusedError(400, "NO_KEY")
        booking = self._rides.book(_text(body.get("reference")), _text(body.get("quote_id")))
        return JSONResponse(self._rides.json(booking))

    async def cancel(self, request: Request) -> Response:
        body = await _body(request)
        booking = self._rides.cancel(_text(body.get("reference")), _text(body.get("quote_id")))
        return JSONResponse(self._rides.json(booking))


@dataclass(slots=True)
class Faults:
    """How the service fails at present: one way at a time, for the next `times` requests (0: for all that come).

    Those whose method and path do not begin with `at` are spared.
    """

    token: str
    way: str = ""
    at: str = ""
    times: int = 0
    asked: list[str] = field(default_factory=list)

    def take(self, request: Request) -> str:
        """How this request fails; nothing for one that does not."""
        self.asked.append(asked := f"{request.method} {request.url.path}")
        del self.asked[:-MAX_ASKED]
        way = self.way if asked.startswith(self.at) else ""
        if way and self.times:
            self.times -= 1
            self.way = way if self.times else ""
        return way

    async def answer(self, way: str) -> Response:
        """The failure of this name; nothing was done."""
        if way == "slow":
            await asyncio.sleep(30)
        answers: dict[str, Callable[[], Response]] = {
            # A careless service: it says back what nobody should see.
            "error": lambda: JSONResponse({"error": f"Bearer {self.token}"}, status_code=500),
            "refuse": lambda: JSONResponse({"reason": f"x{self.token}"}, status_code=403),
            "garbage": lambda: Response(b"<html>\xff", media_type="application/json"),
            "other": lambda: JSONResponse({"quotes": [{"id": 7}], "bookings": "none", "state": ["?"]}),
            "huge": lambda: StreamingResponse(_endless(), media_type="application/json"),
            "drip": lambda: StreamingResponse(_dripping(), media_type="application/json"),
            "redirect": lambda: Response(status_code=307, headers={"Location": "http://127.0.0.1:9/"}),
        }
        return answers.get(way, lambda: JSONResponse({}, status_code=503))()


class _Controls:
    """What tests set, and what they learn: the requests since they last asked, and whose bookings there are."""

    def __init__(self, rides: Rides, faults: Faults) -> None:
        self._rides = rides
        self._faults = faults

    async def set(self, request: Request) -> Response:
        body = await _body(request)
        if "way" in body:
            self._faults.way, self._faults.times = str(body["way"]), int(body.get("times", 0))
            self._faults.at = str(body.get("at", ""))
        if (reference := body.get("reference")) is not None:
            booking = self._rides.bookings[reference]
            booking.stage, booking.fare = body.get("stage"), body.get("fare")
        self._rides.bookings.pop(body.get("forget", ""), None)
        if body.get("expire"):
            self._rides.quotes.clear()
        asked, self._faults.asked = self._faults.asked, []
        return JSONResponse({"asked": asked, "bookings": list(self._rides.bookings)})


def _guarded(handler: Handler, token: str, faults: Faults | None) -> Handler:
    async def handle(request: Request) -> Response:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return JSONResponse({"reason": "WHO_ARE_YOU"}, status_code=401)
        way = ""
        if faults is not None:
            way = faults.take(request)
            if way not in ("", "lost"):
                return await faults.answer(way)
        try:
            answer = await handler(request)
        except RefusedError as refused:
            answer = JSONResponse({"reason": refused.reason}, status_code=refused.status)
        # What was asked is done, and its answer is lost on the way.
        return JSONResponse({}, status_code=502) if way == "lost" else answer

    return handle


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(100_000):
        yield b"[" * 65_536


async def _dripping() -> AsyncIterator[bytes]:
    for _ in range(300):
        yield b" "
        await asyncio.sleep(0.1)


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise RefusedError(413, "TOO_LARGE")
    try:
        body = json.loads(content)
    except ValueError:
        raise RefusedError(400, "NO_JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "NO_JSON")
    return body


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise RefusedError(422, "BAD_TEXT")
    return value
