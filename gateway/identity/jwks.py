"""The public keys of an issuer: where they are found, how long they are trusted, and how seldom they are asked for."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

import httpx
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import DictKey, Key, import_key

from gateway.identity.errors import IdentityUnavailable

FRESH_S: Final = 600.0
USABLE_S: Final = 24 * 3600.0
COOLDOWN_S: Final = 10.0
FETCH_TIMEOUT_S: Final = 5.0
MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192

_log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    @property
    def generation(self) -> int:
        """Grows when keys were replaced: what was verified with an earlier generation is verified again."""
        ...

    async def find(self, key_id: str | None) -> Sequence[Key]:
        """The keys of that id, or all keys where a token names none; raises `IdentityUnavailable`."""
        ...


class FixedKeys:
    """Keys that never change, such as those of the development issuer."""

    generation = 0

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    async def find(self, key_id: str | None) -> Sequence[Key]:
        """See `KeySource.find`."""
        return _named(self._keys, key_id)


class FetchError(Exception):
    """The issuer did not deliver usable keys; the message is for the log."""


def issuer_client() -> httpx.AsyncClient:
    """A client for issuers: no redirects, one connection kept."""
    limits = httpx.Limits(max_connections=4, max_keepalive_connections=1, keepalive_expiry=30)
    return httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, limits=limits, follow_redirects=False)


class IssuerKeys:
    """The keys that an issuer publishes.

    Keys are fresh for 10 minutes, then fetched anew beside the requests that use them; while the issuer cannot be
    reached they stay usable for 24 hours. A key id that is not known asks the issuer again, but never more often than
    every 10 seconds, and never twice at once. Documents are at most 256 KB and 5 seconds.
    """

    def __init__(
        self,
        issuer: str,
        client: httpx.AsyncClient,
        *,
        https_only: bool,
        jwks_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._https_only = https_only
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at = -math.inf
        self._attempted_at = -math.inf
        self._failing = False
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0

    async def find(self, key_id: str | None) -> Sequence[Key]:
        """See `KeySource.find`."""
        age_s = self._clock() - self._fetched_at
        if age_s > USABLE_S:
            await self._refresh()
        elif age_s > FRESH_S:
            self._start()
        if not (found := self._usable(key_id)):
            await self._refresh()
            found = self._usable(key_id)
        if not found and self._failing:
            raise IdentityUnavailable("Access tokens cannot be checked now: try again shortly")
        return found

    def warm(self) -> None:
        """Begin to fetch the keys before a request needs them; an issuer that cannot be reached is only logged."""
        self._start()

    async def close(self) -> None:
        """Stop a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _usable(self, key_id: str | None) -> Sequence[Key]:
        return _named(self._keys, key_id) if self._clock() - self._fetched_at <= USABLE_S else ()

    async def _refresh(self) -> None:
        if (fetching := self._start()) is not None:
            # Shielded, since others wait for the same fetch.
            await asyncio.shield(fetching)

    def _start(self) -> asyncio.Task[None] | None:
        if self._fetching is None and self._clock() - self._attempted_at >= COOLDOWN_S:
            self._attempted_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                keys = await self._download()
        except (FetchError, TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            self._failing = True
            reason = str(error) or type(error).__name__
            _log.warning("issuer_keys_not_fetched", issuer=self._issuer, reason=reason, keys_kept=len(self._keys))
        else:
            self._failing = False
            self._fetched_at = self._clock()
            self._replace(keys)
        finally:
            self._fetching = None

    def _replace(self, keys: tuple[Key, ...]) -> None:
        if [key.as_dict() for key in keys] != [key.as_dict() for key in self._keys]:
            self._keys = keys
            self.generation += 1
            _log.info("issuer_keys_changed", issuer=self._issuer, keys=len(keys))

    async def _download(self) -> tuple[Key, ...]:
        url = self._jwks_url or await self._discover()
        keys = _usable_keys(await self._document(url))
        if not keys:
            raise FetchError("the issuer publishes no key that can be used")
        return keys

    async def _discover(self) -> str:
        document = await self._document(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        url = document.get("jwks_uri")
        if document.get("issuer") != self._issuer:
            raise FetchError("the discovery document is that of another issuer")
        if not isinstance(url, str):
            raise FetchError("the discovery document names no jwks_uri")
        return url

    async def _document(self, url: str) -> Mapping[str, object]:
        if urlsplit(url).scheme not in (("https",) if self._https_only else ("https", "http")):
            raise FetchError("an address of the issuer is not https")
        # Nothing is decompressed here, so a small answer cannot grow into a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise FetchError(f"the issuer answered {response.status_code}")
            body = await _bounded(response)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise FetchError("the issuer's answer is not JSON") from None
        if not isinstance(document, dict):
            raise FetchError("the issuer's answer is not a JSON object")
        return document


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise FetchError(f"the issuer's answer is longer than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(body)


def _named(keys: Sequence[Key], key_id: str | None) -> Sequence[Key]:
    return keys if key_id is None else [key for key in keys if key.kid == key_id]


def _usable_keys(document: Mapping[str, object]) -> tuple[Key, ...]:
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise FetchError(f"the issuer's answer holds no list of at most {MAX_KEYS} keys")
    keys = (_public_key(entry) for entry in entries)
    return tuple(key for key in keys if key is not None)


def _public_key(entry: Any) -> Key | None:
    # Keys for other uses, of other kinds and of unsafe sizes may stand in the same document: they are passed over.
    if not isinstance(entry, dict) or entry.get("kty") not in {"RSA", "EC", "OKP"} or "d" in entry:
        return None
    if entry["kty"] == "RSA" and not MIN_RSA_BITS <= len(str(entry.get("n"))) * 6 <= MAX_RSA_BITS + 6:
        return None
    try:
        key = import_key(cast("DictKey", entry))
        key.check_use("sig")
        key.check_key_op("verify")
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None
    return key
