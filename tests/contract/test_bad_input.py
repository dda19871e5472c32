"""Bad input gets a clear 4xx or a typed error, never a 500, and nothing is written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

JSON = {"Content-Type": "application/json", "Accept": "application/graphql-response+json"}
QUERY = '{"query": "{ __typename }"'
FIRST = b'{"query": "query($a: Int) { posts(first: $a) { nodes { id } } }", "variables": {"a": %s}}'
NOBODY = "usr_00000000000000000000000000"
STRANGE_IDS = [
    "",
    "x",
    "usr_",
    "usr_1",
    "post_🦉",
    "0" * 500,
    "../etc/passwd",
    "usr_ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
    NOBODY,
    "\x00",
]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"query": "{ __typename }",}', 400),
        (b"null", 400),
        (b"[]", 400),
        (b'[{"query": "{ __typename }"}]', 400),
        (b"42", 400),
        (b'"{ __typename }"', 400),
        (b'{"query": "\xff\xfe"}', 400),
        (b'{"query": null}', 400),
        (b'{"query": 7}', 400),
        (b'{"query": ""}', 400),
        (b'{"query": "{"}', 400),
        (b'{"query": "{ nothing }"}', 400),
        (b'{"query": "{ __typename }", "variables": 3}', 400),
        (b'{"query": "{ __typename }", "variables": [1]}', 400),
        (b'{"query": "{ __typename }", "operationName": 5}', 400),
        (b'{"query": "{ __typename }", "operationName": "Other"}', 400),
        (b'{"query": "{ __typename }", "extensions": "x"}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": NaN}}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": Infinity}}', 400),
        (FIRST % b"1e400", 400),
        (FIRST % b"99999999999999999999", 400),
        (FIRST % b"true", 400),
        (b'{"query": "{ a: __typename' + b" b: __typename" * 1200 + b' }"}', 400),
        (b'{"query": "' + b"{ viewer " * 800 + b'"}', 400),
        (b"[" * 100_000, 400),
        (b'{"query": "' + b" " * 1_048_576 + b'{ __typename }"}', 413),
        (b"x" * 5_000_000, 413),
    ],
    ids=lambda value: repr(value[:48]) if isinstance(value, bytes) else None,
)
async def test_a_body_that_is_no_request_is_refused(town: Town, body: bytes, status: int) -> None:
    response = await town.http.post(town.url, content=body, headers=JSON)

    assert response.status_code == status, response.text[:500]
    assert_clear(response)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json", "Accept": "image/png"}, 406),
        ({"Content-Type": "application/json", "Authorization": "Basic YTpi"}, 401),
        ({"Content-Type": "application/json", "Authorization": "Bearer"}, 401),
        ({"Content-Type": "application/json", "Authorization": "Bearer x.y.z"}, 401),
        ({"Content-Type": "application/json", "Authorization": "Bearer agora_pk_nothing"}, 401),
    ],
    ids=str,
)
async def test_headers_that_do_not_fit_are_refused(town: Town, headers: dict[str, str], status: int) -> None:
    body = QUERY.encode() + b"}"
    content = gzip.compress(body) if "Content-Encoding" in headers else body

    response = await town.http.post(town.url, content=content, headers=headers)

    assert response.status_code == status
    assert_clear(response)
    assert ("WWW-Authenticate" in response.headers) is (status == 401)


@pytest.mark.parametrize("id", STRANGE_IDS, ids=ascii)
async def test_an_id_that_is_nobodys_is_null_or_not_found(town: Town, id: str) -> None:
    fields = ("node", "post", "conversation", "wallet", "transfer", "paymentRequest", "listing", "merchant", "order")
    query = (
        "query ($id: ID!) {" + " ".join(f"{field}(id: $id) {{ id }}" for field in fields) + " user(id: $id) { id } }"
    )

    answer = await town.ask("alice", query, id=id)

    assert answer == dict.fromkeys([*fields, "user"])


@pytest.mark.parametrize(
    ("mutation", "input"),
    [
        ("follow", {"userId": None}),
        ("likePost", {"postId": None}),
        ("closeWallet", {"walletId": None}),
        ("deletePost", {"postId": None}),
        ("sendMessage", {"conversationId": None, "text": "x"}),
        ("editMessage", {"messageId": None, "text": "x"}),
        ("addReaction", {"messageId": None, "emoji": "👍"}),
        ("markConversationRead", {"conversationId": None, "seq": "1"}),
        ("setTyping", {"conversationId": None, "typing": True}),
        ("addConversationMembers", {"conversationId": None, "userIds": [NOBODY]}),
        ("refundTransfer", {"idempotencyKey": "k", "transferId": None}),
        ("acceptPaymentRequest", {"idempotencyKey": "k", "paymentRequestId": None}),
        ("exchangeFunds", {"idempotencyKey": "k", "quoteId": None}),
        ("captureHold", {"idempotencyKey": "k", "transferId": None}),
        ("voidHold", {"idempotencyKey": "k", "transferId": None}),
        ("declinePaymentRequest", {"paymentRequestId": None}),
        ("updateListing", {"listingId": None, "title": "x"}),
        ("payOrder", {"idempotencyKey": "k", "orderId": None}),
        ("shipOrder", {"orderId": None}),
        ("markNotificationsRead", {"upTo": None}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "id", ["", "nonsense", "x" * 400, "post_00000000000000000000000000"], ids=lambda given: given[:12]
)
async def test_a_mutation_of_an_unknown_id_is_not_found(
    town: Town, mutation: str, input: dict[str, Any], id: str
) -> None:
    given = {name: id if value is None else value for name, value in input.items()}

    assert (await attempt(town, "alice", mutation, given))["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        ({}, "INVALID_INPUT"),
        ({"sellAmount": "1", "buyAmount": "1"}, "INVALID_INPUT"),
        ({"sellAmount": None}, "INVALID_INPUT"),
        ({"sellAmount": "0"}, "INVALID_INPUT"),
        ({"sellAmount": "-1"}, "INVALID_INPUT"),
        ({"sellAmount": "0.001"}, "INVALID_INPUT"),
        ({"buyAmount": "0.5", "to": "JPY"}, "INVALID_INPUT"),
        ({"sellAmount": "92233720368547758.08"}, "INVALID_INPUT"),
        ({"sellAmount": "92233720368547758.07"}, "INVALID_INPUT"),
        ({"buyAmount": "92233720368547758.07", "to": "KWD"}, "INVALID_INPUT"),
        ({"sellAmount": "1", "to": "EUR"}, "INVALID_INPUT"),
        ({"sellAmount": "1", "to": "XXQ"}, "INVALID_INPUT"),
        ({"sellAmount": "1", "from": "XXQ"}, "INVALID_INPUT"),
        ({"sellAmount": "1", "to": "AFN"}, "NOT_FOUND"),
        ({"sellAmount": "NaN"}, None),
        ({"sellAmount": "1e3"}, None),
        ({"sellAmount": 1}, None),
        ({"sellAmount": "1", "to": "usd"}, None),
        ({"sellAmount": "1", "to": None}, None),
    ],
    ids=str,
)
async def test_an_exchange_that_cannot_be_is_not_quoted(
    town: Town, input: dict[str, Any], expected: str | None
) -> None:
    response = await post_mutation(town, "alice", "quoteExchange", {"from": "EUR", "to": "USD", **input})

    if expected is None:
        assert town.has_status(response, 400)
        assert town.has_no_data(response)
        assert_clear_errors(response)
    else:
        assert response.json()["data"]["quoteExchange"]["code"] == expected


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", "x" * 100_000, "x" * 2_001, "a\x00b"], ids=lambda t: ascii(t[:8]) + str(len(t))
)
async def test_a_post_without_acceptable_text_is_refused(town: Town, text: str) -> None:
    before = await town.ask("alice", '{ user(handle: "alice") { posts(first: 1) { nodes { id } } } }')

    assert (await attempt(town, "alice", "createPost", {"text": text}))["code"] == "INVALID_INPUT"
    assert await town.ask("alice", '{ user(handle: "alice") { posts(first: 1) { nodes { id } } } }') == before


@pytest.mark.parametrize("text", ["", "  ", "x" * 10_001, "x" * 100_000], ids=lambda t: ascii(t[:8]) + str(len(t)))
async def test_a_message_without_acceptable_text_is_refused(town: Town, text: str) -> None:
    chats = await town.ask("alice", "{ viewer { conversations(first: 1) { nodes { id } } } }")
    conversation = chats["viewer"]["conversations"]["nodes"][0]["id"]

    assert (await attempt(town, "alice", "sendMessage", {"conversationId": conversation, "text": text}))[
        "code"
    ] == "INVALID_INPUT"


@pytest.mark.parametrize("members", [[NOBODY], ["nonsense"], [""]], ids=str)
async def test_a_conversation_with_unknown_members_is_not_begun(town: Town, members: list[str]) -> None:
    assert (await attempt(town, "alice", "startConversation", {"memberIds": members}))["code"] == "NOT_FOUND"


LISTS = [
    "posts(%s) { nodes { id } pageInfo { hasNextPage } }",
    "listings(%s) { nodes { id } pageInfo { hasNextPage } }",
    'users(search: "a", %s) { nodes { id } pageInfo { hasNextPage } }',
    'user(handle: "bob") { followers(%s) { nodes { id } pageInfo { hasNextPage } } }',
    "viewer { homeTimeline(%s) { nodes { id } pageInfo { hasNextPage } } }",
    "viewer { conversations(%s) { nodes { id } pageInfo { hasNextPage } } }",
    "viewer { orders(%s) { nodes { id } pageInfo { hasNextPage } } }",
    "viewer { notifications(%s) { nodes { id } pageInfo { hasNextPage } } }",
    "viewer { paymentRequests(%s) { nodes { id } pageInfo { hasNextPage } } }",
    'viewer { wallet(currency: "EUR") { entries(%s) { nodes { id } pageInfo { hasNextPage } } } }',
    "viewer { conversations(first: 1) { nodes { messages(%s) { nodes { id } pageInfo { hasNextPage } } } } }",
]


@pytest.mark.parametrize("field", LISTS, ids=lambda field: field[:40])
@pytest.mark.parametrize("arguments", ["first: -1", "first: 101", "first: 1000", 'after: "nonsense"', 'after: ""'])
async def test_a_page_that_cannot_be_is_an_error_on_that_field(town: Town, field: str, arguments: str) -> None:
    answer = (await town.post("alice", "{ __typename " + field % arguments + " }")).json()

    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_INPUT"}
    assert answer.get("data") is None or answer["data"]["__typename"] == "Query"


@pytest.mark.parametrize("field", LISTS, ids=lambda field: field[:40])
async def test_an_empty_page_is_a_page(town: Town, field: str) -> None:
    answer = await town.ask("alice", "{ " + field % "first: 0" + " }")

    page = answer
    while "pageInfo" not in page:
        page = next(iter(page.values()))
        page = page[0] if isinstance(page, list) else page
    assert page["nodes"] == []


async def test_a_cursor_of_another_list_is_refused(town: Town) -> None:
    lists = await town.ask(
        "alice",
        """{ posts(first: 1) { pageInfo { endCursor } } listings(first: 1) { pageInfo { endCursor } }
             user(handle: "bob") { followers(first: 1) { pageInfo { endCursor } } } }""",
    )
    foreign = [
        ("posts", lists["listings"]["pageInfo"]["endCursor"]),
        ("listings", lists["posts"]["pageInfo"]["endCursor"]),
        ("posts", lists["user"]["followers"]["pageInfo"]["endCursor"]),
    ]

    for field, cursor in foreign:
        answer = (await town.post("alice", f'{{ {field}(after: "{cursor}") {{ nodes {{ id }} }} }}')).json()
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def attempt(town: Town, who: str, mutation: str, input: dict[str, Any]) -> Any:
    response = await post_mutation(town, who, mutation, input)
    assert response.status_code < 500, response.text
    answer = response.json()
    assert "data" in answer, answer
    return answer["data"][mutation]


async def post_mutation(town: Town, who: str, mutation: str, input: dict[str, Any]) -> httpx.Response:
    field: Any = town.gateway.graph.graph.graphql_schema.type_map["Mutation"].fields[mutation]  # type: ignore[attr-defined]
    error = "... on Error { code message }"
    document = f"mutation ($input: {field.args['input'].type}) {{ {mutation}(input: $input) {{ {error} }} }}"
    headers = {**town.authorization(who), "Accept": "application/graphql-response+json"}
    body = {"query": document, "variables": {"input": input}}
    return await town.http.post(town.url, content=json.dumps(body), headers={**JSON, **headers})


@pytest_asyncio.fixture(loop_scope="session")
async def balance(town: Town) -> str:
    """What Alice has, before."""
    return await balance_of(town, "alice")


async def balance_of(town: Town, who: str) -> str:
    answer = await town.ask(who, '{ viewer { wallet(currency: "EUR") { posted { minorUnits } version } } }')
    wallet = answer["viewer"]["wallet"]
    return f"{wallet['posted']['minorUnits']} at {wallet['version']}"


def assert_clear(response: httpx.Response) -> None:
    """A GraphQL answer with errors alone, each with a code of our own and a message without a trace."""
    assert response.json().get("data") is None
    assert_clear_errors(response)


def assert_clear_errors(response: httpx.Response) -> None:
    """Errors, each with a code of our own and a message without a trace."""
    answer = response.json()
    assert set(answer) <= {"errors", "data", "extensions"}
    assert answer["errors"]
    for error in answer["errors"]:
        assert error["extensions"]["code"] not in ("", "INTERNAL")
        assert error["message"]
        assert "Traceback" not in error["message"]
        assert len(error["message"]) < 1000
