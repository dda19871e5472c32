"""How a planted bug is looked for: seed after seed, until one says what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest
from pymongo import IndexModel

from datastores.mongo import Document, Filter
from tests.simulation.database import SimulatedDatabase
from tests.simulation.history import simulate
from tests.simulation.towns import INDEXES

MAX_SEEDS: Final = 1_200
WITHOUT_INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {collection: [] for collection in INDEXES}
Plant = Callable[[pytest.MonkeyPatch], None]


def caught(town: str, found: str, indexes: Mapping[str, Sequence[IndexModel]] = INDEXES, *, first: int = 0) -> bool:
    """Whether one of 1,200 seeds in this town finds it. They are tried in turn, from `first` on to be quicker."""
    seeds = [*range(first, MAX_SEEDS), *range(first)]
    results = (simulate(seed, town=town, indexes=indexes) for seed in seeds)
    return any(found in problem for result in results for problem in result.problems)


def read_outside_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every read sees the newest documents, and none those of its transaction."""
    find = SimulatedDatabase.find

    async def newest(database: SimulatedDatabase, name: str, filter: Filter, **options: Any) -> list[Document]:
        return await find(database, name, filter, **{**options, "session": None})

    monkeypatch.setattr(SimulatedDatabase, "find", newest)
