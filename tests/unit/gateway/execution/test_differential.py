"""Compiled operations answer as graphql-core does, whatever resolvers give; and a compiler with a bug is found out."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio
from graphql import GraphQLInt, GraphQLLeafType

from gateway.execution import completion, leaves, programs
from gateway.execution.executor import COMPILED, VIOLATION
from gateway.execution.loads import EntityLoads
from gateway.execution.plan import Plan
from gateway.execution.planning import plan_operation
from gateway.execution.runs import MISSING, Records, Run
from tests.differential.operations import Written
from tests.differential.trials import Trials
from tests.differential.worlds import World

OPERATIONS = 2_000
AT_ONCE = 250
MOST_UNTIL_FOUND = 300
ANYTHING_WRONG = 60

# Where an error ends a selection, graphql-core leaves calls of its own behind that have not begun.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine:pytest.PytestUnraisableExceptionWarning"),
]


@pytest_asyncio.fixture
async def trials() -> AsyncIterator[Trials]:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    yield Trials()
    gc.collect()


@pytest.mark.parametrize("first", range(0, OPERATIONS, AT_ONCE))
async def test_no_answer_differs(trials: Trials, first: int) -> None:
    ran: Counter[str] = Counter()

    for seed in range(first, first + AT_ONCE):
        trial = await trials.run(seed)
        ran.update(trial.ran)
        assert trial.found == [], f"make fuzz SEED={seed}"
        assert trial.faults or not trial.ran["needless"], f"make fuzz SEED={seed}"

    # So that this says something: most are compiled and go through, and some meet what is wrong.
    assert ran[COMPILED] > AT_ONCE / 2
    assert ran[VIOLATION] > AT_ONCE / 20


CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "aliases and merged fields": (
        "{ a: person(id: 1) { id } p: people { name name home { zip } home { street } } }",
        {},
    ),
    "fragments on an interface": (
        '{ node(id: "thing_2") { ...N ... on Person { name } } }'
        " fragment N on Node { id ... on Thing { label owner { id } } }",
        {},
    ),
    "a union in a list": (
        "{ search(limit: 8) { __typename ... on Note { text by { name } } ... on Node { id } } }",
        {},
    ),
    "nested lists": ("{ people(first: 5) { grid circles { name boss { name } } } }", {}),
    "directives by variables": (
        "query($a: Boolean!, $b: Boolean = false) { boss { name @skip(if: $a) ... @include(if: $b) { age } id } }",
        {"a": True},
    ),
    "nothing is left": ("{ boss @skip(if: true) { id } }", {}),
    "defaults of arguments": ("{ people { rank followers { nodes { id } } } }", {}),
    "variables in input objects": (
        "query($c: Color, $n: [String!], $d: DateTime) {"
        " echo(filter: {color: $c, names: $n, bornAfter: $d, minAge: 3}, flags: [[true, null], []]) }",
        {"c": "BLUE", "n": "one"},
    ),
    "an absent variable beside a default": ("query($w: Int) { boss { rank(within: $w) } }", {}),
    "null for a variable with a default": ("query($w: Int = 7) { boss { rank(within: $w) } }", {"w": None}),
    "scalars": ("{ people(first: 6) { born seenAt credit rate score dates tags shades color size active } }", {}),
    "mutations one after another": (
        'mutation { a: count rename(id: "person_1", name: "B") { ... on Renamed { name person { name } } } b: count }',
        {},
    ),
    "what changes between mutations": (
        'mutation { celebrate(id: "person_1") { age boss { age } }'
        ' again: celebrate(id: "person_2") { age boss { age } rivals { age boss { age } } friend { age } } }',
        {},
    ),
    "an expected error as a type": (
        'mutation { rename(id: "person_9") { ... on Error { code message } __typename } }',
        {},
    ),
    "events": ("subscription($n: Int!) { passing(first: $n) { name boss { name } likes } }", {"n": 3}),
    "events of several types": ("subscription { subjects { ... on Note { by { name } } ... on Thing { label } } }", {}),
    "the type of the root": ("{ __typename boss { __typename id } }", {}),
    "a shared object": ("{ people(first: 6) { boss { boss { name followers(first: 2) { nodes { name } } } } } }", {}),
    "computed objects": (
        "{ boss { homes { line resident { name } } anything { id ... on Thing { owner { id } } } } }",
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_feature_is_compiled_and_answers_the_same(trials: Trials, name: str) -> None:
    text, variables = CASES[name]

    trial = await trials.compare(7, 0, text, variables)

    assert trial.found == []
    assert set(+trial.ran) == {COMPILED}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rate", [10, 50, 200])
async def test_it_answers_the_same_where_anything_may_be_wrong(trials: Trials, name: str, rate: int) -> None:
    text, variables = CASES[name]

    for seed in range(ANYTHING_WRONG // 3):
        trial = await trials.compare(seed, rate, text, variables)

        assert trial.found == [], f"seed {seed}"


INVALID: Mapping[str, tuple[str, dict[str, Any]]] = {
    "an Int that is none": ("query($w: Int) { boss { rank(within: $w) } }", {"w": "7"}),
    "an Int that is too large": ("query($w: Int) { boss { rank(within: $w) } }", {"w": 2**31}),
    "null where none may be": ("query($id: ID!) { person(id: $id) { name } }", {"id": None}),
    "a variable that is missing": ("query($id: ID!) { person(id: $id) { name } }", {}),
    "a moment that is none": ("query($d: DateTime) { echo(filter: {}, at: $d) }", {"d": "yesterday"}),
    "a field that the input has not": ("query($f: PersonFilter!) { echo(filter: $f) }", {"f": {"nothing": 1}}),
    "null for an argument with a default": ("query($a: Int = 1) { people(first: $a) { id } }", {"a": None}),
}


@pytest.mark.parametrize("name", INVALID)
async def test_wrong_variables_are_refused_alike(trials: Trials, name: str) -> None:
    text, variables = INVALID[name]

    trial = await trials.compare(1, 0, text, variables)

    assert trial.found == []
    assert not trial.ran[COMPILED]


# A compiler with a bug is found out


def without_range(monkeypatch: pytest.MonkeyPatch) -> None:
    right = leaves._unless

    def unless(type_: GraphQLLeafType) -> str:
        return "{0}.__class__ is not int" if type_ is GraphQLInt else right(type_)

    monkeypatch.setattr(leaves, "_unless", unless)


def with_nulls_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    right = completion.Completion._write_leaf

    def write(self: completion.Completion, type_: Any, value: str, *, nullable: bool) -> None:
        right(self, type_, value, nullable=True)

    monkeypatch.setattr(completion.Completion, "_write_leaf", write)


def without_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Records, "find", lambda *_: MISSING)


def with_turned_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(graph: Any, document: Any, operation: Any, conditions: Mapping[str, bool]) -> Plan:
        return plan_operation(graph, document, operation, {name: not value for name, value in conditions.items()})

    monkeypatch.setattr(programs, "plan_operation", plan)


def with_answers_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Run.batch

    async def batch(self: Run, call: Any, parents: list[Any]) -> list[Any]:
        return list(reversed(await right(self, call, parents)))

    monkeypatch.setattr(Run, "batch", batch)


def without_failed_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    right = EntityLoads.get

    async def get(self: EntityLoads, ids: Any) -> dict[str, Any]:
        found = await right(self, ids)
        return {id: None if isinstance(each, Exception) else each for id, each in found.items()}

    monkeypatch.setattr(EntityLoads, "get", get)


def with_mutations_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "start_afresh", lambda _self: None)


@pytest.mark.parametrize(
    "plant",
    [
        without_range,
        with_nulls_anywhere,
        without_records,
        with_turned_conditions,
        with_answers_in_any_order,
        without_failed_loads,
        with_mutations_at_once,
    ],
)
async def test_a_planted_bug_is_found(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)

    for seed in range(MOST_UNTIL_FOUND):
        for text, variables in CASES.values():
            if (await trials.compare(seed, 20 * (seed % 8), text, variables)).found:
                return

    pytest.fail(f"{plant.__name__} was not found")


def test_a_seed_says_what_is_written_and_what_the_world_is() -> None:
    writer = Trials().writer

    first, again = writer.write(11), writer.write(11)

    assert first == again
    assert isinstance(first, Written)
    assert repr(World(3, 100).document("person_1")) == repr(World(3, 100).document("person_1"))
