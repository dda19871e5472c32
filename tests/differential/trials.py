"""One trial: the operation of a seed over two worlds that are alike, once by graphql-core and once compiled."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.execution.executor import VIOLATION
from gateway.execution.requests import OperationRequest

from .comparing import RawExecutor, answers, differences
from .graphs import context_of, whole_graph
from .operations import OperationWriter
from .worlds import World

VALUES: Final[dict[str, list[str]]] = {
    "id": [f'"person_{n}"' for n in range(7)] + ['"thing_1"', '"thing_2"', '"nobody_1"', "5"],
    "first": ["0", "1", "2", "3", "-1"],
    "limit": ["0", "2", "5"],
    "most": ["0", "1", "4", "5"],
    "kinds": ['"person"', '"thing"', '"nobody"'],
    "within": ["0", "7"],
    "String": ['"text"', '""', '"red"'],
    "Int": ["0", "7", "-3"],
    "Float": ["1.5", "2", "-0.25"],
    "Boolean": ["true", "false"],
    "ID": ['"person_1"', '"x"', "7"],
    "DateTime": ['"2026-01-31T12:00:00Z"', '"2000-02-29T01:02:03.456+02:00"'],
    "Decimal": ['"12.50"', '"-3"'],
    "BigInt": ['"42"', "9007199254740993"],
    "Cursor": ['"c1"', '""'],
}
# Nothing is wrong in most worlds; in others here and there, and in some nearly everywhere.
RATES: Final = (0, 0, 5, 15, 40, 120)


@dataclass
class Trial:
    """What came of one seed."""

    seed: int
    text: str
    variables: dict[str, object]
    found: list[str]
    ran: Counter[str] = field(default_factory=Counter)
    faults: bool = False

    @property
    def is_valid(self) -> bool:
        """Whether it was an operation that can be executed at all."""
        return not self.ran["refused"]


class Trials:
    """Tries operations one after another, on one graph."""

    def __init__(self) -> None:
        self.graph = whole_graph()
        self.writer = OperationWriter(self.graph.graphql_schema, VALUES)
        self.reference = RawExecutor(self.graph, compiles=False)
        self.compiled = RawExecutor(self.graph, compiles=True)
        self.possible = RawExecutor(self.graph, compiles=False, propagates=False)
        # Each document is parsed and validated once.
        self.compiled.documents = self.possible.documents = self.reference.documents

    async def run(self, seed: int, worlds: int = 1) -> Trial:
        """The trial of a seed. So many seeds in a row have the same operation, each in a world of its own."""
        written = self.writer.write(seed // worlds)
        return await self.compare(seed, RATES[seed % len(RATES)], written.text, written.variables)

    async def compare(self, seed: int, rate: int, text: str, variables: dict[str, object]) -> Trial:
        """The trial of this operation over the worlds of a seed."""
        trial = Trial(seed, text, variables, [], faults=rate > 0)
        request = OperationRequest(text, variables=variables, persisted=True)
        worlds = [World(seed, rate) for _ in range(3)]
        reference = await answers(self.reference, request, context_of(worlds[0]), alone=True)
        self.compiled.ran.clear()
        compiled = await answers(self.compiled, request, context_of(worlds[1]), alone=True)
        trial.ran = Counter(self.compiled.ran)
        trial.ran["refused"] += any("refused" in answer for answer in reference)
        trial.ran["needless"] += bool(trial.ran[VIOLATION]) and not any(answer.get("errors") for answer in reference)
        possible = (
            await answers(self.possible, request, context_of(worlds[2]), alone=True) if reference != compiled else []
        )
        trial.found = [str(each) for each in differences(reference, compiled, possible)]
        if worlds[0].log != worlds[1].log:
            trial.found.append(f"what was done\n  graphql-core: {worlds[0].log}\n  compiled: {worlds[1].log}")
        return trial


def try_all(seeds: Iterable[int], worlds: int = 1) -> list[Trial]:
    """The trials of these seeds, in an event loop of their own."""
    # Where an error ends a selection, graphql-core leaves calls of its own behind that have not begun.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.unraisablehook = lambda _unraisable: None
    return asyncio.run(_try_all(seeds, worlds))


async def _try_all(seeds: Iterable[int], worlds: int) -> list[Trial]:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    trials = Trials()
    return [await trials.run(seed, worlds) for seed in seeds]
