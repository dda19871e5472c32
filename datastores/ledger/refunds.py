"""Refunds: sending back a posted transfer in one or several parts, never more than was paid."""

from __future__ import annotations

from typing import cast

from datastores.commit import Read, Work
from datastores.errors import ConflictError, NotFoundError

from .accounts import ACCOUNTS, AccountKind
from .commands import Command, sibling_id
from .entries import ENTRIES, Entry, EntryKind, Outcome, append_refusal, reads
from .memos import Memo
from .transfers import (
    TRANSFERS,
    Party,
    Transfer,
    TransferRecord,
    append_transfer,
    draft_of,
    own_legs,
    record_read,
    record_transfer,
)


def append_refund(
    work: Work, command: Command, original_id: str, amount: int | None = None, memo: Memo | None = None
) -> Outcome:
    """Send back `amount` minor units of a posted transfer, or all that is left of it; a refund is a new transfer.

    Of a hold it is what was captured that can be sent back, also while the hold goes on. Refused with CONFLICT where
    less is left, else as `append_transfer` is. Needs `refund_reads`.
    """
    original = cast("Entry | None", work.get(ENTRIES, original_id))
    if original is None:
        raise NotFoundError("There is no such transfer")
    record = cast(TransferRecord, work.get(TRANSFERS, sibling_id(original_id, "trf")) or {})
    refunded = record.get("refunded", 0)
    left = record.get("captured", original["amount"]) - refunded
    payer, payee = original["legs"][0], original["legs"][1]
    transfer = Transfer(
        source=_party(work, payee["account_id"]),
        target=_party(work, payer["account_id"]),
        amount=left if amount is None else amount,
        currency=original["currency"] or "",
        sender_id=original["recipient_id"],
        recipient_id=original["sender_id"],
        kind=EntryKind.REFUND,
        event_type="payment.refunded",
        merchants=tuple(original["merchants"]),
        order_id=original["order_id"],
        payment_request_id=original["payment_request_id"],
        reverses=original_id,
        memo=memo,
    )
    if not 0 < transfer.amount <= left:
        error = ConflictError(
            "More was asked back than is left of this transfer" if left else "Nothing is left to refund"
        )
        legs = own_legs(work, command, transfer)
        return append_refusal(work, command, error, draft_of(transfer, legs=legs, refused=True))
    outcome = append_transfer(work, command, transfer)
    if outcome.posted:
        record_transfer(work, original_id, refunded=refunded + transfer.amount)
    return outcome


def refund_reads(command: Command, original: Entry) -> list[Read]:
    """What `append_refund` must have read; entries never change, so one read earlier will do."""
    accounts = [leg["account_id"] for leg in original["legs"][:2]]
    return [*reads(command, accounts=accounts, entries=[original["_id"]]), record_read(original["_id"])]


def _party(work: Work, account_id: str) -> Party:
    account = work.get(ACCOUNTS, account_id)
    if account is None:
        raise NotFoundError("There is no such wallet")
    return Party(account_id, AccountKind(account["kind"]), account["owner_id"])
