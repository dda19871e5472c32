"""What is measured: which design at which point, and how many transfers one load of it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from .people import Workload

CONCURRENCY: Final = (1, 16, 64, 512)
WORKLOADS: Final[tuple[Workload, ...]] = ("uniform", "hot", "zipf")
DESIGNS: Final = ("naive", "ledger", "bulk")
# Loads of about a second or two each: the designs differ by three orders of magnitude.
_COUNTS: Final = {
    "naive": {1: 150, 16: 300, 64: 400, 512: 1_024},
    "ledger": {1: 200, 16: 2_000, 64: 5_000, 512: 10_000},
    "bulk": {1: 300, 16: 3_000, 64: 10_000, 512: 20_000},
    "graphql": {64: 500},
}
_CONTENDED_NAIVE: Final = 128
_QUICK_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """One row: a design under a workload, with so many callers in all, over so many processes.

    Loads have a `share` of the transfers that a full run gives them.
    """

    nodes: int
    design: str
    workload: Workload
    concurrency: int
    processes: int = 1
    share: float = field(default=1.0, compare=False, repr=False)

    @property
    def count(self) -> int:
        """How many transfers one load has, over all processes."""
        if self.design == "naive" and self.workload != "uniform" and self.concurrency >= 16:
            return max(_CONTENDED_NAIVE, self.concurrency)
        full = _COUNTS[self.design][max(at for at in _COUNTS[self.design] if at <= self.concurrency)]
        return int(full * self.share)


def points(nodes: int, *, quick: bool) -> list[Point]:
    """The points of one replica set; `quick` are those that the ratios need, and few more."""
    return [replace(point, share=_QUICK_SHARE) for point in _quick(nodes)] if quick else list(_all(nodes))


def _all(nodes: int) -> Iterator[Point]:
    for concurrency in CONCURRENCY:
        for workload in WORKLOADS:
            for design in DESIGNS:
                # The entries of one workload insert like those of another.
                if design != "bulk" or workload == "uniform":
                    yield Point(nodes, design, workload, concurrency)
    yield from _processes(nodes)
    yield Point(nodes, "graphql", "uniform", 64)


def _quick(nodes: int) -> Iterator[Point]:
    yield Point(nodes, "naive", "uniform", 64)
    yield Point(nodes, "ledger", "uniform", 64)
    yield Point(nodes, "bulk", "uniform", 64)
    if nodes == 1:
        return
    yield Point(nodes, "naive", "uniform", 1)
    yield Point(nodes, "ledger", "uniform", 1)
    yield Point(nodes, "naive", "hot", 64)
    yield Point(nodes, "ledger", "hot", 64)
    yield from _processes(nodes)
    yield Point(nodes, "graphql", "uniform", 64)


def _processes(nodes: int) -> Iterator[Point]:
    for concurrency in (64, 256):
        if concurrency not in CONCURRENCY:
            yield Point(nodes, "ledger", "uniform", concurrency)
        yield Point(nodes, "ledger", "uniform", concurrency, processes=4)
