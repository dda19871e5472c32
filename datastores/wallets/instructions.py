"""Instructions: what rails were asked to do and what was heard of it; each stands beside its entry and is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel

from datastores import ledger
from datastores.commit import Read, Work, by_id
from datastores.errors import ExpectedError
from datastores.ledger import Command, Entry, Money, Outcome, Transfer
from datastores.mongo import Database, Document
from datastores.person_keys import SealedText

from .rails import Instruction, RailAnswer, RailDirection, RailState

INSTRUCTIONS: Final = "rail_instructions"
FIRST_ASK_S: Final = 5.0
MAX_ASK_S: Final = 3_600.0
MAX_DUE: Final = 100
_MAX_DOUBLINGS: Final = 20

_PENDING: Final = {"state": RailState.PENDING.value}
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    INSTRUCTIONS: [
        IndexModel([("due_at", ASCENDING)], partialFilterExpression=_PENDING, name="pending_due"),
        IndexModel([("rail", ASCENDING), ("_id", ASCENDING)], partialFilterExpression=_PENDING, name="pending_rail"),
        IndexModel([("rail", ASCENDING), ("value_at", ASCENDING), ("_id", ASCENDING)], name="rail_value"),
        IndexModel([("rail", ASCENDING), ("asked_at", ASCENDING)], name="rail_asked"),
    ]
}


class InstructionDocument(TypedDict):
    """One instruction; its id is that of the entry which reserved its money.

    `account` is sealed under the key of whose it is; nobody is erased while an instruction of theirs is pending.
    `asks` counts how often the rail was asked; the next time is `due_at`, None once it has given its word. `reference`
    and `value_at` are the rail's; `heard_at` and `resolved_seq` are of the entry that its word became.
    """

    _id: str
    rail: str
    direction: str
    account: SealedText
    amount: Money
    state: str
    asked_at: datetime
    asks: int
    due_at: datetime | None
    reference: str | None
    value_at: datetime | None
    heard_at: datetime | None
    resolved_seq: int | None


@dataclass(frozen=True, slots=True)
class ReserveThroughRail:
    """Reserves what is to move when the rail agrees, and keeps what the rail is to be asked; or keeps the refusal."""

    command: Command
    transfer: Transfer
    rail: str
    direction: RailDirection
    account: SealedText

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield ledger.transfer_reads(self.command, self.transfer)

    def decide(self, work: Work) -> Outcome:
        if (stored := ledger.stored_outcome(work, self.command)) is not None:
            return stored
        outcome = ledger.append_reserve(work, self.command, self.transfer)
        if outcome.posted:
            work.insert(INSTRUCTIONS, cast(Document, self._document(outcome.entry)))
        return outcome

    def _document(self, entry: Entry) -> InstructionDocument:
        return {
            "_id": entry["_id"],
            "rail": self.rail,
            "direction": self.direction.value,
            "account": self.account,
            "amount": ledger.money(self.transfer.amount, self.transfer.currency),
            "state": RailState.PENDING.value,
            "asked_at": entry["created_at"],
            # Whoever reserves asks at once; the sweeper asks next.
            "asks": 1,
            "due_at": entry["created_at"] + ask_delay(1),
            "reference": None,
            "value_at": None,
            "heard_at": None,
            "resolved_seq": None,
        }


@dataclass(frozen=True, slots=True)
class ResolveInstruction:
    """Settles what was reserved, or releases it because of `error`, and keeps the rail's word beside it.

    Raises TransferRefusedError with HOLD_RESOLVED where an earlier word has decided otherwise.
    """

    command: Command
    pending: Entry
    answer: RailAnswer
    error: ExpectedError | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        id = self.pending["_id"]
        yield [*ledger.resolution_reads(self.command, self.pending), by_id(INSTRUCTIONS, id)]

    def decide(self, work: Work) -> Outcome:
        if (stored := ledger.stored_outcome(work, self.command)) is not None:
            return stored
        id = self.pending["_id"]
        if self.error is None:
            outcome = ledger.append_settlement(work, self.command, id)
        else:
            outcome = ledger.append_release(work, self.command, id, self.error)
        entry = outcome.entry
        changes: Document = {
            "state": self.answer.state.value,
            "due_at": None,
            "reference": self.answer.reference,
            "value_at": None if self.error else self.answer.value_at or entry["created_at"],
            "heard_at": entry["created_at"],
            "resolved_seq": entry["seq"],
        }
        if work.get(INSTRUCTIONS, id) is not None:
            work.update(INSTRUCTIONS, id, **changes)
        return outcome


def ask_delay(asks: int) -> timedelta:
    """How long after the nth time to ask again: 5 s, then twice as long each time, an hour at most."""
    return timedelta(seconds=min(FIRST_ASK_S * 2 ** min(asks - 1, _MAX_DOUBLINGS), MAX_ASK_S))


def instruction_of(document: InstructionDocument, account: str) -> Instruction:
    """What the rail is to be asked; `account` is what is sealed in the document."""
    return Instruction(document["_id"], RailDirection(document["direction"]), account, document["amount"])


async def instructions_by_ids(database: Database, ids: Sequence[str]) -> list[InstructionDocument | None]:
    """For each id its instruction or None, in the order of the ids."""
    return cast("list[InstructionDocument | None]", await database.by_ids(INSTRUCTIONS, ids))


async def due_instructions(database: Database, now: datetime, limit: int = MAX_DUE) -> list[InstructionDocument]:
    """The pending instructions that it is time to ask of, the longest due first; at most `limit`."""
    filter = {**_PENDING, "due_at": {"$lte": now}}
    found = await database.find(INSTRUCTIONS, filter, sort=[("due_at", ASCENDING)], limit=limit)
    return cast("list[InstructionDocument]", found)


async def take_turn(database: Database, instruction: InstructionDocument, now: datetime) -> bool:
    """Whether it is the caller's turn to ask: of several that have read the same instruction one has it.

    The next turn is set before the rail is asked, so that one which never answers is not in the way of others.
    """
    asks = instruction["asks"]
    filter = {"_id": instruction["_id"], **_PENDING, "asks": asks}
    next_turn = {"asks": asks + 1, "due_at": now + ask_delay(asks + 1)}
    return (await database.update_one(INSTRUCTIONS, filter, {"$set": next_turn})).modified_count > 0


async def first_asked_at(database: Database, rail: str) -> datetime | None:
    """When this rail was first asked for anything, or None."""
    found = await database.find_one(INSTRUCTIONS, {"rail": rail}, sort=[("rail", 1), ("asked_at", 1)])
    return cast("datetime | None", found["asked_at"] if found else None)
