"""The GraphiQL page: what it may load, what it tells its script, and that the built files are whole and current."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from gateway.graphiql.page import (
    STATIC,
    STATIC_PATH,
    GraphiQLBoot,
    GraphiQLDemo,
    GraphiQLPerson,
    content_security_policy,
    manifest,
    page,
    page_app,
    routes,
)

SOURCE = STATIC.parent / "source"
ALICE = GraphiQLPerson("alice", "Alice", "token-of-alice")
DEMO = GraphiQLDemo("conv_1", "lst_1", "12.00", "EUR")


class Elements(HTMLParser):
    """Collects every element of a page with its attributes, and the text inside script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements[-1:] and self.elements[-1][0] == "script":
            self.scripts[-1] += data


def html(boot: GraphiQLBoot) -> str:
    return bytes(page(boot).body).decode()


def told(boot: GraphiQLBoot) -> dict[str, object]:
    elements = Elements(html(boot))
    told: dict[str, object] = json.loads(elements.scripts[0])
    return told


async def get(url: str, *, method: str = "GET", accept_encoding: str = "identity") -> httpx.Response:
    transport = httpx.ASGITransport(app=Starlette(routes=routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://agora.test") as client:
        return await client.request(method, url, headers={"accept-encoding": accept_encoding})


def test_policy_allows_this_origin_alone() -> None:
    directives = dict(part.split(" ", 1) for part in content_security_policy().split("; "))

    assert directives.pop("style-src") == "'self' 'unsafe-inline'"
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "worker-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "graph.example.org"])
def test_policy_names_the_sockets_of_its_own_host(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host};" in content_security_policy(host)


@pytest.mark.parametrize("host", ["a b", "x; script-src *", "*", "host:", "evil\nhost", "x,y", "ü.example"])
def test_policy_leaves_out_a_host_that_is_none(host: str) -> None:
    assert content_security_policy(host) == content_security_policy()


def test_page_is_not_stored_nor_framed_nor_sniffed() -> None:
    headers = page(GraphiQLBoot()).headers

    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "script-src 'self';" in headers["content-security-policy"]


def test_script_is_told_people_and_demo() -> None:
    boot = GraphiQLBoot(endpoint="/graph", people=(ALICE,), demo=DEMO)

    assert told(boot) == {
        "endpoint": "/graph",
        "people": [{"handle": "alice", "name": "Alice", "token": "token-of-alice", "note": ""}],
        "demo": {
            "conversationId": "conv_1",
            "listingId": "lst_1",
            "listingPrice": {"amount": "12.00", "currency": "EUR"},
        },
    }


def test_production_page_names_nobody() -> None:
    assert told(GraphiQLBoot()) == {"endpoint": "/graphql", "people": [], "demo": None}


async def test_application_tells_the_page_anew_each_time() -> None:
    tokens = iter(["first", "second"])

    async def boot() -> GraphiQLBoot:
        return GraphiQLBoot(people=(GraphiQLPerson("alice", "Alice", next(tokens)),))

    transport = httpx.ASGITransport(app=page_app(boot))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        answers = [await client.get("/graphql"), await client.get("/graphql")]

    assert ["first" in answers[0].text, "second" in answers[1].text] == [True, True]
    assert "ws://localhost:8000 " in answers[0].headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "is_told"),
    [
        ("localhost", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.0.7:8000", True),
        ("agora.localhost:8000", True),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example#localhost", False),
        ("", False),
    ],
)
async def test_tokens_are_told_under_a_name_that_nobody_else_can_have(host: str, is_told: bool) -> None:
    async def boot() -> GraphiQLBoot:
        return GraphiQLBoot(people=(ALICE,))

    transport = httpx.ASGITransport(app=page_app(boot))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        answer = await client.get("/graphql", headers={"Host": host})

    assert (ALICE.token in answer.text) is is_told


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "]]>&\u2028\u2029\"'\\"])
def test_told_text_cannot_leave_its_element(text: str) -> None:
    boot = GraphiQLBoot(endpoint=text, people=(GraphiQLPerson(text, text, text, text),))

    elements = Elements(html(boot))

    assert json.loads(elements.scripts[0])["endpoint"] == text
    assert len(elements.scripts) == 2


def test_no_script_is_inline_and_nothing_comes_from_elsewhere() -> None:
    for tag, attributes in Elements(html(GraphiQLBoot(people=(ALICE,), demo=DEMO))).elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or STATIC_PATH).startswith(STATIC_PATH)
        if tag == "script":
            assert attributes.get("src") or attributes["type"] == "application/json"


async def test_every_file_that_the_page_names_is_served() -> None:
    elements = Elements(html(GraphiQLBoot())).elements
    named = [url for _, attributes in elements for url in (attributes.get("src"), attributes.get("href")) if url]

    answers = {url: await get(url) for url in named}

    assert len(named) >= 4
    assert {url for url, answer in answers.items() if answer.status_code != 200 or not answer.content} == set()


def test_every_file_that_the_scripts_name_exists() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    imported = {
        name
        for text in scripts.values()
        for name in re.findall(r'(?:from|import|import\()\s*"\./([^"]+\.js)"', text)
        + re.findall(re.escape(STATIC_PATH) + r"([\w.-]+)", text)
    }

    assert {name.split("-")[0] for name in imported} >= {"chunk", "editor", "json", "graphql"}
    assert {name for name in imported if not (STATIC / name).is_file()} == set()


def test_nothing_is_loaded_from_another_host() -> None:
    for path in (*STATIC.glob("*.js"), *STATIC.glob("*.css")):
        text = path.read_text(encoding="utf-8")

        assert not re.search(r"""(?:import|from|importScripts)\s*\(?\s*["'`]https?:""", text), path.name
        assert not re.search(r"""url\(\s*["']?(?:https?:|//)""", text), path.name
        assert not re.search(r"""@import\s""", text) or path.suffix == ".js", path.name
        assert "sourceMappingURL=" not in text, path.name


def test_bundle_was_built_from_the_sources_beside_it() -> None:
    files = ["build.mjs", "package-lock.json", "package.json"]
    files += [path.relative_to(SOURCE).as_posix() for path in (SOURCE / "src").rglob("*") if path.is_file()]

    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode() + b"\0" + (SOURCE / name).read_bytes() + b"\0")

    assert manifest().source == total.hexdigest(), "the bundle is older than its sources: run make graphiql"


def test_lock_names_hashes_and_no_host() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))

    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {name for name, entry in packages.items() if "resolved" in entry} == set()
    assert {name for name, entry in packages.items() if not entry["integrity"].startswith("sha512-")} == set()


def test_licences_travel_with_the_bundle() -> None:
    text = (STATIC / "licences.txt").read_text(encoding="utf-8")

    for package in ("graphiql", "monaco-editor", "react-dom", "graphql-ws", "graphql"):
        assert re.search(rf"^{package} \d", text, re.MULTILINE)


async def test_hashed_files_are_kept_for_ever_and_packed_where_asked() -> None:
    url = STATIC_PATH + manifest().script

    packed = await get(url, accept_encoding="gzip")
    plain = await get(url)

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content == (STATIC / manifest().script).read_bytes()
    for answer in (packed, plain):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["vary"] == "Accept-Encoding"


async def test_file_without_hash_is_asked_for_again() -> None:
    assert (await get(STATIC_PATH + "licences.txt")).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.js", "manifest.json", "..%2fpage.py", "%2e%2e/page.py", "", "a/b.js"])
async def test_what_is_not_of_the_build_is_not_found(name: str) -> None:
    assert (await get(STATIC_PATH + name)).status_code == 404


async def test_only_reading_is_allowed() -> None:
    url = STATIC_PATH + manifest().script

    assert (await get(url, method="POST")).status_code == 405
    assert (await get(url, method="HEAD")).content == b""


def test_bundle_stays_within_its_size() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 6)) for path in STATIC.iterdir()}

    assert sum(sizes.values()) < 2_600_000, sizes


def test_sources_stay_small() -> None:
    def lines(path: Path) -> int:
        return len(path.read_text(encoding="utf-8").splitlines())

    assert {path.name for path in (SOURCE / "src").rglob("*.ts*") if lines(path) > 350} == set()
