"""What an operation costs and reads, on the command line: it is run, and the database asked how it finds things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from graphql import get_variable_values
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Column, Table
from rich.text import Text

from datastores import accounts
from datastores.commit import CommitLoops
from datastores.ledger import Tier
from datastores.mongo import Database
from datastores.person_keys import PersonKeys
from datastores.plans import ReadLog, ReadPlan, SentRead, plan_of
from datastores.sealing import check_master_key
from datastores.wallets import SandboxRates
from gateway.contexts import Contexts
from gateway.execution.documents import MAX_DOCUMENT_BYTES
from gateway.execution.executor import GraphExecutor
from gateway.execution.generate import Program
from gateway.execution.limits import Size, check_limits
from gateway.execution.planning import NotCompiledError
from gateway.execution.requests import OperationRequest, PreparedOperation, RequestError, Result
from gateway.live.hub import Hub
from gateway.master_key import master_key
from gateway.operations import outcome_of
from gateway.settings import Settings
from resolvers.context import ANONYMOUS, Context, Viewer
from schema.graph import whole_graph

from .databases import open_database
from .errors import CommandError

MAX_VARIABLES_BYTES: Final = 1024 * 1024
MAX_SHOWN_ITEMS: Final = 2
MAX_SHOWN_TEXT: Final = 40
WIDTH: Final = 160
# What a reader of the plan does not ask for: the driver's habits, and the name that stands beside it.
_UNSHOWN: Final = frozenset({*("find", "aggregate", "count", "distinct"), *("batchSize", "singleBatch", "cursor")})


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was found out of an operation. `program` is what it is compiled to, or why it is not.

    `result`, its `cost` and the `reads` are there for queries alone; a read without a plan is one that the database
    could not explain.
    """

    prepared: PreparedOperation
    size: Size
    program: Program | NotCompiledError
    result: Result | None = None
    cost: int = 0
    reads: tuple[tuple[SentRead, ReadPlan | None], ...] = ()
    missed: int = 0

    @property
    def scanned(self) -> list[str]:
        """The collections that are read whole, by name."""
        return sorted({name for _, plan in self.reads if plan is not None for name in plan.scans})


async def explain(
    settings: Settings, file: Path, variables: Path | None, operation: str | None, handle: str | None
) -> bool:
    """Whether every read finds what it asks for by an index; prints all that is known of the operation.

    A query is run as the person of that handle; a mutation or subscription is only measured. Raises CommandError for
    files that cannot be read, for an operation that is refused, and where there is no such person.
    """
    # What is persisted is compiled before its first use.
    request = OperationRequest(_text(file), operation, _variables(variables), persisted=True)
    log = ReadLog()
    graph = GraphExecutor(whole_graph(), lambda _error, _context, _prepared: None)
    try:
        prepared = graph.prepare(request)
        size = check_limits(graph.graph.graphql_schema, prepared.document, prepared.operation, request.variables)
        async with open_database(settings, log=log) as database, _context(settings, database, handle) as context:
            explanation = await explained(graph, prepared, size, context, log)
    except RequestError as error:
        raise CommandError("; ".join(str(each["message"]) for each in error.errors)) from None
    _print(explanation)
    return not explanation.scanned


async def explained(
    graph: GraphExecutor, prepared: PreparedOperation, size: Size, context: Context, log: ReadLog
) -> Explanation:
    """The explanation of an operation; `log` listens to the database of the context. Raises RequestError."""
    program = _program(graph, prepared)
    if prepared.kind != "query":
        return Explanation(prepared, size, program)
    log.clear()
    result = await graph.execute(prepared, context)
    sent, missed = log.reads, log.missed
    reads = tuple([(read, await plan_of(context.database, read)) for read in sent])
    return Explanation(prepared, size, program, result, graph.cost(prepared, result), reads, missed)


def _program(graph: GraphExecutor, prepared: PreparedOperation) -> Program | NotCompiledError:
    definitions = prepared.operation.variable_definitions or ()
    values = get_variable_values(graph.graph.graphql_schema, definitions, dict(prepared.request.variables))
    if isinstance(values, list):
        raise RequestError("INVALID_INPUT", "; ".join(error.message for error in values))
    try:
        return graph.programs.use(prepared).program(values.coerced)
    except NotCompiledError as error:
        return error


@asynccontextmanager
async def _context(settings: Settings, database: Database, handle: str | None) -> AsyncIterator[Context]:
    master = master_key(settings)
    await check_master_key(database, master)
    commits = CommitLoops(database)
    contexts = Contexts(
        database,
        commits,
        Hub(database, {}),
        rails=settings.rails,
        rates=SandboxRates() if settings.sandbox_rates else None,
        fees=settings.fees,
        keys=PersonKeys(master),
        default_tier=Tier(settings.default_tier.upper()),
    )
    try:
        yield contexts.of_viewer(await _viewer(database, handle))
    finally:
        await commits.drain()


async def _viewer(database: Database, handle: str | None) -> Viewer:
    if handle is None:
        return ANONYMOUS
    (user,) = await accounts.by_handles(database, [handle.removeprefix("@")])
    if user is None:
        raise CommandError(f"{handle!r} is nobody's handle")
    return Viewer("person", user["_id"])


def _text(file: Path) -> str:
    return _read(file, MAX_DOCUMENT_BYTES).decode("utf-8", "replace")


def _variables(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        given = orjson.loads(_read(file, MAX_VARIABLES_BYTES))
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{file} is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise CommandError(f"{file} must hold one JSON object with the variables by name")
    return given


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise CommandError(f"cannot read {file} ({error.strerror})") from None
    if len(content) > most:
        raise CommandError(f"{file} is larger than {most // 1024} KB")
    return content


def _print(explanation: Explanation) -> None:
    terminal = Console(highlight=False)
    # Where nobody looks at a terminal, a table must not be cut.
    console = terminal if terminal.is_terminal else Console(width=WIDTH, highlight=False)
    prepared, size = explanation.prepared, explanation.size
    console.print(Text(f"{prepared.kind} {prepared.name or '(without a name)'}", style="bold"))
    console.print(
        f"cost {size.cost:,} requested: at most {size.objects:,} objects, {size.reads:,} times asked of the database"
    )
    _print_program(console, explanation.program)
    if explanation.result is None:
        console.print(f"a {prepared.kind} is not run to be explained: no reads are shown")
        return
    outcome = outcome_of(explanation.result)
    console.print(
        f"cost {explanation.cost:,} in truth; {'answered' if outcome == 'ok' else f'answered with {outcome}'}"
    )
    _print_reads(console, explanation)


def _print_program(console: Console, program: Program | NotCompiledError) -> None:
    if isinstance(program, NotCompiledError):
        console.print(f"\nnot compiled ({program.reason}): graphql-core executes it\n", style="yellow")
        return
    levels = len(program.plan.levels)
    console.print(f"\nplan: {levels} {'call' if levels == 1 else 'calls'}, one a level, whatever the number of parents")
    console.out(str(program.plan), highlight=False)
    console.print("\nsource")
    if console.is_terminal:
        console.print(Syntax(program.source, "python", background_color="default"))
    else:
        console.out(program.source, highlight=False)


def _print_reads(console: Console, explanation: Explanation) -> None:
    if explanation.reads:
        console.print(_table(explanation))
    if explanation.missed:
        console.print(f"and {explanation.missed:,} more reads, which were not looked at", style="yellow")
    count = len(explanation.reads) + explanation.missed
    unknown = sum(plan is None for _, plan in explanation.reads)
    if unknown:
        console.print(f"{unknown:,} of them the database could not explain", style="yellow")
    if scanned := explanation.scanned:
        console.print(f"{count:,} reads; read whole: {', '.join(scanned)}", style="bold red")
    else:
        console.print(f"{count:,} reads, none of which reads a collection whole", style="green")


def _table(explanation: Explanation) -> Table:
    numbers = [Column(name, justify="right") for name in ("keys", "documents", "ms")]
    table = Table(Column("read", overflow="fold"), Column("found by", overflow="fold"), *numbers, show_lines=True)
    for read, plan in explanation.reads:
        took = "" if read.duration_s is None else f"{read.duration_s * 1e3:.1f}"
        found, counts = Text("not known"), ("", "")
        if plan is not None:
            found = _found(plan)
            counts = (f"{plan.keys_examined:,}", f"{plan.documents_examined:,}")
        table.add_row(Text(brief(read)), found, *counts, took)
    return table


def _found(plan: ReadPlan) -> Text:
    lines = [Text(name) for name in plan.indexes] + [Text(f"SCAN of {name}", style="bold red") for name in plan.scans]
    if plan.sorts_in_memory:
        lines.append(Text("sorted in memory", style="yellow"))
    return Text("\n").join(lines or [Text("nothing to find")])


def brief(read: SentRead) -> str:
    """A read in one line that a person can take in: long lists and texts are cut."""
    asked = {name: value for name, value in read.body.items() if name not in _UNSHOWN}
    return f"{read.command} {read.collection} {_brief(asked)[1:-1]}"


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_brief(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        shown = [_brief(each) for each in value[:MAX_SHOWN_ITEMS]]
        return f"[{', '.join(shown)}{f', … {len(value)}' if len(value) > MAX_SHOWN_ITEMS else ''}]"
    text = str(value)
    return text if len(text) <= MAX_SHOWN_TEXT else f"{text[:MAX_SHOWN_TEXT]}…"
