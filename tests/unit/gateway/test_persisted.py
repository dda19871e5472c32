"""Documents are found by their SHA-256; clients may register some, and only true ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.execution.requests import RequestError
from gateway.identity.development import DevelopmentIssuer
from gateway.persisted import MAX_REGISTERED, Documents, document_id, load_documents
from gateway.transports.parameters import Parameters
from tests.unit.gateway.belfry import GRAPHQL, GREETING, JSON, Server, post

QUERY = '{ hello(name: "again") }'
HASH = hashlib.sha256(QUERY.encode()).hexdigest()
APQ: dict[str, Any] = {"persistedQuery": {"version": 1, "sha256Hash": HASH}}


def visiting(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url="http://agora.test")


def code(response: httpx.Response) -> str:
    return str(response.json()["errors"][0]["extensions"]["code"])


def by_id(id: str, query: str | None = None) -> Parameters:
    return Parameters(query, id, True, None, {}, {})


async def test_a_document_is_run_by_its_id(client: httpx.AsyncClient, server: Server) -> None:
    posted = await client.post("/graphql", json={"documentId": server.greeting_id, "variables": {"name": "ann"}})
    got = await client.get("/graphql", params={"documentId": server.greeting_id, "variables": '{"name":"ann"}'})
    automatic = {"persistedQuery": {"version": 1, "sha256Hash": server.greeting_id.removeprefix("sha256:")}}
    apollo = await client.get("/graphql", params={"extensions": orjson.dumps(automatic).decode()})
    with_empty_query = await client.post("/graphql", json={"query": "", "extensions": automatic})

    assert posted.json() == got.json() == {"data": {"hello": "hello ann"}}
    assert apollo.json() == with_empty_query.json() == {"data": {"hello": "hello you"}}


async def test_the_id_is_the_hash_of_the_text(server: Server) -> None:
    assert server.greeting_id == "sha256:" + hashlib.sha256(GREETING.encode()).hexdigest()


@pytest.mark.parametrize("id", ["sha256:" + "0" * 64, "sha256:", "7", "x-other:abc", "ü"])
async def test_an_unknown_document(client: httpx.AsyncClient, id: str) -> None:
    modern = await client.post("/graphql", json={"documentId": id}, headers={"Accept": GRAPHQL})
    legacy = await client.post("/graphql", json={"documentId": id}, headers={"Accept": JSON})

    assert (modern.status_code, code(modern)) == (400, "PERSISTED_QUERY_NOT_FOUND")
    assert (legacy.status_code, code(legacy)) == (200, "PERSISTED_QUERY_NOT_FOUND")


async def test_a_client_registers_a_document(client: httpx.AsyncClient) -> None:
    unknown = await client.post("/graphql", json={"extensions": APQ})
    registering = await client.post("/graphql", json={"query": QUERY, "extensions": APQ})
    known = await client.get("/graphql", params={"extensions": orjson.dumps(APQ).decode()})

    assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert code(unknown) == "PERSISTED_QUERY_NOT_FOUND"
    assert registering.json() == known.json() == {"data": {"hello": "hello again"}}


async def test_a_false_hash_is_refused(client: httpx.AsyncClient, server: Server) -> None:
    poisoned = await client.post("/graphql", json={"query": "{ rings }", "extensions": APQ})
    posing = await client.post("/graphql", json={"query": "{ rings }", "documentId": server.greeting_id})
    after = await client.post("/graphql", json={"extensions": APQ})

    assert [(r.status_code, code(r)) for r in (poisoned, posing)] == [(400, "BAD_REQUEST")] * 2
    assert code(after) == "PERSISTED_QUERY_NOT_FOUND"


async def test_only_valid_documents_are_registered(client: httpx.AsyncClient) -> None:
    broken = "{ nothing }"
    automatic = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(broken.encode()).hexdigest()}}

    await client.post("/graphql", json={"query": broken, "extensions": automatic})
    after = await client.post("/graphql", json={"extensions": automatic})

    assert code(after) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    "automatic",
    [7, {}, {"version": 2, "sha256Hash": HASH}, {"version": 1}, {"version": 1, "sha256Hash": 7}],
)
async def test_a_wrong_form_of_automatic_queries(client: httpx.AsyncClient, automatic: Any) -> None:
    response = await client.post("/graphql", json={"query": QUERY, "extensions": {"persistedQuery": automatic}})

    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_two_names_for_two_documents(client: httpx.AsyncClient, server: Server) -> None:
    response = await client.post("/graphql", json={"documentId": server.greeting_id, "extensions": APQ})

    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_registration_may_be_off(development_issuer: DevelopmentIssuer) -> None:
    async with visiting(Server(development_issuer, automatic=False)) as client:
        unknown = await client.post("/graphql", json={"extensions": APQ})
        sent_along = await client.post("/graphql", json={"query": QUERY, "extensions": APQ})
        after = await client.post("/graphql", json={"extensions": APQ})

    # The message tells clients not to try again.
    assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotSupported"
    assert sent_along.json() == {"data": {"hello": "hello again"}}
    assert code(after) == "PERSISTED_QUERY_NOT_FOUND"


async def test_only_persisted_documents(development_issuer: DevelopmentIssuer) -> None:
    server = Server(development_issuer, persisted_only=True)
    async with visiting(server) as client:
        free = await client.post("/graphql", **post(QUERY), headers={"Accept": GRAPHQL})
        registering = await client.post("/graphql", json={"query": QUERY, "extensions": APQ})
        persisted = await client.post("/graphql", json={"documentId": server.greeting_id})
        both = await client.post("/graphql", json={"documentId": server.greeting_id, "query": GREETING})

    assert (free.status_code, code(free)) == (400, "PERSISTED_QUERY_REQUIRED")
    assert code(registering) == "PERSISTED_QUERY_REQUIRED"
    assert persisted.json() == both.json() == {"data": {"hello": "hello you"}}


async def test_what_nobody_in_particular_asked_by_id_may_be_kept(
    client: httpx.AsyncClient, server: Server, development_issuer: DevelopmentIssuer
) -> None:
    params = {"documentId": server.greeting_id}
    bearer = {"Authorization": f"Bearer {development_issuer.token('alice')}"}

    public = await client.get("/graphql", params=params)
    again = await client.get("/graphql", params=params, headers={"If-None-Match": public.headers["ETag"]})
    private = await client.get("/graphql", params=params, headers=bearer)
    unnamed = await client.get("/graphql", params={"query": GREETING})
    posted = await client.post("/graphql", json=params)

    assert public.headers["Cache-Control"] == "public, max-age=5"
    assert (again.status_code, again.content) == (304, b"")
    assert [r.headers["Cache-Control"] for r in (private, unnamed, posted)] == ["no-store"] * 3


async def test_registered_documents_are_bounded() -> None:
    documents = Documents({}, automatic=True)
    texts = [f"{{ a{n} }}" for n in range(MAX_REGISTERED + 1)]

    for text in texts:
        await documents.register(by_id(document_id(text), text))
    large = "x" * (64 * 1024 + 1)
    await documents.register(by_id(document_id(large), large))

    assert documents.request(by_id(document_id(texts[-1]))).query == texts[-1]
    for forgotten in (texts[0], large):
        with pytest.raises(RequestError, match="PersistedQueryNotFound"):
            documents.request(by_id(document_id(forgotten)))


async def test_a_document_that_is_used_is_not_forgotten() -> None:
    documents = Documents({}, automatic=True)
    first = "{ first }"
    await documents.register(by_id(document_id(first), first))

    for n in range(MAX_REGISTERED - 1):
        await documents.register(by_id(document_id(f"{{ a{n} }}"), f"{{ a{n} }}"))
    documents.request(by_id(document_id(first)))
    await documents.register(by_id(document_id("{ last }"), "{ last }"))

    assert documents.request(by_id(document_id(first))).query == first


async def test_the_bytes_of_registered_documents_are_bounded() -> None:
    documents = Documents({}, automatic=True)
    texts = [f"{n:04}" + "x" * 60_000 for n in range(150)]

    for text in texts:
        await documents.register(by_id(document_id(text), text))

    with pytest.raises(RequestError):
        documents.request(by_id(document_id(texts[0])))
    assert documents.request(by_id(document_id(texts[-1]))).query == texts[-1]
    assert documents._registered_bytes == sum(len(text) for text in documents._registered.values()) <= 8 * 1024 * 1024


def test_a_folder_of_documents(tmp_path: Path) -> None:
    text = "query Hail {\r\n  hello\r\n}\n"
    (tmp_path / "Hail.graphql").write_bytes(text.encode())
    (tmp_path / "notes.txt").write_text("not a document")

    (document,) = load_documents(tmp_path).values()

    assert (document.name, document.text) == ("Hail", text)
    assert document.id == "sha256:" + hashlib.sha256((tmp_path / "Hail.graphql").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "text", ["query Other { hello }", "{ hello }", "query Hail { a } query B { b }", "query {", ""]
)
def test_a_file_must_hold_one_operation_of_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "Hail.graphql").write_text(text)

    with pytest.raises(ValueError, match=r"Hail\.graphql"):
        load_documents(tmp_path)
