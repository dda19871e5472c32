"""What routers say by themselves: to pages of other sites, of variables that do not fit, of what a subgraph refuses."""

from __future__ import annotations

from typing import Final

import httpx
import pytest

from tests.federation.place import Place
from tests.topologies import ROUTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")
ELSEWHERE: Final = "https://elsewhere.example"
# The configuration of Grafbase has no place for other codes than its own.
VARIABLE_CODES: Final = {"hive": "INVALID_INPUT", "grafbase": "VARIABLE_ERROR", "apollo": "INVALID_INPUT"}
PATIENCE_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 10_000
TWICE: Final = "".join(f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }} " for n in range(30))
BOMB: Final = f'{{ user(handle: "alice") {{ ...F0 }} }} {TWICE}'
HOSTILE: Final = {
    "fragments of an alias": f"{BOMB} fragment F30 on User {{ a: id }}",
    "fragments of a field": f"{BOMB} fragment F30 on User {{ id }}",
    "fragments of nothing": f"{BOMB} fragment F30 on User {{ __typename }}",
    "fragments of lists": f"{BOMB} fragment F30 on User {{ posts(first: 1) {{ nodes {{ author {{ id }} }} }} }}",
    "one field": '{ user(handle: "alice") { ' + "id " * 100_000 + "} }",
    "many names": '{ user(handle: "alice") { ' + "".join(f"a{n}: id " for n in range(3_000)) + "} }",
    "depth": "{ posts(first: 1) { nodes "
    + "{ author { posts(first: 1) { nodes " * 12
    + "{ id } "
    + "} } }" * 12
    + "} }",
}


@pytest.mark.parametrize("name", ["hive", "grafbase"])
async def test_a_page_of_another_site_may_read_nothing(place: Place, name: str) -> None:
    town = place.behind(name)
    headers = {**town.authorization("alice"), "Origin": ELSEWHERE}
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    before = await town.http.options(town.url, headers={"Origin": ELSEWHERE, **asking})
    answer = await town.http.post(town.url, json={"query": "{ viewer { id } }"}, headers=headers)

    for response in (before, answer):
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("name", ["hive"])
async def test_nothing_is_stored_on_the_way(place: Place, name: str) -> None:
    town = place.behind(name)

    answer = await town.http.get(town.url, params={"query": "{ viewer { id } }"}, headers=town.authorization("alice"))

    assert answer.json()["data"]["viewer"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ROUTERS)
async def test_variables_that_do_not_fit_are_the_clients_fault(place: Place, name: str) -> None:
    answer = (
        await place.behind(name).post("alice", "query ($n: Int) { posts(first: $n) { nodes { id } } }", n="x")
    ).json()

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == VARIABLE_CODES[name]
    assert "$n" in error["message"]


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ROUTERS)
async def test_a_document_that_stands_for_far_more_than_it_says_stops_nobody(
    place: Place, name: str, document: str
) -> None:
    town = place.behind(name)

    answer = await town.http.post(town.url, json={"query": document}, timeout=PATIENCE_S)

    assert answer.status_code < 500
    assert len(answer.content) < MAX_ANSWER_BYTES
    assert (await town.ask(None, '{ user(handle: "bob") { handle } }')) == {"user": {"handle": "bob"}}


@pytest.mark.parametrize("name", ROUTERS)
async def test_what_the_subgraph_of_an_entity_refuses_is_told_by_its_code(place: Place, name: str) -> None:
    town = place.behind(name)
    query = "query ($c: CurrencyCode!) { viewer { id wallet(currency: $c) { id } } }"

    if name == "grafbase":
        # Version 0.103 panics at an answer to `_entities` without data, and lets the connection go.
        with pytest.raises(httpx.RemoteProtocolError):
            await town.post("alice", query, c="eur")
    else:
        answer = (await town.post("alice", query, c="eur")).json()
        assert answer["data"]["viewer"]["wallet"] is None
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_INPUT"]
    assert (await town.ask("alice", query, c="EUR"))["viewer"]["wallet"]
