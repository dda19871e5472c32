"""Shapes: how many people, processes, crashes and faults a seed has, and how fast its clocks run."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

PEOPLE: Final = ("ann", "ben", "cat", "dan")
FAULT_RATES: Final = (0.0, 0.01, 0.05, 0.15, 0.3)
TIMEOUTS_S: Final = (0.05, 1.0, 10.0)
# The processes' clocks may pass ten minutes or a day in a second, so that what takes days happens within a history.
TIME_SCALES: Final = (1.0, 1.0, 1.0, 600.0, 86_400.0)
MOST_SKEW_S: Final = 2.0
MAX_CRASHES: Final = 3
MIN_CLIENTS: Final = 12
MAX_CLIENTS: Final = 36


@dataclass(frozen=True, slots=True)
class Shape:
    """What is the same for a whole history."""

    people: tuple[str, ...]
    processes: int
    clients: int
    span_s: float
    fault_rate: float
    duplicate_rate: float
    leave_rate: float
    timeout_s: float
    takes_turns: bool
    shares_machine: bool
    crashes_s: tuple[float, ...]
    time_scale: float

    @classmethod
    def of(cls, random: Random) -> Shape:
        """A shape by chance; a short span makes large batches, a long one small."""
        span_s = random.choice((0.05, 0.5, 5.0))
        crashes = random.choice((0, 0, 1, MAX_CRASHES))
        return cls(
            people=PEOPLE[: random.randint(2, len(PEOPLE))],
            processes=random.randint(1, 3),
            clients=random.randint(MIN_CLIENTS, MAX_CLIENTS),
            span_s=span_s,
            fault_rate=random.choice(FAULT_RATES),
            duplicate_rate=random.choice((0.0, 0.1, 0.5)),
            leave_rate=random.choice((0.0, 0.1, 0.3)),
            timeout_s=random.choice(TIMEOUTS_S),
            takes_turns=random.random() < 0.7,
            shares_machine=random.random() < 0.6,
            crashes_s=tuple(random.random() * span_s * 1.5 for _ in range(crashes)),
            time_scale=random.choice(TIME_SCALES),
        )
