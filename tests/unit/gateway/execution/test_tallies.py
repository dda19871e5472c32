"""What answers cost: the same weights as operations are measured with, over what is really there."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, graphql_sync, parse

from gateway.execution.limits import check_limits
from gateway.execution.tallies import Tallies
from schema.graph import whole_graph

SCHEMA = build_schema("""
    type Query { me: Person  people(first: Int): People!  found: [Thing]  grid: [[Person]] }
    type Person { name: String  friends(first: Int): People!  best: Person  tags: [String] }
    type Place { name: String  owner: Person  tags: [String] }
    union Thing = Person | Place
    type People { nodes: [Person]! }
""")
ANN: dict[str, Any] = {
    "__typename": "Person",
    "name": "Ann",
    "best": None,
    "tags": ["a", "b"],
    "friends": {"nodes": []},
}
BEN = {"__typename": "Person", "name": "Ben", "best": ANN, "tags": [], "friends": {"nodes": [ANN, None, ANN]}}
INN = {"__typename": "Place", "name": "Inn", "owner": BEN, "tags": None}
ROOT = {"me": BEN, "people": {"nodes": [ANN, BEN]}, "found": [ANN, INN, None], "grid": [[ANN, None], [BEN]]}


def counted(query: str, schema: GraphQLSchema = SCHEMA, root: Any = ROOT) -> int:
    document = parse(query)
    (operation, *_) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    answer = graphql_sync(schema, query, root)
    assert answer.errors is None
    return Tallies(schema).count(document, operation, answer.data)


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        # The field, its object, and the object's value.
        ("{ me { name } }", 3),
        ("{ me { a: name b: name } }", 4),
        ("{ me { tags } }", 3),
        # What is null was asked for, and nothing came below it.
        ("{ me { best { best { name } } } }", 5),
        # A page of two people, one without friends and one with two and a gap.
        ("{ people { nodes { name } } }", 1 + 1 + 1 + 2 * 2),
        ("{ people { nodes { friends { nodes { name } } } } }", 1 + 1 + 1 + 2 * 2 + 2 * 2 + 2 * 2),
        ("{ grid { name } }", 1 + 2 * 2),
        # By the type that is there: Ann has a name, the inn an owner with one.
        ("{ found { ... on Person { name } ... on Place { owner { name } } } }", 1 + 2 + 2 + 2),
        ("{ me { ...F ...F best { name } } } fragment F on Person { name best { tags } }", 1 + 1 + 2 + 1 + 2),
        ("{ me { name @skip(if: true) tags @include(if: true) } }", 3),
        ("{ me { name best @skip(if: true) { name } } }", 3),
    ],
)
def test_objects_and_values_are_counted(query: str, cost: int) -> None:
    assert counted(query) == cost


def test_an_answer_costs_no_more_than_its_operation() -> None:
    query = "{ people(first: 2) { nodes { name best { name tags } friends(first: 3) { nodes { name } } } } }"
    document = parse(query)
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))

    assert counted(query) <= check_limits(SCHEMA, document, operation, {}).cost


def test_fields_that_ask_weigh_as_much_as_in_the_measure() -> None:
    schema = whole_graph().graphql_schema
    query = '{ post(id: "p") { text author { handle } likeCount } }'
    document = parse(query)
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    size = check_limits(schema, document, operation, {})
    full = {"post": {"text": "…", "author": {"handle": "ann"}, "likeCount": 3}}

    assert Tallies(schema).count(document, operation, full) == size.cost
    assert Tallies(schema).count(document, operation, {"post": None}) == 8
    assert Tallies(schema).count(document, operation, None) == 0


def test_fragments_that_double_make_one_tally_a_level() -> None:
    levels = 15
    doubled = " ".join(
        f"fragment F{n} on Person {{ best {{ ...F{n + 1} }} friends {{ nodes {{ ...F{n + 1} }} }} }}"
        for n in range(levels)
    )
    document = parse(f"{{ me {{ ...F0 }} }} {doubled} fragment F{levels} on Person {{ name }}")
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    tallies = Tallies(SCHEMA)

    tallies.count(document, operation, {"me": None})

    seen: set[int] = set()
    pending = [tally for _, tally in tallies._known.values()]
    while pending:
        if id(tally := pending.pop()) not in seen:
            seen.add(id(tally))
            pending += [below for _, below in tally.below]
    assert len(seen) <= 3 * (levels + 1)


def test_a_tally_is_made_once_and_forgotten_with_its_operation() -> None:
    tallies = Tallies(SCHEMA)
    documents = [parse(f"query Q{n} {{ me {{ name }} }}") for n in range(20)]

    def count_all() -> None:
        for document in documents * 2:
            (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
            tallies.count(document, operation, {"me": {"name": "Ann"}})

    count_all()
    made = len(tallies)
    documents.clear()
    gc.collect()

    assert (made, len(tallies)) == (20, 0)
