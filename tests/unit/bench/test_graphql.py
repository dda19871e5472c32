from __future__ import annotations

from functools import cache

import orjson
import pytest
from graphql import build_schema, parse, validate

from bench.graphql.candidates import PEERS
from bench.graphql.operations import DOCUMENTS, MIXTURE, NAMES, READS, Request, read, requests, transfer
from bench.graphql.town import PAGES, Person, Town
from gateway.execution.executor import GraphExecutor
from gateway.execution.requests import OperationRequest
from schema.graph import whole_graph

PEOPLE = [Person(f"usr_{number:026d}", f"token-{number}") for number in range(10)]
TOWN = Town(PEOPLE[0], PEOPLE[1:], ["cursor"] * (PAGES - 1))
REQUESTS = {**{name: read(name, TOWN) for name in READS}, "transfer": transfer(0, "key", TOWN)}


@cache
def graph() -> GraphExecutor:
    return GraphExecutor(whole_graph(), lambda *failure: None)


def name_of(request: Request) -> str:
    return str(orjson.loads(request.body)["operationName"])


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_measured_is_valid_here_and_within_the_limits(name: str) -> None:
    asked = orjson.loads(REQUESTS[name].body)

    prepared = graph().prepare(OperationRequest(asked["query"], asked["operationName"], asked["variables"]))

    assert prepared.name == NAMES[name]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_measured_is_valid_in_the_schema_of_the_others(name: str) -> None:
    theirs = build_schema((PEERS / "town.graphql").read_text())

    assert validate(theirs, parse(DOCUMENTS[name])) == []


def test_nobody_pays_themselves_and_no_key_comes_twice() -> None:
    made = [transfer(number, f"key-{number}", TOWN) for number in range(500)]

    assert all(request.person.id.encode() not in request.body for request in made)
    assert len({orjson.loads(request.body)["variables"]["input"]["idempotencyKey"] for request in made}) == 500


def test_the_mixture_has_its_shares_in_every_stretch() -> None:
    made = [name_of(request) for request in requests("mixed", TOWN, "mixed", 80)]

    for stretch in (made[:40], made[40:]):
        assert {name: stretch.count(NAMES[name]) for name, _ in MIXTURE} == dict(MIXTURE)
