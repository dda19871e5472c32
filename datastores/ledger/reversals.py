"""Reversals: undoing a posted entry, its fees included, as far as it was not sent back already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from datastores.commit import Read, Work
from datastores.errors import (
    ConflictError,
    ExpectedError,
    InsufficientFundsError,
    LimitExceededError,
    NotFoundError,
    TransferRefusedError,
)

from .accounts import (
    ACCOUNTS,
    Account,
    AccountKind,
    Effect,
    WalletStatus,
    available,
    is_overdrawn_by,
    is_overflown_by,
)
from .commands import Command, sibling_id, system_command
from .currencies import MAX_MINOR_UNITS, money
from .entries import Draft, Entry, EntryKind, EntryState, Outcome, append, reads, stored_outcome
from .transfers import TRANSFERS, TransferRecord, record_read, record_transfer

REVERSIBLE: Final = frozenset(
    (
        EntryKind.TRANSFER.value,
        EntryKind.CAPTURE.value,
        EntryKind.TOP_UP.value,
        EntryKind.WITHDRAWAL.value,
        EntryKind.EXCHANGE.value,
        EntryKind.FEE.value,
    )
)


@dataclass(frozen=True, slots=True)
class ReverseEntry:
    """Posts what is left of an entry with the opposite legs; `reason` is kept with it. Make it by `reversal`.

    Frozen wallets are no obstacle, since that is what they are frozen for. Nothing is kept of a refusal, so that it can
    be tried again; the first that holds is raised: ConflictError for what cannot be reversed, or of which nothing is
    left; TransferRefusedError with ACCOUNT_FROZEN where a wallet that takes part is closed; InsufficientFundsError
    where the money is gone; LimitExceededError where a balance would pass 64 bits.
    """

    command: Command
    original: Entry
    reason: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        accounts = [leg["account_id"] for leg in self.original["legs"]]
        yield [*reads(self.command, accounts=accounts), record_read(began(self.original))]

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        original, root = self.original, began(self.original)
        record = cast(TransferRecord, work.get(TRANSFERS, sibling_id(root, "trf")) or {})
        refunded = record.get("refunded", 0)
        left = min(original["amount"], record.get("captured", original["amount"]) - refunded)
        if (error := _irreversible(work, original, left)) is not None:
            raise error
        legs = opposite_legs(original, left)
        if (error := _refused(work, legs)) is not None:
            raise error
        entry = append(work, self.command, self._draft(legs, left))
        record_transfer(work, root, refunded=refunded + left)
        return Outcome(entry)

    def _draft(self, legs: tuple[tuple[str, int], ...], amount: int) -> Draft:
        original = self.original
        return Draft(
            EntryKind.REVERSAL,
            effect=Effect.POST,
            legs=legs,
            currency=original["currency"],
            amount=amount,
            event_type="payment.reversed",
            sender_id=original["recipient_id"],
            recipient_id=original["sender_id"],
            merchants=tuple(original["merchants"]),
            order_id=original["order_id"],
            payment_request_id=original["payment_request_id"],
            reverses=original["_id"],
            details={"reason": self.reason},
        )


def reversal(original: Entry, reason: str) -> ReverseEntry:
    """The one reversal that an entry can have, whoever asks for it and why."""
    return ReverseEntry(system_command("reverse", original["_id"]), original, reason)


def began(entry: Entry) -> str:
    """The id of the entry that began the transfer that this entry posted: itself, or what it settles or captures."""
    return entry["pending_id"] or entry["_id"]


def opposite_legs(original: Entry, amount: int) -> tuple[tuple[str, int], ...]:
    """The legs that take back `amount` of what an entry moved between its first two accounts, and all the rest of it.

    Who was paid comes first, as in every entry who pays does.
    """
    sent_back = original["amount"] - amount
    kept = {0: -sent_back, 1: sent_back}
    legs = [(leg["account_id"], kept.get(place, 0) - leg["delta"]) for place, leg in enumerate(original["legs"])]
    return (*legs[1::-1], *legs[2:])


def _irreversible(work: Work, original: Entry, left: int) -> ExpectedError | None:
    if original["state"] == EntryState.PENDING:
        return ConflictError("This entry has moved nothing yet: reverse the one that settles or captures it")
    if original["state"] == EntryState.REFUSED or original["kind"] not in REVERSIBLE:
        return ConflictError(f"An entry that is {original['state']} and of kind {original['kind']} cannot be reversed")
    accounts = [_account(work, leg["account_id"]) for leg in original["legs"]]
    if any(account["kind"] == AccountKind.ESCROW for account in accounts):
        return ConflictError("The money of an order goes back by cancelling it, or from its seller by a transfer")
    if left <= 0:
        return ConflictError("Nothing is left of this entry: all of it was sent back")
    return None


def _refused(work: Work, legs: Sequence[tuple[str, int]]) -> ExpectedError | None:
    changes = [(_account(work, account_id), delta) for account_id, delta in legs]
    for account, _ in changes:
        if account["status"] == WalletStatus.CLOSED:
            return TransferRefusedError(f"The wallet {account['_id']} is closed", code="ACCOUNT_FROZEN")
    for account, delta in changes:
        if is_overdrawn_by(account, delta):
            text = f"The money is gone: there is not enough of it in {account['_id']}"
            return InsufficientFundsError(text, available=money(available(account), account["currency"]))
    for account, delta in changes:
        if is_overflown_by(account, delta):
            limit = money(MAX_MINOR_UNITS, account["currency"])
            return LimitExceededError("A balance cannot grow that large", limit=limit, window="balance")
    return None


def _account(work: Work, id: str) -> Account:
    account = work.get(ACCOUNTS, id)
    if account is None:
        raise NotFoundError("There is no such wallet")
    return cast(Account, account)
