"""GraphQL over HTTP as the specification says it: what is accepted, and which status answers what."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from gateway.identity.development import DevelopmentIssuer
from tests.unit.gateway.belfry import EVENTS, GRAPHQL, JSON, Server, post, until


async def send(client: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    return await client.post("/graphql", content=body, headers={"Content-Type": JSON, **headers})


def code(response: httpx.Response) -> str:
    body = response.json()
    assert "data" not in body
    return str(body["errors"][0]["extensions"]["code"])


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL),
        (f"{GRAPHQL},{JSON};q=0.9", GRAPHQL),
        (f"{GRAPHQL};q=0.5, {JSON}", JSON),
        (f"{GRAPHQL};q=0, */*", JSON),
        (f"{GRAPHQL}, application/graphql+json, {JSON}, {EVENTS}, multipart/mixed", GRAPHQL),
        ("APPLICATION/JSON", JSON),
    ],
)
async def test_the_answer_takes_the_type_that_is_wanted(
    client: httpx.AsyncClient, accept: str | None, media_type: str
) -> None:
    request = client.build_request("POST", "/graphql", json={"query": "{ hello }"})
    request.headers.pop("Accept", None)
    if accept is not None:
        request.headers["Accept"] = accept

    response = await client.send(request)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Accept, Authorization"
    assert response.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("accept", ["image/png", "text/html", f"{JSON};q=0", f"{JSON};q=x"])
async def test_a_type_that_there_is_not(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.post("/graphql", **post("{ hello }"), headers={"Accept": accept})

    assert (response.status_code, code(response)) == (406, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("query", "variables", "expected"),
    [
        ("{", {}, "GRAPHQL_PARSE_FAILED"),
        ("", {}, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: String!) { hello(name: $n) }", {"n": None}, "INVALID_INPUT"),
        ("query ($n: Int!) { wide(length: $n) }", {"n": 10**30}, "INVALID_INPUT"),
        ("{ " + "a: hello " * 1 + "b: hello " * 60 + "}", {}, "QUERY_TOO_COMPLEX"),
    ],
)
async def test_an_answer_without_data_is_400_or_200(
    client: httpx.AsyncClient, query: str, variables: dict[str, Any], expected: str
) -> None:
    body = {"query": query, "variables": variables}

    modern = await client.post("/graphql", json=body, headers={"Accept": GRAPHQL})
    legacy = await client.post("/graphql", json=body, headers={"Accept": JSON})

    assert (modern.status_code, code(modern)) == (400, expected)
    assert (legacy.status_code, code(legacy)) == (200, expected)


async def test_a_partial_answer_is_294(client: httpx.AsyncClient) -> None:
    modern = await client.post("/graphql", **post("{ hello cracked }"), headers={"Accept": GRAPHQL})
    legacy = await client.post("/graphql", **post("{ hello cracked }"), headers={"Accept": JSON})

    assert (modern.status_code, legacy.status_code) == (294, 200)
    assert modern.json()["data"] == {"hello": "hello world", "cracked": None}
    (error,) = modern.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["requestId"]
    assert "secret detail" not in modern.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"{", "not JSON"),
        (b'{"query":"{ hello }"} trailing', "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"query":"\xff"}', "UTF-8"),
        (b'{"query":"{ hello }","variables":{"a":NaN}}', "not JSON"),
        (b'{"query":"{ hello }","variables":{"a":Infinity}}', "not JSON"),
        (b'{"query":"{ hello }","variables":{"a":1e999}}', "not JSON"),
        (b'{"query":"\\ud800"}', "not JSON"),
        (b"null", "not null"),
        (b"7", "not a number"),
        (b'"{ hello }"', "not a string"),
        (b"true", "not a boolean"),
        (b'[{"query":"{ hello }"}]', "arrays of operations are refused"),
        (b"{}", "'query' is missing"),
        (b'{"query":null}', "'query' is missing"),
        (b'{"query":7}', "'query' must be a string, not a number"),
        (b'{"query":"{ hello }","query":"{ rings }"}', "'query' twice"),
        (b'{"query":"{ hello }","variables":{},"variables":null}', "'variables' twice"),
        (b'{"query":"","query":"","x":' + b"[" * 1000 + b"]" * 1000 + b"}", "nested too deeply"),
        (b'{"query":"{ hello }","variables":[]}', "'variables' must be an object, not an array"),
        (b'{"query":"{ hello }","variables":"{}"}', "'variables' must be an object, not a string"),
        (b'{"query":"{ hello }","operationName":7}', "'operationName' must be a string"),
        (b'{"query":"{ hello }","extensions":false}', "'extensions' must be an object, not a boolean"),
        (b'{"query":"{ hello }","documentId":{}}', "'documentId' must be a string"),
        (b'{"query":"{ hello }","variables":{"a":' + b"[" * 80 + b"]" * 80 + b"}}", "nested more than 64 deep"),
        (b'{"query":"{ hello }","variables":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}", "not JSON"),
    ],
)
@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_a_body_that_is_no_request_is_400(
    client: httpx.AsyncClient, body: bytes, words: str, accept: str
) -> None:
    response = await send(client, body, Accept=accept)

    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    assert words in response.json()["errors"][0]["message"]


async def test_absent_and_unknown_parameters_do_no_harm(client: httpx.AsyncClient) -> None:
    body = {"query": "{ hello }", "operationName": None, "variables": None, "extensions": None, "other": [1]}

    response = await client.post("/graphql", json=body)

    assert response.json() == {"data": {"hello": "hello world"}}


async def test_equal_words_inside_a_request_are_no_duplicates(client: httpx.AsyncClient) -> None:
    body = {"query": "query ($query: String) { hello(name: $query) }", "variables": {"query": '"query"'}}

    response = await client.post("/graphql", json=body)

    assert response.json() == {"data": {"hello": 'hello "query"'}}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/graphql"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_other_content_is_415(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.post("/graphql", content=b'{"query":"{ hello }"}', headers=headers)

    assert (response.status_code, code(response)) == (415, "BAD_REQUEST")


async def test_a_body_without_content_type_is_415(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", content=b'{"query":"{ hello }"}')

    assert (response.status_code, code(response)) == (415, "BAD_REQUEST")


@pytest.mark.parametrize(
    "value", ['application/json; charset="UTF-8"', "Application/JSON;charset=utf8", JSON + "; v=1"]
)
async def test_ways_to_say_json(client: httpx.AsyncClient, value: str) -> None:
    response = await client.post(
        "/graphql", content='{"query":"{ hello(name: \\"ü🏃\\") }"}', headers={"Content-Type": value}
    )

    assert response.json() == {"data": {"hello": "hello ü🏃"}}


async def test_a_megabyte_is_the_most(client: httpx.AsyncClient) -> None:
    def body(size: int) -> bytes:
        start = b'{"query":"{ hello }","other":"'
        return start + b"x" * (size - len(start) - 2) + b'"}'

    async def chunks(size: int) -> Any:
        for _ in range(size // 65536):
            yield b" " * 65536

    most = 1024 * 1024
    fits = await send(client, body(most))
    declared = await send(client, body(most + 1))
    streamed = await client.post("/graphql", content=chunks(most + 65536), headers={"Content-Type": JSON})

    assert fits.json() == {"data": {"hello": "hello world"}}
    assert (declared.status_code, code(declared)) == (413, "BAD_REQUEST")
    assert (streamed.status_code, code(streamed)) == (413, "BAD_REQUEST")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods_are_405(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql")

    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")


async def test_get_runs_queries(client: httpx.AsyncClient) -> None:
    params = {
        "query": "query A($n: String) { hello(name: $n) } query B { rings }",
        "operationName": "A",
        "variables": '{"n":"ü & é"}',
        "extensions": '{"trace":1}',
    }

    response = await client.get("/graphql", params=params)

    assert response.json() == {"data": {"hello": "hello ü & é"}}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("accept", [JSON, GRAPHQL, EVENTS])
async def test_get_never_runs_a_mutation(client: httpx.AsyncClient, server: Server, accept: str) -> None:
    response = await client.get("/graphql", params={"query": "mutation { ring }"}, headers={"Accept": accept})

    assert (response.status_code, response.headers["Allow"], code(response)) == (405, "POST", "BAD_REQUEST")
    assert server.bell.rings == 0


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query=",
        "query={hello}&query={rings}",
        "query={hello}&variables=[]",
        "query={hello}&variables={",
        "query={hello}&extensions=7",
        "query=%FF",
        "query={hello}&variables=%FF",
        "&".join(f"a{n}=1" for n in range(30)),
    ],
)
async def test_a_query_string_that_is_no_request_is_400(client: httpx.AsyncClient, query_string: str) -> None:
    response = await client.get(f"/graphql?{query_string}")

    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_empty_fields_of_a_query_string_are_absent(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql?query={hello}&operationName=&variables=&extensions=")

    assert response.json() == {"data": {"hello": "hello world"}}


async def test_a_subscription_needs_a_stream(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", **post("subscription { strokes(upTo: 1) }"), headers={"Accept": "*/*"})

    assert (response.status_code, code(response)) == (406, "BAD_REQUEST")


async def test_a_browser_gets_the_page(client: httpx.AsyncClient) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

    page = await client.get("/graphql", headers={"Accept": accept})
    posted = await client.post("/graphql", **post("{ hello }"), headers={"Accept": accept})

    assert "GraphiQL" in page.text
    assert posted.json() == {"data": {"hello": "hello world"}}


async def test_a_token_says_who_asks(client: httpx.AsyncClient, development_issuer: DevelopmentIssuer) -> None:
    bearer = {"Authorization": f"Bearer {development_issuer.token('alice')}"}

    alice = await client.post("/graphql", **post("{ whoami }"), headers=bearer)
    nobody = await client.post("/graphql", **post("{ whoami }"))

    assert alice.json() == {"data": {"whoami": "alice"}}
    assert nobody.json() == {"data": {"whoami": None}}


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Basic YTpi", "Bearer "])
@pytest.mark.parametrize("accept", [JSON, GRAPHQL, EVENTS])
async def test_a_bad_token_is_401(client: httpx.AsyncClient, authorization: str, accept: str) -> None:
    headers = {"Authorization": authorization, "Accept": accept}

    response = await client.post("/graphql", **post("{ hello }"), headers=headers)

    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="agora", error="invalid_token"')


async def test_two_authorizations_are_a_bad_token(
    client: httpx.AsyncClient, development_issuer: DevelopmentIssuer
) -> None:
    token = f"Bearer {development_issuer.token('alice')}"

    response = await client.post(
        "/graphql", **post("{ whoami }"), headers=[("Authorization", token), ("Authorization", token)]
    )

    assert response.status_code == 401


async def test_a_query_past_its_deadline_is_given_up(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer, deadline_s=0.05)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://agora.test") as client:
        modern = await client.post("/graphql", **post("{ slow }"), headers={"Accept": GRAPHQL})
        legacy = await client.post("/graphql", **post("{ slow }"), headers={"Accept": JSON})

    assert (modern.status_code, code(modern)) == (504, "DEADLINE_EXCEEDED")
    assert (legacy.status_code, code(legacy)) == (504, "DEADLINE_EXCEEDED")
    assert server.bell.cancelled.is_set()
    assert server.count(operation="anonymous", kind="query", transport="http", outcome="DEADLINE_EXCEEDED") == 2


async def test_a_mutation_past_its_deadline_goes_on(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer, deadline_s=0.05)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://agora.test") as client:
        response = await client.post("/graphql", **post("mutation { ringSlowly }"), headers={"Accept": GRAPHQL})
    assert (response.status_code, code(response)) == (504, "DEADLINE_EXCEEDED")
    assert "may still happen" in response.text

    server.bell.gate.set()
    await server.operations.drain(5)

    assert server.bell.rings == 1
    assert server.count(operation="anonymous", kind="mutation", transport="http", outcome="ok") == 1


class Visitor:
    """An HTTP client that speaks ASGI itself, so that it can leave at any moment."""

    def __init__(self, server: Server, query: str) -> None:
        self.sent: list[Any] = []
        self.left = asyncio.Event()
        self._body: bytes | None = orjson.dumps({"query": query})
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": headers, "query_string": b""}
        self.request = asyncio.create_task(self._ask(server, scope))

    async def _ask(self, server: Server, scope: Any) -> None:
        await server.app(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def test_a_query_ends_when_its_client_leaves(server: Server) -> None:
    visitor = Visitor(server, "{ slow }")
    await server.bell.entered.wait()

    visitor.left.set()
    await asyncio.wait_for(visitor.request, 5)

    assert server.bell.cancelled.is_set()
    assert visitor.sent == []
    assert server.count(operation="anonymous", kind="query", transport="http", outcome="cancelled") == 1


async def test_a_mutation_ends_by_itself_when_its_client_leaves(server: Server) -> None:
    visitor = Visitor(server, "mutation { ringSlowly }")
    await server.bell.entered.wait()

    visitor.left.set()
    await asyncio.wait_for(visitor.request, 5)
    server.bell.gate.set()
    await server.operations.drain(5)

    assert not server.bell.cancelled.is_set()
    assert server.bell.rings == 1
    assert visitor.sent == []


async def test_a_server_that_cancels_a_request_is_obeyed(server: Server) -> None:
    visitor = Visitor(server, "{ slow }")
    await server.bell.entered.wait()

    visitor.request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await visitor.request
    assert server.bell.cancelled.is_set()


async def test_operations_are_counted_by_name_and_outcome(client: httpx.AsyncClient, server: Server) -> None:
    await client.post("/graphql", **post("query Hail { hello }"))
    await client.post("/graphql", **post("query Hail { cracked }"))
    await client.post("/graphql", **post("query Hail {"))

    assert server.count(operation="Hail", kind="query", transport="http", outcome="ok") == 1
    assert server.count(operation="Hail", kind="query", transport="http", outcome="INTERNAL") == 1
    assert server.count(operation="anonymous", kind="unknown", transport="http", outcome="GRAPHQL_PARSE_FAILED") == 1


async def test_an_unforeseen_failure_is_masked(server: Server, client: httpx.AsyncClient) -> None:
    async def fails(*_: object) -> Any:
        raise RuntimeError("secret detail")

    server.operations._open_context = fails

    response = await client.post("/graphql", **post("{ hello }"))

    assert (response.status_code, code(response)) == (500, "INTERNAL")
    assert "secret detail" not in response.text
    assert response.json()["errors"][0]["extensions"]["requestId"]
    await until(lambda: server.count(operation="anonymous", kind="query", transport="http", outcome="INTERNAL") == 1)
