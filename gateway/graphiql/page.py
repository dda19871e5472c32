"""Knows the GraphiQL page: its HTML, what it may load, and the built files behind it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
STATIC_PATH = "/graphiql/static/"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
HASHED_NAME = re.compile(r"-[0-9A-Z]{8}\.[a-z]+$")
HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# A name that anybody may have registered can be made to lead here; an address and `localhost` cannot.
OWN_HOST = re.compile(
    r"(?:(?:[a-z0-9-]{1,63}\.)*localhost|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?",
    re.IGNORECASE,
)
FOR_EVER = "public, max-age=31536000, immutable"
COMMON_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class GraphiQLPerson:
    """Someone whom the page may act as, with a bearer token that is valid now. Only a development server knows any."""

    handle: str
    name: str
    token: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class GraphiQLDemo:
    """What stands ready in the variables: a conversation of the first two people, a listing and its price."""

    conversation_id: str
    listing_id: str
    listing_price_amount: str
    listing_price_currency: str


@dataclass(frozen=True, slots=True)
class GraphiQLBoot:
    """What the page's script is told. In production there are neither people nor a demo, and a token is pasted."""

    endpoint: str = "/graphql"
    people: tuple[GraphiQLPerson, ...] = ()
    demo: GraphiQLDemo | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Names of the built files that the page begins with, as the build wrote them, and the sum of their sources."""

    script: str
    style: str
    icon: str
    preload: tuple[str, ...]
    source: str


@cache
def manifest() -> Manifest:
    """Read the build's manifest, once a process. A missing one is a broken installation: `FileNotFoundError`."""
    written = json.loads((STATIC / "manifest.json").read_text(encoding="utf-8"))
    return Manifest(
        script=written["script"],
        style=written["style"],
        icon=written["icon"],
        preload=tuple(written["preload"]),
        source=written["source"],
    )


def content_security_policy(host: str = "") -> str:
    """Return the page's policy: its own origin and nothing else, no inline script, no eval.

    Monaco writes style elements as it runs, hence inline styles. `host` is the request's `Host`: some browsers do
    not count a WebSocket to the page's own origin as 'self'. One that is no host name is left out.
    """
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "worker-src 'self'",
            f"connect-src 'self'{sockets}",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "style-src 'self' 'unsafe-inline'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def page(boot: GraphiQLBoot, host: str = "") -> Response:
    """Return the HTML page with its headers, never to be stored: it may carry development tokens."""
    return HTMLResponse(
        _html(boot),
        headers={
            **COMMON_HEADERS,
            "Cache-Control": "no-store",
            "Vary": "Accept",
            "Content-Security-Policy": content_security_policy(host),
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
        },
    )


def page_app(boot: Callable[[], Awaitable[GraphiQLBoot]]) -> ASGIApp:
    """Return the ASGI application that answers a browser with the page; `boot` is asked anew for each.

    Tokens are told only to a page that was asked for by an address or as `localhost`: a site whose name was made to
    lead to this machine would otherwise read them.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "")
        response = page(await boot() if OWN_HOST.fullmatch(host) else GraphiQLBoot(), host)
        await response(scope, receive, send)

    return answer


def routes() -> list[BaseRoute]:
    """Return the routes of the built files, below `/graphiql/static/`: only files of the build, GET and HEAD."""
    return [Route(STATIC_PATH + "{name}", _static_file, methods=["GET", "HEAD"], name="graphiql_static")]


async def _static_file(request: Request) -> Response:
    path = _served().get(request.path_params["name"])
    if path is None:
        return PlainTextResponse("Not found\n", status_code=404, headers=COMMON_HEADERS)
    headers = {
        **COMMON_HEADERS,
        "Content-Type": MEDIA_TYPES[path.suffix],
        "Cache-Control": FOR_EVER if HASHED_NAME.search(path.name) else "no-cache",
        "Vary": "Accept-Encoding",
    }
    packed = "gzip" in request.headers.get("accept-encoding", "")
    body = await anyio.to_thread.run_sync(_packed if packed else Path.read_bytes, path)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


@cache
def _served() -> Mapping[str, Path]:
    return {path.name: path for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES}


@cache
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)


def _html(boot: GraphiQLBoot) -> str:
    built = manifest()
    preloads = "".join(f'<link rel="modulepreload" href="{_url(name)}">\n' for name in built.preload)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Agora · GraphiQL</title>
<link rel="icon" type="image/svg+xml" href="{_url(built.icon)}">
<link rel="stylesheet" href="{_url(built.style)}">
{preloads}<script type="application/json" id="boot">{_json_in_html(_told(boot))}</script>
<script type="module" src="{_url(built.script)}"></script>
</head>
<body>
<div id="graphiql"></div>
<noscript>GraphiQL needs JavaScript. Without it, POST a query to <code>{escape(boot.endpoint)}</code>.</noscript>
</body>
</html>
"""


def _url(name: str) -> str:
    return escape(STATIC_PATH + name)


def _told(boot: GraphiQLBoot) -> dict[str, Any]:
    demo = boot.demo
    return {
        "endpoint": boot.endpoint,
        "people": [
            {"handle": person.handle, "name": person.name, "token": person.token, "note": person.note}
            for person in boot.people
        ],
        "demo": demo
        and {
            "conversationId": demo.conversation_id,
            "listingId": demo.listing_id,
            "listingPrice": {"amount": demo.listing_price_amount, "currency": demo.listing_price_currency},
        },
    }


def _json_in_html(value: object) -> str:
    # Inside a script element only `<` can end the text or open a comment; JSON allows it escaped.
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
