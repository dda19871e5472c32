"""The client of one service of somebody else: its credentials; how long, how often and how much at most."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson
import structlog

from datastores.errors import UpstreamUnavailableError
from datastores.mongo import Document
from resolvers.services import Service, ServiceRefusedError

from .breakers import Breaker, OpenBreakerError, ServiceFailedError

ATTEMPT_TIMEOUT_S: Final = 2.0
# Less than an operation has, and than a use case that moves money has left after it.
TOTAL_TIMEOUT_S: Final = 5.0
MAX_ATTEMPTS: Final = 3
RETRY_PAUSE_S: Final = 0.1
MAX_CALLS: Final = 64
MAX_ANSWER_BYTES: Final = 256 * 1024
MAX_REFUSAL_BYTES: Final = 8 * 1024
# What a client in a hurry, or a service with too much to do, is answered: it is not well, whatever it was asked.
_NOT_WELL: Final = frozenset({408, 425, 429})
_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z", re.ASCII)
OnCall = Callable[[str, str, float], None]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a service is, our token there, and the handle of the person who is paid for what it does."""

    url: str
    token: str | None = field(default=None, repr=False)
    payee: str | None = None


def _ignore(_service: str, _outcome: str, _duration_s: float) -> None:
    pass


class UpstreamClient:
    """Asks one service; see `resolvers.services.Service`.

    A try gets 2 s and all tries together 5 s. What may be repeated is tried 3 times, with pauses that grow and vary.
    At most 64 calls are under way; no more wait. Of an answer at most 256 KB are read. Redirects are not followed, no
    proxy of the environment is used, and nothing that the service says stands in an error or in the log.
    """

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        client: httpx.AsyncClient,
        *,
        on_call: OnCall = _ignore,
        breaker: Breaker | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.payee = upstream.payee
        self.breaker = breaker or Breaker()
        self._base = upstream.url.rstrip("/")
        self._client = client
        self._on_call = on_call
        self._jitter = jitter
        self._calls = 0

    async def read(self, path: str, query: Mapping[str, str]) -> Document:
        """What is there; see `Service.read`."""
        return await self._ask("GET", path, params=query, may_repeat=True)

    async def act(self, path: str, body: Mapping[str, object], *, key: str | None) -> Document:
        """Have something done; see `Service.act`."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._ask("POST", path, body=body, headers=headers, may_repeat=key is not None)

    async def query(self, document: str, variables: Mapping[str, object], *, path: str = "/graphql") -> Document:
        """The data of a GraphQL query; see `Service.query`."""
        body = {"query": document, "variables": dict(variables)}
        answer = await self._ask("POST", path, body=body, may_repeat=True)
        data = answer.get("data")
        if answer.get("errors") or not isinstance(data, dict):
            _log.warning("service_failed", service=self.name, reason="errors")
            raise self._unavailable("answered with errors")
        return data

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        may_repeat: bool,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        if self._calls >= MAX_CALLS:
            self._on_call(self.name, "crowded", 0.0)
            raise self._unavailable("has too many calls of ours under way")
        content = None if body is None else orjson.dumps(body)
        sent = {**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})}
        request = self._client.build_request(method, self._base + path, params=params, content=content, headers=sent)
        self._calls += 1
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return await self._tries(request, MAX_ATTEMPTS if may_repeat else 1)
        except TimeoutError:
            raise self._unavailable("does not answer in time") from None
        finally:
            self._calls -= 1

    async def _tries(self, request: httpx.Request, attempts: int) -> Document:
        for attempt in range(1, attempts + 1):
            try:
                return await self._try(request)
            except OpenBreakerError:
                self._on_call(self.name, "open", 0.0)
                raise self._unavailable("has failed too often and is left alone for a while") from None
            except ServiceFailedError as failure:
                _log.warning("service_failed", service=self.name, reason=failure.reason, attempt=attempt)
                if attempt == attempts:
                    raise self._unavailable("does not answer as it should") from None
            await asyncio.sleep(RETRY_PAUSE_S * 2 ** (attempt - 1) * (0.5 + self._jitter()))
        raise AssertionError("unreachable")

    async def _try(self, request: httpx.Request) -> Document:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            with self.breaker.call():
                status, content = await self._exchange(request)
                answer = _answer(status, content)
            if status >= 400:
                raise self._refused(status, answer)
            outcome = "ok"
            return answer
        except ServiceFailedError as failure:
            outcome = failure.reason
            raise
        except ServiceRefusedError:
            outcome = "refused"
            raise
        except OpenBreakerError:
            outcome = ""
            raise
        finally:
            if outcome:
                self._on_call(self.name, outcome, time.monotonic() - started)

    async def _exchange(self, request: httpx.Request) -> tuple[int, bytes]:
        """Status and body of one try; raises ServiceFailedError where there is no whole answer."""
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                response = await self._client.send(request, stream=True)
                try:
                    return response.status_code, await _bounded(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise ServiceFailedError("timeout") from None
        except httpx.HTTPError:
            # Its text may have the address in it, and what the service said.
            raise ServiceFailedError("connection") from None

    def _refused(self, status: int, answer: Document) -> ServiceRefusedError:
        reason = answer.get("reason")
        word = reason if isinstance(reason, str) and _REASON.match(reason) else "REFUSED"
        if status in (401, 403):
            _log.error("service_refused_us", service=self.name, status=status)
        return ServiceRefusedError(f"The service {self.name!r} refused", status, word)

    def _unavailable(self, what: str) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(f"The service {self.name!r} {what}: try again later")


def _answer(status: int, content: bytes) -> Document:
    """The JSON object of a usable answer; raises ServiceFailedError for any other."""
    if status >= 500 or status in _NOT_WELL:
        raise ServiceFailedError("failure")
    try:
        answer: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    if 200 <= status < 300 and isinstance(answer, dict):
        return answer
    if 400 <= status < 500:
        return answer if isinstance(answer, dict) else {}
    raise ServiceFailedError("garbage")


async def _bounded(response: httpx.Response) -> bytes:
    """The body as it was sent; raises ServiceFailedError for one that is too large, or packed though we said not to."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ServiceFailedError("garbage")
    most = MAX_REFUSAL_BYTES if response.status_code >= 400 else MAX_ANSWER_BYTES
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > most:
            raise ServiceFailedError("too_large")
    return bytes(content)


@asynccontextmanager
async def open_services(
    names: frozenset[str], upstreams: Mapping[str, Upstream], on_call: OnCall = _ignore
) -> AsyncIterator[Mapping[str, Service]]:
    """Clients of those of the services `names` of which it is known where they are."""
    async with AsyncExitStack() as stack:
        clients: dict[str, Service] = {}
        for name in sorted(names & upstreams.keys()):
            client = await stack.enter_async_context(http_client(upstreams[name]))
            clients[name] = UpstreamClient(name, upstreams[name], client, on_call=on_call)
        yield clients


def http_client(upstream: Upstream) -> httpx.AsyncClient:
    """A client that says our token to this service, and to no other place."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "agora"}
    if upstream.token is not None:
        headers["Authorization"] = f"Bearer {upstream.token}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=ATTEMPT_TIMEOUT_S,
        limits=httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=16, keepalive_expiry=30),
        follow_redirects=False,
        trust_env=False,
    )
