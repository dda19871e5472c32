"""What asks for too much or in strange ways is refused: dear operations, odd frames, forms of other sites."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type, get_nullable_type, is_leaf_type, is_list_type
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from gateway.execution.documents import DocumentCache
from gateway.execution.limits import LIST_SIZES
from gateway.execution.requests import OperationRequest, RequestError
from schema.composition.fields import source_of
from schema.graph import whole_graph
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROTOCOL = Subprotocol("graphql-transport-ws")
ALIASED_QUESTIONS = " ".join(f"a{n}: viewerFollows" for n in range(50))
ALIASED_NAMES = " ".join(f"a{n}: name" for n in range(49))
ALIASED_LISTINGS = " ".join(
    f"a{n}: listings(first: 100) {{ nodes {{ description b{n}: description }} }}" for n in range(15)
)
DEAR: dict[str, tuple[str, dict[str, Any]]] = {
    "a page in a float": (
        """query ($n: Int) { users(search: "a", first: $n) { nodes { followers(first: $n) { nodes {
           followers(first: $n) { nodes { id } } } } } } }""",
        {"n": 100.0},
    ),
    "pages behind fragments": (
        """{ users(search: "a", first: 100) { ...A } }
           fragment A on UserConnection { nodes { followers { ...B } } }
           fragment B on UserConnection { nodes { followers { ...C } } }
           fragment C on UserConnection { nodes { id } }""",
        {},
    ),
    "questions under many names": (
        f"""query ($n: Int) {{ users(search: "a", first: $n) {{ nodes {{
            followers(first: $n) {{ nodes {{ {ALIASED_QUESTIONS} }} }} }} }} }}""",
        {"n": 20},
    ),
    "long texts under many names": (f"{{ {ALIASED_LISTINGS} }}", {}),
    "people of members": (
        """{ viewer { conversations(first: 50) { nodes { members { user { followers(first: 100) {
           nodes { id } } } } } } } }""",
        {},
    ),
    "a last beside an empty first": (
        """{ viewer { conversations(first: 100) { nodes { messages(first: 0, last: 100) { nodes { sender { followers {
           nodes { id } } } } } } } } }""",
        {},
    ),
    "types of types": (f"{{ __schema {{ types {{ fields {{ type {{ fields {{ {ALIASED_NAMES} }} }} }} }} }} }}", {}),
}


@pytest.mark.parametrize("name", DEAR)
async def test_an_operation_that_asks_for_too_much_is_refused_before_it_runs(town: Town, name: str) -> None:
    document, variables = DEAR[name]

    answer = (await town.post("alice", document, **variables)).json()

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["QUERY_TOO_COMPLEX"]
    assert "data" not in answer


async def test_every_list_without_a_page_size_has_a_size_to_reckon_with() -> None:
    schema = whole_graph().graphql_schema
    lists = {
        f"{name}.{field}"
        for name, graphql_type in schema.type_map.items()
        if isinstance(graphql_type, GraphQLObjectType) and not name.endswith(("Connection", "Event", "Error"))
        for field, f in graphql_type.fields.items()
        if is_list_type(get_nullable_type(f.type)) and not is_leaf_type(get_named_type(f.type))
        if source_of(f).most is None
    }

    assert lists - {"__Type.interfaces"} <= set(LIST_SIZES)


async def test_what_documents_take_in_memory_is_bounded(town: Town) -> None:
    cache = DocumentCache(town.gateway.graph.graph.graphql_schema)

    for n in range(40):
        cache.prepare(OperationRequest("{" + " __typename" * 29 + f" }} # {n}"))
    small = len(cache)
    for n in range(40):
        many = "1 " * 4_900
        with pytest.raises(RequestError):
            cache.prepare(OperationRequest(f"query Q{n} {{ paymentEvents(types: [{many}]) {{ nodes {{ id }} }} }}"))

    assert small == 40
    assert len(cache) < 40


async def test_a_socket_that_says_strange_things_is_told_so(town: Town) -> None:
    deep = "[" * 300 + "]" * 300
    for frame in (
        f'{{"type": "ping", "payload": {{"a": {deep}}}}}',
        f'{{"type": "connection_init", "payload": {{"a": {deep}}}}}',
        f'{{"type": "subscribe", "id": "1", "payload": {{"query": "{{ a }}", "variables": {{"a": {deep}}}}}}}',
        '{"type": "complete", "id": ["1"]}',
        '{"type": "subscribe", "id": "1", "payload": [{"query": "{ viewer { id } }"}]}',
        "[" * 60_000,
        "NaN",
    ):
        async with connect(town.websocket_url, subprotocols=[PROTOCOL]) as socket:
            await socket.send(frame)
            await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 4400, (frame[:60], socket.close_reason)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_of_another_site_does_nothing(town: Town, content_type: str) -> None:
    body = json.dumps({"query": 'mutation { openWallet(input: {currency: "CHF"}) { __typename } }'})
    headers = {**town.authorization("mallory"), "Content-Type": content_type, "Origin": "https://evil.example"}

    answer = await town.http.post(town.url, content=body, headers=headers)
    by_get = await town.http.get(town.url, params=json.loads(body), headers=town.authorization("mallory"))

    assert (answer.status_code, by_get.status_code) == (415, 405)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("who", ["alice", None], ids=str)
async def test_what_is_private_is_never_stored_on_the_way(town: Town, who: str | None) -> None:
    query = {"query": "{ viewer { id } }"}

    answer = await town.http.get(town.url, params=query, headers=town.authorization(who))

    assert answer.headers["cache-control"] == "no-store"
    assert {"Accept", "Authorization"} <= set(answer.headers["vary"].split(", "))
