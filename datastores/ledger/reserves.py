"""Reserves: what waits for somebody outside to agree, and is then settled or given back, whole and once."""

from __future__ import annotations

from typing import Any, cast

from datastores.commit import Read, Work
from datastores.errors import ExpectedError, NotFoundError, TransferRefusedError

from .accounts import Effect
from .commands import Command, sibling_id
from .entries import ENTRIES, Draft, Entry, EntryKind, EntryState, Outcome, append, reads
from .transfers import TRANSFERS, TransferState, record_read, record_transfer


def append_settlement(work: Work, command: Command, pending_id: str) -> Outcome:
    """Move what was reserved. Raises TransferRefusedError with HOLD_RESOLVED where it is settled or released already.

    Needs `resolution_reads`.
    """
    pending = _pending(work, pending_id)
    legs = tuple((leg["account_id"], leg["delta"]) for leg in pending["legs"])
    event_type = "payment.captured" if _is_awaited(pending) else "transfer.posted"
    kind, amount = EntryKind(pending["kind"]), pending["amount"]
    entry = append(work, command, resolution(pending, kind, Effect.SETTLE, legs, amount, event_type))
    record_transfer(work, pending_id, state=TransferState.POSTED.value, **_resolved(entry))
    return Outcome(entry)


def append_release(work: Work, command: Command, pending_id: str, error: ExpectedError) -> Outcome:
    """Give back what was reserved, because of `error`. Raises TransferRefusedError with HOLD_RESOLVED.

    Needs `resolution_reads`.
    """
    pending = _pending(work, pending_id)
    legs = tuple((leg["account_id"], -leg["delta"]) for leg in pending["legs"])
    event_type = "payment.voided" if _is_awaited(pending) else None
    entry = append(
        work, command, resolution(pending, EntryKind.VOID, Effect.RELEASE, legs, pending["amount"], event_type)
    )
    why = {"code": error.code, "message": error.message}
    record_transfer(work, pending_id, state=TransferState.VOIDED.value, **_resolved(entry), **why)
    return Outcome(entry)


def resolution_reads(command: Command, pending: Entry) -> list[Read]:
    """What `append_settlement` and `append_release` must have read."""
    accounts = [leg["account_id"] for leg in pending["legs"]]
    return [*reads(command, accounts=accounts, entries=[pending["_id"]]), record_read(pending["_id"])]


def resolution(
    pending: Entry,
    kind: EntryKind,
    effect: Effect,
    legs: tuple[tuple[str, int], ...],
    amount: int,
    event_type: str | None,
    *,
    final: bool = True,
) -> Draft:
    """What becomes of `amount` minor units of what an entry reserved; `final` where that ends it."""
    return Draft(
        kind,
        EntryState.POSTED,
        effect,
        legs,
        currency=pending["currency"],
        amount=amount,
        event_type=event_type,
        sender_id=pending["sender_id"],
        recipient_id=pending["recipient_id"],
        merchants=tuple(pending["merchants"]),
        order_id=pending["order_id"],
        payment_request_id=pending["payment_request_id"],
        pending_id=pending["_id"],
        final=final,
        memo_digest=pending["memo_digest"],
    )


def _pending(work: Work, pending_id: str) -> Entry:
    pending = cast("Entry | None", work.get(ENTRIES, pending_id))
    record = work.get(TRANSFERS, sibling_id(pending_id, "trf"))
    is_reserve = pending is not None and pending["state"] == EntryState.PENDING and pending["kind"] != EntryKind.HOLD
    if pending is None or record is None or not is_reserve:
        raise NotFoundError("Nothing is reserved under this id")
    if record.get("state") != TransferState.PENDING:
        raise TransferRefusedError("It is settled or released already", code="HOLD_RESOLVED")
    return pending


def _resolved(entry: Entry) -> dict[str, Any]:
    return {"resolved_by": entry["_id"], "resolved_seq": entry["seq"]}


def _is_awaited(pending: Entry) -> bool:
    return pending["order_id"] is not None or pending["payment_request_id"] is not None
