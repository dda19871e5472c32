"""Rails: what may be asked of somebody who moves money outside of the ledger, and what they must promise.

A rail may take long, refuse, or answer and not be heard. So it is asked under an id of ours, which makes asking twice
the same as once, and whoever did not hear the answer can ask what became of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from datastores.ledger import EXPONENTS, MAX_MINOR_UNITS, Money

MAX_STATEMENT_PAGE: Final = 1_000
MAX_REFERENCE: Final = 200


class RailState(StrEnum):
    """SETTLED: the money has moved; REFUSED: it has not and will not; PENDING: ask again later."""

    SETTLED = "SETTLED"
    REFUSED = "REFUSED"
    PENDING = "PENDING"


class RailDirection(StrEnum):
    """IN: from a person's account elsewhere to us; OUT: from us to it."""

    IN = "IN"
    OUT = "OUT"

    @property
    def opposite(self) -> RailDirection:
        """The way back."""
        return RailDirection.OUT if self is RailDirection.IN else RailDirection.IN


class LineKind(StrEnum):
    """SETTLED: an instruction was carried out; RETURNED: what was settled earlier has gone all the way back."""

    SETTLED = "SETTLED"
    RETURNED = "RETURNED"


class RailSilentError(Exception):
    """The rail was asked and no answer came: it may have done it or not."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a rail is asked to do; `id` is ours, `account` the person's account there."""

    id: str
    direction: RailDirection
    account: str
    amount: Money


@dataclass(frozen=True, slots=True)
class RailAnswer:
    """The rail's word on an instruction; where it is SETTLED, under which reference of its own, and when."""

    state: RailState
    reference: str | None = None
    value_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of a rail's statement. `reference` is the rail's own and unique; `id` ours, None where it has none.

    `direction` and `amount` are those of the instruction, also of one that was RETURNED. Raises ValueError for a
    reference of more than 200 characters or none, and for an amount that is no money.
    """

    reference: str
    id: str | None
    kind: LineKind
    direction: RailDirection
    amount: Money
    value_at: datetime

    def __post_init__(self) -> None:
        if not 0 < len(self.reference) <= MAX_REFERENCE or len(self.id or "") > MAX_REFERENCE:
            raise ValueError(f"a reference has 1 to {MAX_REFERENCE} characters")
        if self.amount["currency"] not in EXPONENTS or not 0 < self.amount["minor_units"] <= MAX_MINOR_UNITS:
            raise ValueError(f"{self.reference}: the amount is no money")


class Rail(Protocol):
    """Somebody who moves money outside of the ledger; see docs/rails.md for what an adapter must keep to."""

    @property
    def settles_within(self) -> timedelta:
        """How long an instruction may be PENDING before that is something to look into."""
        ...

    def problem(self, account: str) -> str | None:
        """What is wrong with the name of an account there, for its owner to read; None where nothing is."""
        ...

    async def submit(self, instruction: Instruction) -> RailAnswer:
        """Ask; the same id again is the same instruction. Raises RailSilentError."""
        ...

    async def ask(self, id: str) -> RailAnswer | None:
        """What became of an instruction; None where it never arrived. Raises RailSilentError."""
        ...

    def statement(self, day: date) -> AsyncIterator[Sequence[StatementLine]]:
        """What was settled and returned on a UTC day, in any order, in pages of at most 1,000 lines.

        Of a day that is not over: so far. Raises RailSilentError.
        """
        ...
