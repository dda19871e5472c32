"""How one webhook is sent: signed, to a judged address, without following anything, in bounded time and memory."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from standardwebhooks import Webhook

from datastores.clock import utc_now
from datastores.errors import ValidationError
from datastores.webhooks import AttemptDocument, AttemptError
from resolvers.webhooks import Target, target_of

from .guard import Guard, Refused

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024
# Whoever has answered 200 has it: the rest is read so that the connection can be used again, and not for long.
ANSWER_TIMEOUT_S: Final = 1.0
KEEP_ALIVE_S: Final = 20.0
# A date of HTTP has 29 characters.
MAX_RETRY_AFTER_LENGTH: Final = 40
USER_AGENT: Final = "Agora-Webhooks/1"
_LIMITS: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)


def signed_headers(id: str, body: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks, with one signature for each secret; `now` is naive UTC.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signatures = [Webhook(secret).sign(id, now, body) for secret in secrets]
    timestamp = int((now - datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001  # naive UTC
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(signatures)}


class Sender:
    """Sends to one endpoint, one request at a time, over a connection that is kept for 20 s.

    The connection is of one host name alone, which TLS verifies; the name is looked up anew before each request.
    """

    def __init__(
        self,
        guard: Guard,
        verify: ssl.SSLContext,
        *,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._guard = guard
        self._verify = verify
        self._timeout_s = timeout_s
        # A handshake that is cancelled leaves its socket to be collected; one that times out closes it.
        self._timeouts = {"connect": timeout_s / 3, "read": None, "write": None, "pool": None}
        self._now = now
        self._url: str | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def send(self, url: str, id: str, body: str, secrets: Sequence[str]) -> AttemptDocument:
        """What came of one request; never raises for what the other side does, and takes at most the timeout."""
        at, started = self._now(), time.monotonic()
        status: int | None = None
        retry_after_s: float | None = None
        error: AttemptError | None
        try:
            target = target_of(url, private=self._guard.private)
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._guard.addresses(target)
                headers = signed_headers(id, body, secrets, at)
                response = await self._post(url, target, addresses, headers, body.encode())
            status = response.status_code
            retry_after_s = _retry_after_s(response, self._now())
            error = _error_of_status(status)
        except ValidationError:
            error = AttemptError.URL
        except Refused as refused:
            error = refused.error
        except (TimeoutError, httpx.TimeoutException):
            error = AttemptError.TIMEOUT
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error = _error_of(failure)
        if error is not None:
            await self.close()
        duration_ms = round((time.monotonic() - started) * 1000)
        attempt: AttemptDocument = {
            "at": at,
            "status_code": status,
            "duration_ms": duration_ms,
            "error": error and error.value,
        }
        return attempt if retry_after_s is None else {**attempt, "retry_after_s": retry_after_s}

    async def close(self) -> None:
        """Close the connection, if there is one."""
        transport, self._transport = self._transport, None
        if transport is not None:
            with suppress(httpx.HTTPError, OSError):
                await transport.aclose()

    async def _post(
        self, url: str, target: Target, addresses: Sequence[str], headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        if url != self._url:
            await self.close()
            self._url = url
        for place, address in enumerate(addresses):
            try:
                return await self._post_to(target, address, headers, body)
            except (httpx.ConnectError, OSError) as error:
                # Nothing was sent. A certificate that is wrong is so at every address of the name.
                if place == len(addresses) - 1 or _error_of(error) is AttemptError.TLS:
                    raise
        raise Refused(AttemptError.NAME)

    async def _post_to(self, target: Target, address: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        if self._transport is None:
            self._transport = httpx.AsyncHTTPTransport(verify=self._verify, trust_env=False, limits=_LIMITS)
        host = f"[{address}]" if ":" in address else address
        request = httpx.Request(
            "POST",
            f"{target.scheme}://{host}:{target.port}{target.path}",
            headers={
                "Host": target.authority,
                "Content-Type": "application/json",
                "User-Agent": USER_AGENT,
                "Accept-Encoding": "identity",
                **headers,
            },
            content=body,
            # The address is connected to, the name is asked for and verified.
            extensions={"sni_hostname": target.host, "timeout": self._timeouts},
        )
        response = await self._transport.handle_async_request(request)
        try:
            await _drain(response)
        finally:
            # A connection whose answer was not read to its end is closed by this.
            await response.aclose()
        return response


async def _drain(response: httpx.Response) -> None:
    """Read the answer to its end, as far as it comes within a second and 64 KB."""
    size = 0
    with suppress(httpx.HTTPError, OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    return


def _retry_after_s(response: httpx.Response, now: datetime) -> float | None:
    """How long from `now` (naive UTC) an endpoint that failed wants to be left alone; None where it does not say.

    Seconds or a date: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    said = response.headers.get("retry-after", "").strip()[:MAX_RETRY_AFTER_LENGTH]
    if response.is_success or not said:
        return None
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    ahead = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return max(0.0, (ahead - now.replace(tzinfo=UTC)).total_seconds())


def _error_of_status(status: int) -> AttemptError | None:
    if 200 <= status <= 299:
        return None
    return AttemptError.REDIRECT if 300 <= status <= 399 else AttemptError.STATUS


def _error_of(failure: BaseException) -> AttemptError:
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return AttemptError.TLS
        cause = cause.__cause__ or cause.__context__
    if isinstance(failure, httpx.ProtocolError | httpx.DecodingError | httpx.InvalidURL):
        return AttemptError.PROTOCOL
    return AttemptError.CONNECTION
