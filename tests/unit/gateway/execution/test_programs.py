"""When operations are compiled, what is kept of them, what a plan looks like, and when graphql-core executes."""

from __future__ import annotations

import asyncio
import contextvars
import linecache
from collections import Counter
from typing import Any

import pytest

from gateway.execution import programs
from gateway.execution.executor import COMPILED, VIOLATION, GraphExecutor
from gateway.execution.planning import NotCompiledError
from gateway.execution.programs import MAX_VARIANTS, Programs
from gateway.execution.requests import OperationRequest, RequestError
from resolvers.context import Context
from schema.composition import Composed
from tests.differential import graphs
from tests.differential.graphs import context_of, whole_graph
from tests.differential.worlds import World

NAMED = """
query Bosses($n: Int, $all: Boolean!) {
  boss { name followers(first: $n) @include(if: $all) { nodes { likes } } }
}
"""


class Executions:
    """An executor over a world, and how it executed what it was asked."""

    def __init__(self, graph: Composed) -> None:
        self.ran: Counter[str] = Counter()
        self.unexpected: list[Exception] = []
        self.executor = GraphExecutor(
            graph, lambda error, _context, _prepared: self.unexpected.append(error), lambda how: self.ran.update([how])
        )
        self.world = World(1, 0)

    async def ask(self, query: str, *, persisted: bool = True, **variables: Any) -> dict[str, Any]:
        request = OperationRequest(query, variables=variables, persisted=persisted)
        return await self.executor.execute(self.executor.prepare(request), context_of(self.world))


@pytest.fixture(scope="module")
def graph() -> Composed:
    return whole_graph()


@pytest.fixture
def executions(graph: Composed) -> Executions:
    return Executions(graph)


async def test_an_operation_is_compiled_when_it_comes_again(executions: Executions) -> None:
    answers = [await executions.ask("{ boss { name } }", persisted=False) for _ in range(3)]

    assert answers == [{"data": {"boss": {"name": "Person 1"}}}] * 3
    assert executions.ran == {"cold": 1, COMPILED: 2}


async def test_a_persisted_operation_is_compiled_at_once(executions: Executions) -> None:
    await executions.ask("{ boss { name } }")

    assert executions.ran == {COMPILED: 1}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{ __schema { queryType { name } } boss { id } }", "introspection"),
        ('{ __type(name: "Person") { name } }', "introspection"),
        ("query($a: Boolean = true) { boss { name @skip(if: $a) id } }", "conditions"),
    ],
)
async def test_what_is_rare_is_graphql_cores(executions: Executions, query: str, reason: str) -> None:
    await executions.ask(query, a=None)

    assert executions.ran == {reason: 1}


async def test_an_error_is_graphql_cores(executions: Executions) -> None:
    executions.world.change("person_1", "name", None)

    answer = await executions.ask("{ boss { age name } }")

    assert executions.ran == {VIOLATION: 1}
    assert answer["data"] is None
    assert [(error["path"], error["locations"]) for error in answer["errors"]] == [
        (["boss", "name"], [{"line": 1, "column": 14}])
    ]


async def test_what_was_read_is_not_read_again(executions: Executions) -> None:
    executions.world.change("person_2", "name", None)

    answer = await executions.ask("{ people(first: 2) { likes boss { name } } }")

    assert executions.ran == {VIOLATION: 1}
    assert executions.world.calls == [("likes", 2), ("people", 2)]
    assert answer["data"] == {"people": [{"likes": 8, "boss": {"name": "Person 1"}}, None]}


async def test_a_mutation_happens_once(executions: Executions) -> None:
    executions.world.change("person_2", "age", "no number")

    answer = await executions.ask(
        '{ a: celebrate(id: "person_1") { age } b: celebrate(id: "person_2") { age } c: count }'.replace(
            "{", "mutation {", 1
        )
    )

    assert executions.ran == {VIOLATION: 1}
    assert answer["data"] == {"a": {"age": 22}, "b": None, "c": 3}
    assert executions.world.log == [("celebrate", "person_1"), ("celebrate", "person_2"), ("count", None)]


async def test_an_operation_that_keeps_failing_is_left_to_graphql_core(executions: Executions) -> None:
    executions.world.change("person_1", "name", None)

    for _ in range(40):
        await executions.ask("{ boss { name } }")

    assert executions.ran[VIOLATION] <= programs.MAX_VIOLATIONS + 40 // programs.USES_BETWEEN_TRIES + 1
    assert executions.ran["violating"] >= 40 - programs.MAX_VIOLATIONS - 4

    executions.world.change("person_1", "name", "Right again")
    for _ in range(20):
        await executions.ask("{ boss { name } }")

    assert executions.ran[COMPILED] >= 4


def test_distinct_operations_are_forgotten(graph: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_KNOWN_OPERATIONS", 20)
    executor = GraphExecutor(graph, lambda *_: None)
    kept = executor.programs

    for number in range(100):
        prepared = executor.prepare(OperationRequest(f"{{ boss {{ a{number}: name }} }}", persisted=True))
        kept.use(prepared).program({})

    assert len(kept) == 20
    assert 0 < kept.size < 20 * 20_000


def test_large_programs_are_forgotten_earlier(graph: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_PROGRAM_BYTES", 60_000)
    executor = GraphExecutor(graph, lambda *_: None)
    made = []

    for number in range(20):
        prepared = executor.prepare(OperationRequest(f"{{ boss {{ a{number}: name }} }}", persisted=True))
        made.append(executor.programs.use(prepared).program({}))

    assert 1 < len(executor.programs) < 12
    assert made[0].file_name not in linecache.cache
    assert made[-1].file_name in linecache.cache


def test_only_so_many_variants_are_compiled(graph: Composed) -> None:
    fields = " ".join(f"f{n}: name @include(if: $c{n})" for n in range(5))
    variables = ", ".join(f"$c{n}: Boolean!" for n in range(5))
    executor = GraphExecutor(graph, lambda *_: None)
    prepared = executor.prepare(
        OperationRequest(
            f"query({variables}) {{ boss {{ id {fields} }} }}",
            variables={f"c{n}": True for n in range(5)},
            persisted=True,
        )
    )
    known = executor.programs.use(prepared)
    reasons: Counter[str] = Counter()

    for number in range(32):
        try:
            known.program({f"c{n}": bool(number >> n & 1) for n in range(5)})
        except NotCompiledError as error:
            reasons[error.reason] += 1

    assert reasons == {"variants": 32 - MAX_VARIANTS}


def test_interfaces_in_interfaces_do_not_grow_without_bound(graph: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.execution.planning.MAX_PLANNED_FIELDS", 50)
    inner = "id"
    for _ in range(6):
        inner = f"id ... on Person {{ nearest {{ {inner} }} anything {{ {inner} }} }}"
    executor = GraphExecutor(graph, lambda *_: None)
    prepared = executor.prepare(OperationRequest(f"{{ boss {{ nearest {{ {inner} }} }} }}", persisted=True))

    with pytest.raises(NotCompiledError, match="too_large"):
        executor.programs.use(prepared).program({})


def test_a_plan_can_be_read(graph: Composed) -> None:
    prepared = GraphExecutor(graph, lambda *_: None).prepare(
        OperationRequest(NAMED, variables={"n": 1, "all": True}, persisted=True)
    )

    program = Programs(graph).use(prepared).program({"n": 1, "all": True})

    assert str(program.plan).splitlines() == [
        "query Bosses ($all: true)",
        "  boss: Person!  calls boss → level 1",
        "level 1: Query.boss: Person!",
        "  name: String!  key name",
        "  followers(first: $n): PersonConnection  calls followers once → level 2",
        "level 2: Person.followers: PersonConnection",
        "  nodes: [Person!]!  computed from edges",
        "    likes: Int!  calls likes once → level 3",
        "level 3: Person.likes: Int!",
    ]


def test_tracebacks_show_generated_lines(graph: Composed) -> None:
    prepared = GraphExecutor(graph, lambda *_: None).prepare(
        OperationRequest(NAMED, variables={"n": 1, "all": True}, persisted=True)
    )

    program = Programs(graph).use(prepared).program({"all": True})

    assert "Bosses" in program.file_name
    assert linecache.getline(program.file_name, 1) == '"""query Bosses"""\n'
    assert "async def fetch_2(parents_2, outs_2, state):" in program.source
    program.forget()
    assert linecache.getline(program.file_name, 1) == ""


async def test_wrong_variables_are_refused_before_anything_runs(executions: Executions) -> None:
    with pytest.raises(RequestError) as refusal:
        await executions.ask("mutation($id: ID!) { celebrate(id: $id) { id } }", id=["a"])

    assert refusal.value.code == "INVALID_INPUT"
    assert executions.world.log == []


async def test_cancelling_stops_every_call(executions: Executions, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(world: World, name: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def people_by_id(context: Context, ids: list[str]) -> list[Any]:
        await hang(graphs.world_of(context), "people")
        return []

    monkeypatch.setitem(executions.executor.graph.loaders, graphs.Person, people_by_id)
    asking = asyncio.create_task(executions.ask("{ people { likes friend { name } boss { name } } }"))
    async with asyncio.timeout(5):
        await begun.wait()

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert ended.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_deadline_holds(executions: Executions, monkeypatch: pytest.MonkeyPatch) -> None:
    async def people_by_id(context: Context, ids: list[str]) -> list[Any]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setitem(executions.executor.graph.loaders, graphs.Person, people_by_id)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await executions.ask("{ people { friend { name } boss { name } } search { ... on Note { by { id } } } }")


async def test_context_variables_reach_every_call(executions: Executions, monkeypatch: pytest.MonkeyPatch) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    async def people_by_id(context: Context, ids: list[str]) -> list[Any]:
        seen.append(who.get())
        return graphs.world_of(context).read("people", ids)

    monkeypatch.setitem(executions.executor.graph.loaders, graphs.Person, people_by_id)
    who.set("somebody")

    await executions.ask("{ people { boss { name } friend { id boss { id } } } boss { boss { id } } }")

    assert set(seen) == {"somebody"}


async def test_siblings_that_ask_for_the_same_entity_are_read_together(executions: Executions) -> None:
    await executions.ask("{ people(first: 6) { friend { name } boss { name } rivals { name } favourite { id } } }")

    assert [name for name, _ in executions.world.calls] == ["people", "things"]


async def test_events_are_compiled(executions: Executions) -> None:
    request = OperationRequest("subscription { passing(first: 4) { name boss { name } } }")
    prepared = executions.executor.prepare(request)

    answers = [answer async for answer in executions.executor.stream(prepared, context_of(executions.world))]

    assert [answer["data"]["passing"]["name"] for answer in answers] == [f"Person {n}" for n in range(4)]
    assert executions.ran == {"cold": 1, COMPILED: 3}
