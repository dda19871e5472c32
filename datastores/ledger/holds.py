"""Holds: what a payer promises a payee for some time, who captures it in parts; what is left goes back, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, cast

from datastores.commit import Read, Work
from datastores.errors import ConflictError, ExpectedError, NotFoundError, TransferRefusedError, ValidationError
from datastores.mongo import Database

from . import chain
from .accounts import ACCOUNTS, Effect, WalletStatus
from .acts import FollowUp, followed
from .commands import SYSTEM, Command, sibling_id, system_command
from .entries import ENTRIES, Entry, EntryKind, EntryState, Outcome, append, append_refusal, ledger_time, stored_outcome
from .reserves import resolution, resolution_reads
from .transfers import (
    TRANSFERS,
    Transfer,
    TransferRecord,
    TransferState,
    append_reserve,
    record_transfer,
    transfer_rounds,
)

DEFAULT_DAYS: Final = 7
MAX_DAYS: Final = 30
MAX_EXPIRED_AT_ONCE: Final = 100
EXPIRED: Final = "HOLD_EXPIRED"


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Holds the amount of a transfer until `expires_at` (7 days if None), or keeps the refusal; see `append_reserve`.

    Raises ValidationError unless it is to expire within 30 days, by the ledger's time.
    """

    command: Command
    transfer: Transfer
    expires_at: datetime | None = None
    follow_up: FollowUp | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield from transfer_rounds(work, self.command, self.transfer)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        now = ledger_time(work)
        expires_at = self.expires_at or now + timedelta(days=DEFAULT_DAYS)
        if not now < expires_at <= now + timedelta(days=MAX_DAYS):
            raise ValidationError(f"A hold must expire within the next {MAX_DAYS} days", "expiresAt")
        transfer = replace(self.transfer, kind=EntryKind.HOLD, expires_at=expires_at)
        return followed(work, append_reserve(work, self.command, transfer), self.follow_up)


@dataclass(frozen=True, slots=True)
class CaptureHold:
    """Moves a part of what is held, or all that is left of it; see `append_capture`."""

    command: Command
    hold: Entry
    amount: int | None = None
    final: bool = False

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield resolution_reads(self.command, self.hold)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        return append_capture(work, self.command, self.hold["_id"], self.amount, final=self.final)


@dataclass(frozen=True, slots=True)
class VoidHold:
    """Gives back what is left of a hold; see `append_void`."""

    command: Command
    hold: Entry

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield resolution_reads(self.command, self.hold)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        return append_void(work, self.command, self.hold["_id"])


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """Gives back what is left of a hold whose time is over by the ledger's time; make it by `expiry`.

    Raises TransferRefusedError with HOLD_RESOLVED where it has ended otherwise, ConflictError before its time.
    """

    command: Command
    hold: Entry

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield resolution_reads(self.command, self.hold)

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        hold, record = _hold(work, self.hold["_id"])
        if (error := _ended(record)) is not None:
            raise error
        if not _is_over(work, hold):
            raise ConflictError("The hold goes on: its time is not over")
        return Outcome(_give_back(work, self.command, hold, record, code=EXPIRED))


def expiry(hold: Entry) -> ExpireHold:
    """The one expiry that a hold can have."""
    return ExpireHold(system_command("expire", hold["_id"]), hold)


def append_capture(
    work: Work, command: Command, hold_id: str, amount: int | None = None, *, final: bool = False
) -> Outcome:
    """Move `amount` minor units of what is held to the payee, or all that is left; or keep the refusal: the first of

    1. HOLD_EXPIRED: its time is over, whether or not it was given back yet; 2. HOLD_RESOLVED: it has ended otherwise;
    3. AMOUNT_EXCEEDS_HOLD: less is left; 4. ACCOUNT_FROZEN: the payer's account is frozen or closed; 5. the payee's is.

    A capture of all that is left ends the hold. So does one that is `final`: a second entry gives the rest back.
    Raises NotFoundError. Needs `resolution_reads`.
    """
    hold, record = _hold(work, hold_id)
    captured = record.get("captured", 0)
    left = _left(hold, record)
    part = left if amount is None else amount
    error = _ended(record) or _expired(work, hold) or _refused_part(part, left) or _frozen(work, hold)
    if error is not None:
        return _refused(work, command, hold, EntryKind.CAPTURE, part, error)
    legs = _legs(hold, part, forward=True)
    draft = resolution(hold, EntryKind.CAPTURE, Effect.SETTLE, legs, part, "payment.captured", final=part == left)
    entry = append(work, command, draft)
    changes = {"captured": captured + part, "captured_by": entry["_id"], "captured_seq": entry["seq"]}
    record_transfer(work, hold_id, **changes)
    if part == left:
        _end(work, hold_id, TransferState.POSTED, entry)
    elif final:
        # The same command at every try, its salt too.
        rest = _rest_command(command.entry_id, chain.part_salt(command.salt, "give-back"))
        _give_back(work, rest, *_hold(work, hold_id))
    return Outcome(entry)


def append_void(work: Work, command: Command, hold_id: str) -> Outcome:
    """Give back what is left of a hold, or keep the refusal: HOLD_EXPIRED, then HOLD_RESOLVED, as of a capture.

    Accounts that are frozen or closed are no reason, and for the system neither is the time. Raises NotFoundError.
    Needs `resolution_reads`.
    """
    hold, record = _hold(work, hold_id)
    error = _ended(record)
    if error is None and command.caller != SYSTEM:
        error = _expired(work, hold)
    if error is not None:
        return _refused(work, command, hold, EntryKind.VOID, _left(hold, record), error)
    return Outcome(_give_back(work, command, hold, record))


def given_back_by(capture: Entry) -> str:
    """The id of the entry that gives back the rest where this capture was final and left one."""
    return _rest_command(capture["_id"], "none").entry_id


def is_hold(entry: Entry) -> bool:
    """Whether this entry holds money, or has until it was captured or given back."""
    return entry["kind"] == EntryKind.HOLD and entry["state"] == EntryState.PENDING


async def overdue_holds(database: Database, now: datetime) -> list[Entry]:
    """Holds that have not ended though their time is over, the first to expire first; at most 100."""
    filter = {"state": TransferState.PENDING.value, "expires_at": {"$lte": now}}
    found = await database.find(
        TRANSFERS, filter, sort=[("expires_at", 1)], limit=MAX_EXPIRED_AT_ONCE, projection={"_id": 1}
    )
    entries = await database.by_ids(ENTRIES, [sibling_id(record["_id"], "ent") for record in found])
    return [cast(Entry, entry) for entry in entries if entry is not None]


def _hold(work: Work, hold_id: str) -> tuple[Entry, TransferRecord]:
    hold = cast("Entry | None", work.get(ENTRIES, hold_id))
    record = cast("TransferRecord | None", work.get(TRANSFERS, sibling_id(hold_id, "trf")))
    if hold is None or record is None or not is_hold(hold):
        raise NotFoundError("There is no such hold")
    return hold, record


def _left(hold: Entry, record: TransferRecord) -> int:
    return hold["amount"] - record.get("captured", 0) if record.get("state") == TransferState.PENDING else 0


def _ended(record: TransferRecord) -> ExpectedError | None:
    if record.get("state") == TransferState.PENDING:
        return None
    if record.get("code") == EXPIRED:
        return _over()
    return TransferRefusedError("The hold has ended: all of it was captured or given back", code="HOLD_RESOLVED")


def _expired(work: Work, hold: Entry) -> ExpectedError | None:
    return _over() if _is_over(work, hold) else None


def _over() -> TransferRefusedError:
    return TransferRefusedError("The time of the hold is over: what was left goes back to the payer", code=EXPIRED)


def _is_over(work: Work, hold: Entry) -> bool:
    expires_at = hold["expires_at"]
    return expires_at is not None and ledger_time(work) >= expires_at


def _refused_part(part: int, left: int) -> ExpectedError | None:
    if 0 < part <= left:
        return None
    return TransferRefusedError("Less is left of the hold than was to be captured", code="AMOUNT_EXCEEDS_HOLD")


def _frozen(work: Work, hold: Entry) -> ExpectedError | None:
    texts = ("The wallet that pays is frozen or closed", "The wallet to be paid is frozen or closed")
    for leg, text in zip(hold["legs"], texts, strict=True):
        account = work.get(ACCOUNTS, leg["account_id"])
        if account is None or account["status"] != WalletStatus.OPEN:
            return TransferRefusedError(text, code="ACCOUNT_FROZEN")
    return None


def _refused(work: Work, command: Command, hold: Entry, kind: EntryKind, part: int, error: ExpectedError) -> Outcome:
    """The refusal with the leg of the caller alone, of what they asked for; it is no event of anybody's."""
    effect = Effect.SETTLE if kind is EntryKind.CAPTURE else Effect.RELEASE
    own = {leg["account_id"] for leg in hold["legs"] if leg["owner_id"] == command.caller}
    legs = tuple(leg for leg in _legs(hold, part, forward=effect is Effect.SETTLE) if leg[0] in own)
    draft = resolution(hold, kind, effect, legs, part, None, final=False)
    return append_refusal(work, command, error, replace(draft, merchants=(), memo_digest=None))


def _give_back(work: Work, command: Command, hold: Entry, record: TransferRecord, code: str | None = None) -> Entry:
    rest = _left(hold, record)
    legs = _legs(hold, rest, forward=False)
    entry = append(work, command, resolution(hold, EntryKind.VOID, Effect.RELEASE, legs, rest, "payment.voided"))
    state = TransferState.POSTED if record.get("captured") else TransferState.VOIDED
    _end(work, hold["_id"], state, entry)
    record_transfer(work, hold["_id"], code=code)
    return entry


def _end(work: Work, hold_id: str, state: TransferState, entry: Entry) -> None:
    record_transfer(work, hold_id, state=state.value, resolved_by=entry["_id"], resolved_seq=entry["seq"])


def _legs(hold: Entry, amount: int, *, forward: bool) -> tuple[tuple[str, int], ...]:
    payer, payee = hold["legs"]
    sign = 1 if forward else -1
    return ((payer["account_id"], -sign * amount), (payee["account_id"], sign * amount))


def _rest_command(capture_id: str, salt: str) -> Command:
    return system_command("give-back", capture_id, salt=salt)
