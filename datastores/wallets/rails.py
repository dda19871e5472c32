"""Rails: how money enters and leaves, what may be asked of a rail, and the sandbox that stands for one.

A rail is somebody else: it may take long, refuse, or answer and not be heard. So it is asked under an id of ours, which
makes asking twice the same as once, and whoever did not hear the answer can ask what became of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, cast

from pymongo import IndexModel

from datastores.errors import ValidationError
from datastores.ledger import Money
from datastores.mongo import Database

SANDBOX: Final = "sandbox_rail"
RAILS: Final = frozenset({"sandbox"})
SANDBOX_SETTLES_S: Final = 3.0
INDEXES: Mapping[str, Sequence[IndexModel]] = {SANDBOX: []}


class RailState(StrEnum):
    """SETTLED: the money has moved; REFUSED: it has not and will not; PENDING: ask again later."""

    SETTLED = "SETTLED"
    REFUSED = "REFUSED"
    PENDING = "PENDING"


class RailDirection(StrEnum):
    """IN: from a person's account elsewhere to us; OUT: from us to it."""

    IN = "IN"
    OUT = "OUT"


class RailSilentError(Exception):
    """The rail was asked and no answer came: it may have done it or not."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a rail is asked to do; `id` is ours, `account` the person's account there."""

    id: str
    direction: RailDirection
    account: str
    amount: Money


class Rail(Protocol):
    """Somebody who moves money outside of the ledger."""

    async def submit(self, instruction: Instruction) -> RailState:
        """Ask; the same id again is the same instruction. Raises RailSilentError."""
        ...

    async def ask(self, id: str) -> RailState | None:
        """What became of an instruction; None where it never arrived. Raises RailSilentError."""
        ...


@dataclass(frozen=True, slots=True)
class SandboxRail:
    """A rail for trying out: the account says how it behaves, and its own book says what it did.

    `ok` settles at once, `refuse` refuses, `slow` settles after 3 s, `lost` settles at once but is not heard.
    """

    database: Database
    now: datetime

    async def submit(self, instruction: Instruction) -> RailState:
        behaviour = instruction.account
        settles_at = self.now + timedelta(seconds=SANDBOX_SETTLES_S if behaviour == "slow" else 0)
        line = {
            "direction": instruction.direction.value,
            "account": behaviour,
            "amount": dict(instruction.amount),
            "refused": behaviour == "refuse",
            "settles_at": settles_at,
        }
        await self.database.update_one(SANDBOX, {"_id": instruction.id}, {"$setOnInsert": line}, upsert=True)
        if behaviour == "lost":
            raise RailSilentError
        return await self.ask(instruction.id) or RailState.PENDING

    async def ask(self, id: str) -> RailState | None:
        line = await self.database.find_one(SANDBOX, {"_id": id})
        if line is None:
            return None
        if line["refused"]:
            return RailState.REFUSED
        return RailState.SETTLED if cast(datetime, line["settles_at"]) <= self.now else RailState.PENDING


SANDBOX_ACCOUNTS: Final = ("ok", "refuse", "slow", "lost")


def rail_account(text: str, *path: str, rails: Collection[str] = RAILS) -> tuple[str, str]:
    """The rail and the account there that a source or destination such as `sandbox:ok` names.

    Raises ValidationError unless it is one of these rails and knows the account.
    """
    rail, _, account = text.partition(":")
    if rail not in rails or rail != "sandbox" or account not in SANDBOX_ACCOUNTS:
        known = ", ".join(f"sandbox:{name}" for name in SANDBOX_ACCOUNTS if "sandbox" in rails)
        raise ValidationError(f"Known are {known or 'none here: no rail is connected'}", *path)
    return rail, account


def rail(name: str, database: Database, now: datetime) -> Rail:
    """The adapter of a rail by its name; raises KeyError for one that does not exist."""
    return {"sandbox": SandboxRail}[name](database, now)
