"""Which operations are compiled, when, and how many programs are kept, whatever operations a client thinks of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schema.composition import Composed

from .generate import Program, generate
from .planning import NotCompiledError, conditions_of, plan_operation
from .requests import PreparedOperation
from .variables import ReadVariables, variables_reader

MAX_KNOWN_OPERATIONS: Final = 2_000
MAX_VARIANTS: Final = 8
MAX_PROGRAM_BYTES: Final = 64 * 1024 * 1024
# What a program takes for each character of its source, and the document that it refers to for each of its text.
BYTES_PER_SOURCE: Final = 12
BYTES_PER_TEXT: Final = 100
# The first use of an operation that may never come again is not worth the time that compiling takes.
USES_BEFORE_COMPILING: Final = 1
# After so many runs in a row that had to be run again, only every sixteenth tries its program.
MAX_VIOLATIONS: Final = 8
USES_BETWEEN_TRIES: Final = 16


@dataclass(slots=True)
class KnownOperation:
    """What is known of an operation: its programs by the values of the variables that directives ask for.

    `prepared` is the request that it was compiled from; a program refers to the nodes of that document and no other.
    """

    graph: Composed
    prepared: PreparedOperation
    conditions: tuple[str, ...]
    read_variables: ReadVariables
    on_program: Callable[[KnownOperation, Program], None]
    variants: dict[tuple[bool, ...], Program | NotCompiledError] = field(default_factory=dict)
    violations: int = 0
    size: int = 0
    is_kept: bool = True

    def program(self, variables: Mapping[str, Any]) -> Program:
        """The program for these coerced variables; raises NotCompiledError where graphql-core is to execute them."""
        decided = tuple(value for name in self.conditions if isinstance(value := variables.get(name), bool))
        if len(decided) < len(self.conditions):
            raise NotCompiledError("conditions")
        if (known := self.variants.get(decided)) is None:
            if len(self.variants) >= MAX_VARIANTS:
                raise NotCompiledError("variants")
            known = self.variants[decided] = self._compile(dict(zip(self.conditions, decided, strict=True)))
        if isinstance(known, NotCompiledError):
            raise known.with_traceback(None)
        return known

    def forget(self) -> None:
        """Let go of what its programs have registered; they can still be run by those who have them."""
        self.is_kept = False
        for each in self.variants.values():
            if isinstance(each, Program):
                each.forget()

    def _compile(self, conditions: dict[str, bool]) -> Program | NotCompiledError:
        try:
            plan = plan_operation(self.graph, self.prepared.document, self.prepared.operation, conditions)
            program = generate(self.graph, plan, self.prepared)
        except NotCompiledError as error:
            return error
        except RecursionError:
            return NotCompiledError("too_large")
        self.on_program(self, program)
        return program


@dataclass(slots=True)
class _Uses:
    count: int = 0
    known: KnownOperation | None = None
    reason: str = ""


class Programs:
    """The operations of one graph that were used, and the programs of those that were used more than once.

    The least recently used are forgotten past 2,000 operations or 64 MB of programs with their documents.
    """

    def __init__(self, graph: Composed) -> None:
        self._graph = graph
        self._operations: OrderedDict[tuple[bytes, str | None], _Uses] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._operations)

    @property
    def size(self) -> int:
        """About how many bytes programs and their documents take."""
        return self._bytes

    def use(self, prepared: PreparedOperation) -> KnownOperation:
        """Count a use of the operation.

        Raises NotCompiledError where graphql-core is to execute it: at its first use unless it is persisted, and where
        it cannot be compiled.
        """
        key = (prepared.digest, prepared.name)
        uses = self._operations.get(key)
        if uses is None:
            uses = self._operations[key] = _Uses()
        else:
            self._operations.move_to_end(key)
        uses.count += 1
        if uses.known is None and not uses.reason:
            self._look_at(uses, prepared)
        self._keep_bounds()
        if uses.known is None:
            raise NotCompiledError(uses.reason or "cold")
        if uses.known.violations >= MAX_VIOLATIONS and uses.count % USES_BETWEEN_TRIES:
            raise NotCompiledError("violating")
        return uses.known

    def _look_at(self, uses: _Uses, prepared: PreparedOperation) -> None:
        if uses.count <= USES_BEFORE_COMPILING and not prepared.request.persisted:
            return
        try:
            conditions = conditions_of(prepared.document, prepared.operation)
        except NotCompiledError as error:
            uses.reason = error.reason
            return
        definitions = prepared.operation.variable_definitions or ()
        reader = variables_reader(self._graph.graphql_schema, definitions)
        uses.known = KnownOperation(self._graph, prepared, conditions, reader, self._add)
        self._grow(uses.known, BYTES_PER_TEXT * len(prepared.request.query))

    def _add(self, known: KnownOperation, program: Program) -> None:
        if not known.is_kept:
            program.forget()
            return
        self._grow(known, BYTES_PER_SOURCE * len(program.source))
        self._keep_bounds()

    def _grow(self, known: KnownOperation, added: int) -> None:
        known.size += added
        self._bytes += added

    def _keep_bounds(self) -> None:
        while len(self._operations) > MAX_KNOWN_OPERATIONS or self._bytes > MAX_PROGRAM_BYTES:
            _, forgotten = self._operations.popitem(last=False)
            if forgotten.known is not None:
                self._bytes -= forgotten.known.size
                forgotten.known.forget()
