"""Acts of the ledger for its commit loop: transfers, refunds, reserves and their ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ASCENDING, IndexModel

from datastores.commit import Read, Work
from datastores.errors import ExpectedError
from datastores.mongo import Database, Document

from .commands import Command
from .entries import Entry, Outcome, stored_outcome
from .memos import Memo
from .refunds import append_refund, refund_reads
from .reserves import append_release, append_settlement, resolution_reads
from .transfers import Transfer, append_reserve, append_transfer, transfer_rounds

FOLLOW_UPS: Final = "follow_ups"
MAX_DUE: Final = 100
INDEXES: Mapping[str, Sequence[IndexModel]] = {FOLLOW_UPS: [IndexModel([("due_at", ASCENDING)], name="due_at")]}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What must still happen because an entry stands: kept by the entry's own commit, removed when it is done.

    `due_s` is how long after the entry the sweeper may take it up; `content` is plain JSON.
    """

    kind: str
    subject_id: str
    content: Mapping[str, Any]
    due_s: float = 5.0


@dataclass(frozen=True, slots=True)
class PostTransfer:
    """Posts a transfer or keeps its refusal; see `append_transfer`."""

    command: Command
    transfer: Transfer
    follow_up: FollowUp | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield from transfer_rounds(work, self.command, self.transfer)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        outcome = append_transfer(work, self.command, self.transfer)
        return followed(work, outcome, self.follow_up)


@dataclass(frozen=True, slots=True)
class ReserveTransfer:
    """Reserves what is to move when a rail agrees, or keeps the refusal; see `append_reserve`."""

    command: Command
    transfer: Transfer
    follow_up: FollowUp | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield from transfer_rounds(work, self.command, self.transfer)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        outcome = append_reserve(work, self.command, self.transfer)
        return followed(work, outcome, self.follow_up)


@dataclass(frozen=True, slots=True)
class ResolveReserve:
    """Settles what was reserved, or releases it because of `error`."""

    command: Command
    pending: Entry
    error: ExpectedError | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield resolution_reads(self.command, self.pending)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        if self.error is None:
            return append_settlement(work, self.command, self.pending["_id"])
        return append_release(work, self.command, self.pending["_id"], self.error)


@dataclass(frozen=True, slots=True)
class RefundTransfer:
    """Sends back all that is left of a transfer, or `amount` minor units; see `append_refund`."""

    command: Command
    original: Entry
    amount: int | None = None
    memo: Memo | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield refund_reads(self.command, self.original)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        return append_refund(work, self.command, self.original["_id"], self.amount, self.memo)


def followed(work: Work, outcome: Outcome, follow_up: FollowUp | None) -> Outcome:
    """Keep the follow-up of what was just posted or reserved; a refusal has none."""
    if follow_up is not None and outcome.posted:
        entry = outcome.entry
        work.insert(FOLLOW_UPS, follow_up_document(follow_up, entry["_id"], entry["created_at"]))
    return outcome


def follow_up_id(kind: str, entry_id: str) -> str:
    """The id of the follow-up of this kind that an entry has."""
    return f"{kind}:{entry_id}"


def follow_up_document(follow_up: FollowUp, entry_id: str, now: datetime) -> Document:
    """The document of a follow-up, due some seconds after `now`."""
    return {
        "_id": follow_up_id(follow_up.kind, entry_id),
        "kind": follow_up.kind,
        "entry_id": entry_id,
        "subject_id": follow_up.subject_id,
        "content": dict(follow_up.content),
        "due_at": now + timedelta(seconds=follow_up.due_s),
    }


async def due_follow_ups(
    database: Database, now: datetime, kinds: Sequence[str], limit: int = MAX_DUE
) -> list[Document]:
    """The follow-ups of these kinds that nobody has finished in time, the longest due first; at most `limit`."""
    filter = {"kind": {"$in": list(kinds)}, "due_at": {"$lte": now}}
    return await database.find(FOLLOW_UPS, filter, sort=[("due_at", ASCENDING)], limit=limit)


async def follow_up(database: Database, id: str) -> Document | None:
    """The follow-up with this id, or None where it is done or never was."""
    return await database.find_one(FOLLOW_UPS, {"_id": id})


async def postpone_follow_up(database: Database, id: str, due_at: datetime) -> None:
    """Let the sweeper take it up again at this time."""
    await database.update_one(FOLLOW_UPS, {"_id": id}, {"$set": {"due_at": due_at}})


async def finish_follow_up(database: Database, id: str) -> None:
    """Forget it: it is done. Doing so twice is once."""
    await database.delete_one(FOLLOW_UPS, {"_id": id})
