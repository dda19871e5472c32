"""Which web origins may use this server from a browser."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit


def is_allowed_origin(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a request with this `Origin` header may go on: programs send none; browsers need ours or a listed one.

    Our own origin is known by `host`, the `Host` header, whatever the scheme: TLS may end in front of this server.
    """
    if origin is None or origin in allowed:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return bool(host) and parts.scheme in {"http", "https"} and parts.netloc.lower() == (host or "").lower()
