"""What a request may be: methods, types, documents by their hash, limits, and the code of each refusal."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import uuid4

import pytest
from graphql import get_introspection_query

from gateway.persisted import load_documents
from tests.contract.acts import JSON, attempt, codes, codes_of, done, eur, key, newcomer, say, send_body, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

MUTATION = 'mutation { createPost(input: { text: "by GET" }) { __typename } }'


async def test_a_mutation_by_get_is_405_and_writes_nothing(town: Town) -> None:
    who = await newcomer(town)

    response = await town.http.get(town.url, params={"query": MUTATION}, headers=town.authorization(who))

    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert codes_of(response) == ["BAD_REQUEST"]
    written = await town.ask(who, "{ viewer { user { posts { nodes { id } } } } }")
    assert written["viewer"]["user"]["posts"]["nodes"] == []


async def test_a_persisted_mutation_by_get_is_405(town: Town) -> None:
    (document,) = (document for document in load_documents().values() if document.name == "CreatePost")
    variables = json.dumps({"input": {"text": "by GET"}})

    response = await town.http.get(
        town.url, params={"documentId": document.id, "variables": variables}, headers=town.authorization("alice")
    )

    assert response.status_code == 405


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_405(town: Town, method: str) -> None:
    response = await town.http.request(method, town.url, json={"query": "{ __typename }"})

    assert response.status_code == 405
    assert codes_of(response) == ["BAD_REQUEST"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_form_of_another_site_cannot_post(town: Town, kind: str) -> None:
    response = await town.http.post(
        town.url, content=json.dumps({"query": MUTATION}), headers={"Content-Type": kind, **town.authorization("alice")}
    )

    assert response.status_code == 415
    assert codes_of(response) == ["BAD_REQUEST"]


async def test_other_origins_are_told_nothing(town: Town) -> None:
    response = await town.http.post(
        town.url, json={"query": "{ __typename }"}, headers={"Origin": "https://elsewhere.example"}
    )

    assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_page_runs_scripts_of_its_own_origin_alone(town: Town) -> None:
    response = await town.http.get(town.url, headers={"Accept": "text/html"})

    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";") if part)
    assert response.status_code == 200
    assert (policy["script-src"], policy["worker-src"]) == ("'self'", "'self'")


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("BAD_REQUEST", {"query": 7}),
    ("BAD_REQUEST", {"query": "query A { __typename } query B { __typename }"}),
    ("BAD_REQUEST", {"query": "query A { __typename }", "operationName": "B"}),
    ("GRAPHQL_PARSE_FAILED", {"query": "{ posts( }"}),
    ("GRAPHQL_VALIDATION_FAILED", {"query": "{ goats }"}),
    ("GRAPHQL_VALIDATION_FAILED", {"query": "{ posts }"}),
    ("PERSISTED_QUERY_NOT_FOUND", {"documentId": "sha256:" + "0" * 64}),
    ("QUERY_TOO_COMPLEX", {"query": "{ " + " ".join(f"a{n}: __typename" for n in range(31)) + " }"}),
    ("INVALID_INPUT", {"query": "query ($n: Int!) { posts(first: $n) { nodes { id } } }"}),
    ("INVALID_INPUT", {"query": "query ($n: Int) { posts(first: $n) { nodes { id } } }", "variables": {"n": "1"}}),
]


@pytest.mark.parametrize(("code", "body"), REFUSALS, ids=lambda given: given if isinstance(given, str) else None)
async def test_a_refused_request_has_a_code_and_no_data(town: Town, code: str, body: dict[str, Any]) -> None:
    response = await send_body(town, body)

    assert response.status_code == 400
    assert set(codes_of(response)) == {code}
    assert "data" not in response.json()


@pytest.mark.parametrize("body", [[], [{"query": "{ __typename }"}], [{"query": "{ a: __typename }"}] * 2], ids=len)
async def test_several_operations_at_once_are_refused(town: Town, body: list[Any]) -> None:
    response = await town.http.post(town.url, json=body, headers=JSON)

    assert response.status_code == 400
    assert codes_of(response) == ["BAD_REQUEST"]


async def test_a_body_of_more_than_a_megabyte_is_413(town: Town) -> None:
    response = await send_body(town, {"query": "{ __typename }", "variables": {"x": "x" * 1_048_576}})

    assert response.status_code == 413
    assert codes_of(response) == ["BAD_REQUEST"]


def nested(depth: int) -> str:
    """A valid query of so many levels."""
    document = "id"
    for _ in range(depth - 2):
        document = f"author {{ id }} replyTo {{ {document} }}"
    return f'{{ post(id: "post_00000000000000000000000000") {{ {document} }} }}'


def aliased(count: int) -> str:
    """A valid query with so many aliases below its root."""
    return f'{{ user(handle: "alice") {{ {" ".join(f"a{n}: handle" for n in range(count))} }} }}'


@pytest.mark.parametrize(
    ("within", "past"),
    [
        (nested(20), nested(21)),
        (aliased(50), aliased(51)),
        (
            "{ " + " ".join(f"a{n}: __typename" for n in range(30)) + " }",
            "{ " + " ".join(f"a{n}: __typename" for n in range(31)) + " }",
        ),
        (
            "{ posts(first: 100) { nodes { replies(first: 100) { nodes { id } } } } }",
            "{ posts(first: 100) { nodes { replies(first: 100) { nodes { replies(first: 99) { nodes { id } } } } } } }",
        ),
    ],
    ids=["depth", "aliases", "root fields", "cost"],
)
async def test_an_operation_past_a_limit_is_refused(town: Town, within: str, past: str) -> None:
    assert codes_of(await send_body(town, {"query": within})) == []

    response = await send_body(town, {"query": past})

    assert response.status_code == 400
    assert codes_of(response) == ["QUERY_TOO_COMPLEX"]


async def test_a_document_of_more_than_5000_tokens_is_refused(town: Town) -> None:
    def document(count: int) -> str:
        # Fifteen tokens stand around the items of the list.
        return "{ paymentEvents(types: [%s]) { nodes { id } } }" % ('"" ' * (count - 15))

    assert codes_of(await send_body(town, {"query": document(5_000)})) == ["UNAUTHENTICATED"]
    assert codes_of(await send_body(town, {"query": document(5_001)})) == ["QUERY_TOO_COMPLEX"]


@pytest.mark.parametrize("times", [1_000, 4_900])
async def test_one_field_selected_too_often_is_too_complex(town: Town, times: int) -> None:
    document = '{ user(handle: "alice") { ' + "id " * times + "} }"

    assert codes_of(await send_body(town, {"query": document})) == ["QUERY_TOO_COMPLEX"]
    assert codes_of(await send_body(town, {"query": document.replace("id " * times, "id " * 100)})) == []


async def test_fragments_count_where_they_are_spread(town: Town) -> None:
    bomb = "".join(f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }} " for n in range(30))
    document = f'{{ user(handle: "alice") {{ ...F0 }} }} {bomb} fragment F30 on User {{ a: id }}'

    assert codes_of(await send_body(town, {"query": document})) == ["QUERY_TOO_COMPLEX"]


async def test_the_limits_hold_over_a_socket_too(town: Town) -> None:
    async with town.subscribed("alice", aliased(51)) as events:
        message = await events.message()

    assert message["type"] == "error"
    assert [error["extensions"]["code"] for error in message["payload"]] == ["QUERY_TOO_COMPLEX"]


async def test_introspection_of_an_explorer_is_within_the_limits(town: Town) -> None:
    document = get_introspection_query(
        descriptions=True,
        input_value_deprecation=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
    )

    answer = (await send_body(town, {"query": document})).json()

    assert "errors" not in answer
    assert len(answer["data"]["__schema"]["types"]) > 100


async def test_a_document_of_the_folder_by_its_id(town: Town) -> None:
    (document,) = (document for document in load_documents().values() if document.name == "Listings")
    digest = hashlib.sha256(document.text.encode()).hexdigest()
    old_form = {"persistedQuery": {"version": 1, "sha256Hash": digest}}

    by_get = await town.http.get(town.url, params={"documentId": f"sha256:{digest}"})
    by_post = await send_body(town, {"documentId": f"sha256:{digest}"})
    by_extension = await send_body(town, {"extensions": old_form})

    assert by_get.json() == by_post.json() == by_extension.json()
    assert by_get.json()["data"]["listings"]


async def test_an_automatic_document_is_asked_for_registered_and_found(town: Town) -> None:
    text = f"query Mine_{uuid4().hex[:8]} {{ posts(first: 1) {{ nodes {{ id }} }} }}"
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}}

    first = await send_body(town, {"extensions": extensions})
    registered = await send_body(town, {"query": text, "extensions": extensions})
    again = await town.http.get(town.url, params={"extensions": json.dumps(extensions)})

    assert codes_of(first) == ["PERSISTED_QUERY_NOT_FOUND"]
    assert first.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert registered.json()["data"]["posts"]["nodes"]
    assert again.json() == registered.json()


async def test_a_hash_that_is_not_of_the_text_is_refused(town: Town) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}

    response = await send_body(town, {"query": "{ __typename }", "extensions": extensions})

    assert (response.status_code, codes_of(response)) == (400, ["BAD_REQUEST"])


@pytest.mark.parametrize(
    ("mutation", "field", "most", "more"),
    [
        ("createPost", "text", 2_000, {}),
        ("updateProfile", "bio", 500, {}),
        ("openMerchant", "description", 10_000, {"name": "Long words"}),
    ],
    ids=str,
)
async def test_text_of_the_greatest_length(
    town: Town, mutation: str, field: str, most: int, more: dict[str, Any]
) -> None:
    who = await newcomer(town)

    assert (await attempt(town, who, mutation, **more, **{field: "é" * (most + 1)}))["code"] == "INVALID_INPUT"
    await done(town, who, mutation, **more, **{field: "  " + "é" * most + "\n"})


async def test_messages_memos_and_titles_of_the_greatest_length(town: Town) -> None:
    who, other = await newcomer(town, funds="5.00"), await newcomer(town)
    chat = await talk(town, who, other)
    pay: dict[str, Any] = {"to": {"handle": other}, "amount": eur("0.01")}
    ware: dict[str, Any] = {"category": "odds", "kind": "GOOD", "price": eur("1.00")}
    await done(town, who, "openMerchant", name="Titles")

    assert len((await say(town, who, chat, " " + "é" * 10_000))["node"]["text"]) == 10_000
    over = await attempt(town, who, "sendMessage", conversationId=chat, text="é" * 10_001)
    assert over["code"] == "INVALID_INPUT"
    await done(town, who, "transferFunds", idempotencyKey=key(), memo="é" * 280, **pay)
    over = await attempt(town, who, "transferFunds", idempotencyKey=key(), memo="é" * 281, **pay)
    assert over["code"] == "INVALID_INPUT"
    await done(town, who, "createListing", title="é" * 140, description="é" * 10_000, **ware)
    for title, description in (("é" * 141, "d"), ("t", "é" * 10_001), (" ", "d")):
        over = await attempt(town, who, "createListing", title=title, description=description, **ware)
        assert over["code"] == "INVALID_INPUT"


async def test_a_message_may_be_empty_when_it_carries_something(town: Town) -> None:
    who, other = await newcomer(town, funds="5.00"), await newcomer(town)
    chat = await talk(town, who, other)
    paid = await done(
        town, who, "transferFunds", "transfer { id }", idempotencyKey=key(), to={"handle": other}, amount=eur("1")
    )

    empty = await attempt(town, who, "sendMessage", conversationId=chat, text=" ")
    media = await say(town, who, chat, "", media=[{"url": "https://example.org/1.png", "kind": "IMAGE"}])
    money = await say(town, who, chat, "", transferId=paid["transfer"]["id"])

    assert empty["code"] == "INVALID_INPUT"
    assert (media["node"]["text"], money["node"]["text"]) == ("", "")


async def test_every_response_has_a_request_id(town: Town) -> None:
    given = uuid4().hex

    response = await send_body(town, {"query": "{ __typename }"}, headers={"X-Request-Id": given})

    assert response.headers["X-Request-Id"] == given
    assert (await town.post(None, "{ goats }")).headers["X-Request-Id"]


async def test_a_field_that_fails_hides_no_other(town: Town) -> None:
    response = await town.post("alice", '{ posts(first: 500) { nodes { id } } user(handle: "bob") { handle } }')

    answer = response.json()
    assert answer["data"] == {"posts": None, "user": {"handle": "bob"}}
    assert answer["errors"][0]["path"] == ["posts"]
    assert await codes(town, "alice", "{ posts(first: 500) { nodes { id } } }") == ["INVALID_INPUT"]
