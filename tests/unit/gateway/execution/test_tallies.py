"""What answers cost: the same weights as operations are measured with, over what is really there."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, graphql_sync, parse

from gateway.execution import tallies
from gateway.execution.executor import GraphExecutor
from gateway.execution.limits import check_limits
from gateway.execution.requests import OperationRequest, RequestError
from gateway.execution.tallies import Tallies, Tally
from schema.graph import whole_graph
from tests.differential import graphs
from tests.differential.worlds import World

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


def tallies_made(query: str, data: dict[str, Any], schema: GraphQLSchema = SCHEMA) -> tuple[int, int]:
    """How many tallies were made to count this answer, and what it costs."""
    document = parse(query)
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    counting, made = Tallies(schema), Counter[str]()

    def called(frame: FrameType, event: str, _argument: object) -> None:
        made[event] += frame.f_code is Tally.__init__.__code__

    sys.setprofile(called)
    try:
        cost = counting.count(document, operation, data)
    finally:
        sys.setprofile(None)
    return made["call"], cost


def test_fragments_that_double_make_one_tally_a_level() -> None:
    levels = 12
    doubled = " ".join(
        f"fragment F{n} on Person {{ best {{ ...F{n + 1} }} friends {{ nodes {{ ...F{n + 1} }} }} }}"
        for n in range(levels)
    )
    person: dict[str, Any] = {"name": "Ann"}
    for _ in range(levels):
        person = {"best": person, "friends": {"nodes": [person]}}

    made, cost = tallies_made(f"{{ me {{ ...F0 }} }} {doubled} fragment F{levels} on Person {{ name }}", {"me": person})

    assert made <= 3 * (levels + 1)
    assert cost > 2**levels


def subsets(levels: int, first: int) -> str:
    """What is selected of a post differs on each of the two ways from every level to the next."""
    fragments = []
    for level in range(levels):
        for n in range(level + 1):
            one, two = (f"...F{level + 1}_{m}" if level + 1 < levels else "id" for m in (0 if n == 0 else n + 1, 1))
            both, other = (f"{one} {two}", one) if n == 0 else (one, one)
            fragments.append(f"fragment F{level}_{n} on Post {{ replyTo {{ {both} }} quoteOf {{ {other} }} }}")
    return f"{{ posts(first: {first}) {{ nodes {{ ...F0_0 }} }} }} {' '.join(fragments)}"


def test_what_an_answer_does_not_hold_costs_nothing_to_count() -> None:
    schema = whole_graph().graphql_schema
    post: dict[str, Any] = {"replyTo": None, "quoteOf": {"replyTo": None, "quoteOf": None}}

    assert tallies_made(subsets(18, 1), {"posts": {"nodes": []}}, schema)[0] == 2
    assert tallies_made(subsets(18, 1), {"posts": {"nodes": [post]}}, schema)[0] == 4


def test_so_many_tallies_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    schema, post = whole_graph().graphql_schema, {"id": "post_1"}
    for _ in range(7):
        post = {"replyTo": post, "quoteOf": post}  # type: ignore[dict-item]
    query = subsets(8, 1)
    _, cost = tallies_made(query, {"posts": {"nodes": [post]}}, schema)

    monkeypatch.setattr(tallies, "MAX_TALLIES", 5)

    assert tallies_made(query, {"posts": {"nodes": [post]}}, schema)[1] == cost


def test_a_page_of_none_hides_nothing() -> None:
    schema = whole_graph().graphql_schema
    document = parse(subsets(16, 0))
    (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))

    with pytest.raises(RequestError, match="values of objects"):
        check_limits(schema, document, operation, {})


@pytest.mark.parametrize(("failing", "is_all_paid"), [("boss", True), ("person", False)])
async def test_what_an_error_took_away_is_paid(failing: str, is_all_paid: bool) -> None:
    class FailingWorld(World):
        def fail(self, place: str) -> None:
            if place == failing:
                raise RuntimeError

    world = FailingWorld(1, 0)
    executor = GraphExecutor(graphs.whole_graph(), lambda *_: None)
    query = '{ people { followers(first: 6) { nodes { rank } } } boss { name } person(id: "person_1") { name } }'
    prepared = executor.prepare(OperationRequest(query, persisted=True))

    answer = await executor.execute(prepared, graphs.context_of(world))

    assert answer["errors"]
    assert (answer["data"] is None) is is_all_paid
    assert (executor.cost(prepared, answer) == prepared.cost) is is_all_paid


def test_a_tally_is_made_once_and_forgotten_with_its_operation() -> None:
    counting = Tallies(SCHEMA)
    documents = [parse(f"query Q{n} {{ me {{ name }} }}") for n in range(20)]

    def count_all() -> None:
        for document in documents * 2:
            (operation,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
            counting.count(document, operation, {"me": {"name": "Ann"}})

    def all_tallies() -> set[int]:
        return {id(each) for each in gc.get_objects() if isinstance(each, Tally)}

    gc.collect()
    gc.disable()
    try:
        before = all_tallies()
        count_all()
        made = len(counting)
        documents.clear()
        # Nothing of them waits for a round of collection.
        left = all_tallies() - before
    finally:
        gc.enable()

    assert (made, len(counting), left) == (20, 0, set())
