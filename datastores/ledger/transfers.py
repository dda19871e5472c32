"""Transfers: the decision over two accounts that each kind of movement is, and what has become of it since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict

from pymongo import ASCENDING, IndexModel

from datastores.commit import Read, Work, by_id
from datastores.errors import (
    ExpectedError,
    InsufficientFundsError,
    LimitExceededError,
    NotFoundError,
    TransferRefusedError,
)
from datastores.mongo import Document
from datastores.person_keys import SealedText

from .accounts import ACCOUNTS, Account, AccountKind, Effect, WalletStatus, available, may_overdraw, new_account
from .commands import Command, sibling_id
from .currencies import MAX_MINOR_UNITS, money
from .entries import Draft, EntryKind, EntryState, Outcome, append, append_refusal, ledger_time, reads
from .limits import BALANCE, BOUNDED, COUNTED, incoming_refusal, outgoing_refusal, overflow_refusal
from .memos import Memo
from .statuses import open_account, opening_reads, opening_tier
from .tiers import Tier

TRANSFERS: Final = "transfers"
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    TRANSFERS: [
        IndexModel([("expires_at", ASCENDING)], partialFilterExpression={"state": "PENDING"}, name="pending_expires")
    ]
}


class TransferState(StrEnum):
    """What has become of a transfer; REFUNDED: all of it."""

    PENDING = "PENDING"
    POSTED = "POSTED"
    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"
    REFUSED = "REFUSED"


class TransferRecord(TypedDict, total=False):
    """What has become of a transfer since its entry, and what of it may be erased; absent while there is none.

    `refunded` is in minor units; `state` and `resolved_by` (an entry) are those of a reserve or a hold; `code` and
    `message` say why it was voided; `captured` (minor units), `captured_by` (the newest capture) and `expires_at` are
    those of a hold; `memo` is sealed under its writer's key; `conversation_id` is where it was made; `rate` is that of
    an exchange.
    """

    _id: str
    state: str
    captured: int
    captured_by: str
    captured_seq: int
    expires_at: datetime
    resolved_by: str | None
    resolved_seq: int
    code: str | None
    message: str | None
    refunded: int
    rate: str
    memo: SealedText | None
    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class Party:
    """An account that takes part, and what it would be opened as where it is not there yet."""

    account_id: str
    kind: AccountKind = AccountKind.WALLET
    owner_id: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A movement of `amount` minor units (more than zero) from `source` to `target`; the source pays `fee` on top.

    `target` is opened where it is missing, `source` only where it is the system's. `default_tier` is that of wallets
    that have none of their own.
    """

    source: Party
    target: Party
    amount: int
    currency: str
    sender_id: str | None = None
    recipient_id: str | None = None
    kind: EntryKind = EntryKind.TRANSFER
    event_type: str = "transfer.posted"
    merchants: tuple[str, ...] = ()
    order_id: str | None = None
    payment_request_id: str | None = None
    reverses: str | None = None
    expires_at: datetime | None = None
    memo: Memo | None = None
    conversation_id: str | None = None
    fee: Party | None = None
    fee_amount: int = 0
    default_tier: Tier = Tier.BUSINESS

    @property
    def parties(self) -> tuple[Party, ...]:
        """Payer first, then who is paid, then who gets the fee."""
        return (self.source, self.target, self.fee) if self.fee else (self.source, self.target)

    @property
    def account_ids(self) -> tuple[str, ...]:
        """The accounts to read."""
        return tuple(party.account_id for party in self.parties)

    @property
    def legs(self) -> tuple[tuple[str, int], ...]:
        """Payer first, then who is paid, then the fee."""
        source = (self.source.account_id, -self.amount - self.fee_amount)
        fee = ((self.fee.account_id, self.fee_amount),) if self.fee and self.fee_amount else ()
        return (source, (self.target.account_id, self.amount), *fee)


def transfer_reads(command: Command, transfer: Transfer) -> list[Read]:
    """What `append_transfer` and `append_reserve` must have read."""
    return reads(command, accounts=transfer.account_ids)


def transfer_rounds(work: Work, command: Command, transfer: Transfer) -> Iterator[list[Read]]:
    """As `transfer_reads`, then `tier_reads`; a round for each."""
    yield transfer_reads(command, transfer)
    if owners := tier_reads(work, transfer):
        yield owners


def tier_reads(work: Work, transfer: Transfer) -> list[Read]:
    """What a payee's wallet that is to be opened gets its tier from, once `transfer_reads` has been read."""
    return opening_reads(work, ((party.account_id, party.owner_id) for party in transfer.parties))


def new_party(work: Work, party: Party, currency: str) -> Account:
    """The account of a party that is not open yet, as it would be opened."""
    account = new_account(party.account_id, party.kind, currency, work.now, party.owner_id)
    return {**account, "tier": opening_tier(work, party.owner_id)}


def append_transfer(work: Work, command: Command, transfer: Transfer) -> Outcome:
    """Post the transfer, or keep its refusal: the first that holds of

    1. ACCOUNT_FROZEN: the payer's account is frozen or closed; 2. ACCOUNT_FROZEN: that of who is paid is;
    3. INSUFFICIENT_FUNDS; LIMIT_EXCEEDED with the window 4. `transaction`, 5. `day`, 6. `30 days` of the payer;
    7. `balance` of who is paid; 8. `balance` where one would pass 64 bits; 9. `day` where a day's sum would.

    Limits are those of the wallets' tiers (see `limits`): of 4. to 7. refunds and reversals are free.

    Raises NotFoundError where the payer's wallet does not exist, and TransferRefusedError with CURRENCY_MISMATCH
    (both keep nothing: they hold for ever).
    """
    return _decide(work, command, transfer, EntryState.POSTED, Effect.POST)


def append_reserve(work: Work, command: Command, transfer: Transfer) -> Outcome:
    """Reserve what is to move once somebody outside agrees; refused as `append_transfer` is."""
    return _decide(work, command, transfer, EntryState.PENDING, Effect.RESERVE)


def _decide(work: Work, command: Command, transfer: Transfer, state: EntryState, effect: Effect) -> Outcome:
    error = _refused(work, transfer)
    if error is not None:
        legs = own_legs(work, command, transfer)
        return append_refusal(work, command, error, draft_of(transfer, legs=legs, refused=True))
    for party in transfer.parties:
        open_account(work, command, party.account_id, party.kind, transfer.currency, party.owner_id)
    entry = append(work, command, draft_of(transfer, legs=transfer.legs, state=state, effect=effect))
    record = first_record(transfer, state)
    if record:
        work.insert(TRANSFERS, {"_id": command.id("trf"), **record})
    return Outcome(entry)


def record_read(entry_id: str) -> Read:
    """The record of the transfer that this entry began."""
    return by_id(TRANSFERS, sibling_id(entry_id, "trf"))


def record_transfer(work: Work, entry_id: str, **changes: Any) -> None:
    """Note what became of the transfer that this entry began; needs `record_read`."""
    id = sibling_id(entry_id, "trf")
    if work.get(TRANSFERS, id) is None:
        work.insert(TRANSFERS, {"_id": id, **changes})
    else:
        work.update(TRANSFERS, id, **changes)


def draft_of(
    transfer: Transfer,
    *,
    legs: tuple[tuple[str, int], ...],
    state: EntryState = EntryState.POSTED,
    effect: Effect = Effect.NOTHING,
    refused: bool = False,
) -> Draft:
    """What the transfer is in the journal with these legs, and to whom beside its people it is an event."""
    # What a person tried in vain is nobody else's business, except for an order or a request that waits for its money.
    awaited = transfer.order_id is not None or transfer.payment_request_id is not None
    event_type: str | None = transfer.event_type
    if refused:
        event_type = "payment.refused" if awaited else None
    elif state is EntryState.PENDING:
        event_type = "payment.held" if awaited or transfer.kind is EntryKind.HOLD else None
    return Draft(
        transfer.kind,
        state,
        effect,
        legs,
        currency=transfer.currency,
        amount=transfer.amount,
        event_type=event_type,
        sender_id=transfer.sender_id,
        recipient_id=transfer.recipient_id,
        merchants=() if refused and not awaited else transfer.merchants,
        order_id=transfer.order_id,
        payment_request_id=transfer.payment_request_id,
        reverses=transfer.reverses,
        expires_at=transfer.expires_at,
        memo_digest=transfer.memo.digest if transfer.memo and not refused else None,
    )


def _refused(work: Work, transfer: Transfer) -> ExpectedError | None:
    source = work.get(ACCOUNTS, transfer.source.account_id)
    if source is None and transfer.source.kind is AccountKind.WALLET:
        raise NotFoundError("There is no such wallet")
    accounts = [
        work.get(ACCOUNTS, party.account_id) or new_party(work, party, transfer.currency) for party in transfer.parties
    ]
    if any(account["currency"] != transfer.currency for account in accounts):
        raise TransferRefusedError(f"The wallet is not in {transfer.currency}", code="CURRENCY_MISMATCH")
    payer, payee = accounts[0], accounts[1]
    if payer["status"] != WalletStatus.OPEN:
        return TransferRefusedError("This wallet is frozen or closed: it cannot pay", code="ACCOUNT_FROZEN")
    if payee["status"] != WalletStatus.OPEN:
        return TransferRefusedError("The wallet to be paid is frozen or closed", code="ACCOUNT_FROZEN")
    needed, at = transfer.amount + transfer.fee_amount, ledger_time(work)
    if not may_overdraw(payer) and available(payer) < needed:
        text = "There is not enough money in this wallet"
        return InsufficientFundsError(text, available=money(available(payer), transfer.currency))
    if transfer.kind in BOUNDED and (error := _limited(transfer, payer, payee, at)) is not None:
        return error
    most = max(payee["posted"] + payee["pending_in"] + transfer.amount, needed + payer["pending_out"] - payer["posted"])
    if most > MAX_MINOR_UNITS:
        limit = money(MAX_MINOR_UNITS, transfer.currency)
        return LimitExceededError("A balance cannot grow that large", limit=limit, window=BALANCE, frees_at=None)
    return overflow_refusal(payer, needed, at) if transfer.kind in COUNTED else None


def _limited(
    transfer: Transfer, payer: Mapping[str, Any], payee: Mapping[str, Any], at: datetime
) -> ExpectedError | None:
    needed, tier = transfer.amount + transfer.fee_amount, transfer.default_tier
    error = outgoing_refusal(payer, needed, at, tier) if transfer.kind in COUNTED else None
    return error or incoming_refusal(payee, transfer.amount, tier)


def own_legs(work: Work, command: Command, transfer: Transfer) -> tuple[tuple[str, int], ...]:
    """What the caller may see of a refusal: the leg on their own wallet, where it is open already."""
    parties = zip(transfer.parties, transfer.legs, strict=False)
    own = (leg for party, leg in parties if party.owner_id == command.caller)
    return tuple(leg for leg in own if work.get(ACCOUNTS, leg[0]) is not None)


def first_record(transfer: Transfer, state: EntryState) -> Document:
    """What there is to note of a transfer that has just been posted or reserved."""
    record: Document = {}
    if transfer.memo and transfer.memo.sealed:
        record["memo"] = transfer.memo.sealed
    if transfer.conversation_id:
        record["conversation_id"] = transfer.conversation_id
    if state is EntryState.PENDING:
        record["state"] = TransferState.PENDING.value
    if transfer.kind is EntryKind.HOLD:
        record |= {"captured": 0, "expires_at": transfer.expires_at}
    return record
