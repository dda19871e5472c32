"""From a plan to Python: source that a person can read, and the function that it makes."""

from __future__ import annotations

import linecache
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final, cast

from graphql import FragmentDefinitionNode, GraphQLOutputType, is_list_type, is_non_null_type

from schema.composition import Composed
from schema.composition.domains import Load
from schema.composition.strawberry_hooks import DEFINITION, resolver_parameters

from .arguments import arguments_of
from .completion import Completion
from .plan import Level, Plan, PlannedField
from .planning import NotCompiledError
from .requests import PreparedOperation
from .runs import BatchCall, LoadCall, OperationInfo, RootCall, Run
from .selections import keys_loaded, keys_read
from .source import Source, quoted

_numbers: Final = count(1)

RunFunction = Callable[[Run], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled operation. `run(state)` returns its data, or raises where graphql-core is to run it again.

    The lines of `source` are known under `file_name` to tracebacks until `forget` is called.
    """

    plan: Plan
    source: str
    file_name: str
    run: RunFunction
    info: OperationInfo

    def forget(self) -> None:
        """Let go of the lines that tracebacks would show."""
        linecache.cache.pop(self.file_name, None)


def generate(graph: Composed, plan: Plan, prepared: PreparedOperation) -> Program:
    """The program of a plan. Raises NotCompiledError where Python cannot nest what the operation does."""
    module = _Module(graph, plan)
    module.write()
    source = str(module.source)
    file_name = f"<operation {plan.name or 'anonymous'} {next(_numbers)}>"
    try:
        exec(compile(source, file_name, "exec"), module.source.constants)  # noqa: S102  # generated from a validated document
    except (SyntaxError, RecursionError, MemoryError):
        raise NotCompiledError("too_large") from None
    linecache.cache[file_name] = (len(source), None, source.splitlines(keepends=True), file_name)
    root = graph.graphql_schema.get_root_type(prepared.operation.operation)
    if root is None:
        raise NotCompiledError("resolver")
    fragments = {
        each.name.value: each for each in prepared.document.definitions if isinstance(each, FragmentDefinitionNode)
    }
    info = OperationInfo(graph, root, prepared.operation, fragments, module.loads)
    return Program(plan, source, file_name, cast(RunFunction, module.source.constants["run"]), info)


class _Module:
    """Writes a function `level_N` for the values of each level, `fetch_N` for the call before it, and `run`."""

    def __init__(self, graph: Composed, plan: Plan) -> None:
        self.source = Source()
        self._graph = graph
        self._plan = plan
        self._levels = {level.number: level for level in plan.levels}
        self.loads = _loads(graph, plan)
        self._types = {_name_of(entity) for entity in graph.loaders}
        self._alike: dict[tuple[str, ...], int] = {}
        self._same: dict[int, int] = {}

    def write(self) -> None:
        """The whole module; levels first that others call."""
        self.source.line(f'"""{self._plan.kind} {self._plan.name or "without a name"}"""')
        completion = Completion(self._graph, self.source)
        for level in reversed(self._plan.levels):
            self._write_level(level, completion)
            if level.field.kind != "event":
                self._write_fetch(level)
        self._write_run()

    def _write_run(self) -> None:
        calls = [field for field in self._plan.fields if field.level is not None]
        with self.source.function("async def run(state):"):
            entries = [f"{quoted(field.key)}: {self._at_root(field)}" for field in self._plan.fields]
            self.source.line(f"data = {{{', '.join(entries)}}}")
            if self._plan.kind == "query" and len(calls) > 1:
                targets = ", ".join(f"data[{quoted(field.key)}]" for field in calls)
                waiting = ", ".join(f"fetch_{field.level}(state)" for field in calls)
                self.source.line(f"{targets} = await state.gather({waiting})")
            else:
                for field in calls:
                    self._write_root(field)
            self.source.line("return data")

    def _write_root(self, field: PlannedField) -> None:
        if field.kind == "event":
            self.source.line(f"(data[{quoted(field.key)}],) = {self._completed(field.level, '[state.event]')}")
            return
        if self._plan.kind != "mutation":
            self.source.line(f"data[{quoted(field.key)}] = await fetch_{field.level}(state)")
            return
        self.source.line("state.start_afresh()")
        self.source.line(
            f"data[{quoted(field.key)}] = state.completed[{quoted(field.key)}] = await fetch_{field.level}(state)"
        )

    def _at_root(self, field: PlannedField) -> str:
        return quoted(self._plan.root) if field.kind == "typename" else "None"

    def _write_level(self, level: Level, completion: Completion) -> None:
        calls, field = level.calls, level.field
        opening = f"async def level_{level.number}(values, state):" if calls else f"def level_{level.number}(values):"
        with self.source.function(opening) as first:
            self.source.line(f"# {field.parent}.{field.name}: {field.type}")
            self.source.line("completed = []")
            for call in calls:
                names = _collectors(call)
                self.source.line(f"{names} = {', '.join('[]' for _ in names.split(','))}")
            with self.source.block("for value in values:"):
                result = completion.write(_type_completed(field), level.branches, "value")
                self.source.line(f"completed.append({result})")
            self._write_calls(calls)
            self.source.line("return completed")
        if not calls:
            self._share(level.number, first)

    def _share(self, number: int, first: int) -> None:
        """Levels that do the same have one function: many lists of people are no more code than one."""
        same = self._alike.setdefault(self.source.lines_from(first + 1), number)
        self._same[number] = same
        if same != number:
            self.source.take_back_function(first)

    def _write_calls(self, calls: Sequence[PlannedField]) -> None:
        if len(calls) == 1:
            (call,) = calls
            with self.source.block(f"if parents_{call.level}:"):
                self.source.line(f"await fetch_{call.level}({_collectors(call)}, state)")
        elif calls:
            self.source.line("waiting = []")
            for call in calls:
                with self.source.block(f"if parents_{call.level}:"):
                    self.source.line(f"waiting.append(fetch_{call.level}({_collectors(call)}, state))")
            self.source.line("await state.gather(*waiting)")

    def _write_fetch(self, level: Level) -> None:
        field, name = level.field, f"FIELD_{level.number}"
        if field.kind == "root":
            self._write_root_fetch(level.number, field, name)
        elif field.kind == "batched":
            self._write_batch_fetch(level.number, field, name)
        else:
            self._write_load_fetch(level.number, field, name)

    def _write_root_fetch(self, number: int, field: PlannedField, name: str) -> None:
        definition = field.field.extensions[DEFINITION]
        takes_self, sources, info = resolver_parameters(definition)
        keys = keys_read(self._levels[number].branches, self._types)
        call = RootCall(field, definition, arguments_of(self._graph, field), takes_self, sources, info, keys)
        self.source.constant(name, call)
        with self.source.function(f"async def fetch_{number}(state):"):
            self.source.line(f"(value,) = {self._completed(number, f'await state.root({name})')}")
            self.source.line("return value")

    def _write_batch_fetch(self, number: int, field: PlannedField, name: str) -> None:
        if field.source.function is None:
            raise NotCompiledError("resolver")
        call = BatchCall(field.nodes[0], field.source.function, arguments_of(self._graph, field))
        self.source.constant(name, call)
        with self.source.function(f"async def fetch_{number}({_collectors(field)}, state):"):
            self.source.line(f"values = await state.batch({name}, parents_{number})")
            values = self._completed(number, "values")
            with self.source.block(f"for out, value in zip(outs_{number}, {values}):"):
                self.source.line(f"out[{quoted(field.key)}] = value")

    def _write_load_fetch(self, number: int, field: PlannedField, name: str) -> None:
        entity: Any = field.source.entity
        is_interface = entity.__strawberry_definition__.is_interface
        self.source.constant(name, LoadCall(field.nodes[0], entity, is_interface, self.loads.get(entity)))
        is_many = field.kind == "references"
        with self.source.function(f"async def fetch_{number}({_collectors(field)}, state):"):
            load = "load_many" if is_many else "load"
            self.source.line(f"found = await state.{load}({name}, parents_{number}, keys_{number})")
            self.source.line(f"values = dict(zip(found, {self._completed(number, 'found.values()')}))")
            with self.source.block(f"for out, key in zip(outs_{number}, keys_{number}):"):
                value = "[values[id] for id in key]" if is_many else "values[key]"
                self.source.line(f"out[{quoted(field.key)}] = {value}")

    def _completed(self, number: int | None, values: str) -> str:
        level = self._levels[cast(int, number)]
        if level.calls:
            return f"await level_{number}({values}, state)"
        return f"level_{self._same[level.number]}({values})"


def _loads(graph: Composed, plan: Plan) -> dict[type, Load]:
    """How entities are loaded: where that can be said, no more of their documents than the operation reads."""
    keys = keys_loaded(plan.levels, map(_name_of, graph.selecting))
    loads = dict(graph.loaders)
    for entity in graph.selecting:
        if (read := keys.get(_name_of(entity))) is not None:
            loads[entity] = partial(graph.loaders[entity], keys=read)  # type: ignore[call-arg]  # one that selects
    return loads


def _name_of(entity: Any) -> str:
    return cast(str, entity.__strawberry_definition__.name)


def _collectors(field: PlannedField) -> str:
    number = field.level
    if field.kind == "batched":
        return f"parents_{number}, outs_{number}"
    return f"parents_{number}, keys_{number}, outs_{number}"


def _type_completed(field: PlannedField) -> GraphQLOutputType:
    """The type of the values of a level: for a list of references that of its items, each of which stands once."""
    type_ = field.type
    if field.kind != "references":
        return type_
    if is_non_null_type(type_):
        type_ = type_.of_type
    return type_.of_type if is_list_type(type_) else type_
