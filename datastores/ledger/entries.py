"""Entries: the immutable journal, its numbering and its chain, and the one place where an entry comes into being."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.commit import Read, Work, by_id, by_new_id, last_row
from datastores.errors import (
    ConflictError,
    ExpectedError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    LimitExceededError,
    OutOfStockError,
    PriceChangedError,
    TransferRefusedError,
)
from datastores.mongo import Database, Document

from . import chain
from .accounts import ACCOUNTS, Account, Effect, WalletStatus, moved
from .commands import Command
from .limits import spent_after

ENTRIES: Final = "entries"
PARTITION: Final = "main"
# Every change of an account appends an entry, so whoever has the next number knows that no account has changed.
LAST: Final = last_row(ENTRIES, "seq", partition=PARTITION)
MAX_LEGS: Final = 10
# Of every query by merchants, so that their index can answer it.
SEEN_BY_MERCHANTS: Final[Document] = {"merchants.0": {"$exists": True}}

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    ENTRIES: [
        IndexModel([("partition", ASCENDING), ("seq", ASCENDING)], unique=True, name="partition_seq"),
        IndexModel([("legs.account_id", ASCENDING), ("seq", DESCENDING)], name="account_seq"),
        # Of the entries that some merchant sees: most have none, and would all be keys of nothing.
        IndexModel(
            [("merchants", ASCENDING), ("seq", ASCENDING)],
            partialFilterExpression=SEEN_BY_MERCHANTS,
            name="merchant_feed",
        ),
        IndexModel(
            [("pending_id", ASCENDING)], unique=True, partialFilterExpression={"final": True}, name="pending_final"
        ),
        IndexModel(
            [("reverses", ASCENDING)], partialFilterExpression={"reverses": {"$type": "string"}}, name="reverses"
        ),
    ],
}


class EntryKind(StrEnum):
    """What an entry is. NOTICE has no legs and STATUS no amounts: neither is among a wallet's entries."""

    TRANSFER = "TRANSFER"
    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    TOP_UP = "TOP_UP"
    WITHDRAWAL = "WITHDRAWAL"
    FEE = "FEE"
    REFUND = "REFUND"
    REVERSAL = "REVERSAL"
    EXCHANGE = "EXCHANGE"
    NOTICE = "NOTICE"
    STATUS = "STATUS"


class EntryState(StrEnum):
    """PENDING reserved something; POSTED took effect; REFUSED has no effect and keeps the answer to its key."""

    PENDING = "PENDING"
    POSTED = "POSTED"
    REFUSED = "REFUSED"


class Leg(TypedDict):
    """What an entry does to one account: `delta` in minor units of `currency`, and how the account stood afterwards."""

    account_id: str
    owner_id: str | None
    currency: str
    delta: int
    posted_after: int
    pending_out_after: int
    pending_in_after: int
    version_after: int
    status_after: str


class Entry(TypedDict):
    """One entry of the journal. It never changes; `salt` seals its private parts (see `chain`).

    `currency` and `amount` are what was asked for; its legs may be in other currencies too, each sums to zero.
    """

    _id: str
    caller: str
    key: str
    request_hash: str
    partition: str
    seq: int
    kind: str
    event_type: str | None
    state: str
    code: str | None
    details: dict[str, Any] | None
    currency: str | None
    amount: int
    legs: list[Leg]
    sender_id: str | None
    recipient_id: str | None
    merchants: list[str]
    order_id: str | None
    payment_request_id: str | None
    pending_id: str | None
    final: bool
    reverses: str | None
    quote_id: str | None
    expires_at: datetime | None
    created_at: datetime
    memo_digest: str | None
    salt: str
    previous_hash: str
    hash: str


class Head(TypedDict):
    """The last entry of a partition: its number, its hash, its time."""

    n: int
    hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """What an entry is to say. Legs are (account id, delta in minor units of its currency).

    They sum to zero in each currency, unless it is refused.
    """

    kind: EntryKind
    state: EntryState = EntryState.POSTED
    effect: Effect = Effect.NOTHING
    legs: tuple[tuple[str, int], ...] = ()
    currency: str | None = None
    amount: int = 0
    event_type: str | None = None
    code: str | None = None
    details: dict[str, Any] | None = None
    sender_id: str | None = None
    recipient_id: str | None = None
    merchants: tuple[str, ...] = ()
    order_id: str | None = None
    payment_request_id: str | None = None
    pending_id: str | None = None
    final: bool = False
    reverses: str | None = None
    quote_id: str | None = None
    expires_at: datetime | None = None
    memo_digest: str | None = None
    status: WalletStatus | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger decided: the entry that says so, and whether an earlier try with the same key had it written."""

    entry: Entry
    replayed: bool = False

    @property
    def posted(self) -> bool:
        """Whether it was not refused."""
        return self.entry["state"] != EntryState.REFUSED

    def accepted(self) -> Entry:
        """The entry; raises the error that the ledger decided on, the same at every replay."""
        if not self.posted:
            raise refusal(self.entry)
        return self.entry


def reads(command: Command, *, accounts: Sequence[str] = (), entries: Sequence[str] = ()) -> list[Read]:
    """What an act must have read before it appends: the last entry, its own, and the accounts and entries it names."""
    wanted = [LAST, by_new_id(ENTRIES, command.entry_id)]
    if entries:
        wanted.append(by_id(ENTRIES, *entries))
    return [*wanted, by_id(ACCOUNTS, *accounts, guard=LAST)] if accounts else wanted


def stored_outcome(work: Work, command: Command) -> Outcome | None:
    """What an earlier try with this key had written, refusals included, or None for a new key.

    Raises IdempotencyKeyReusedError where the key was used for another input.
    """
    return matching(work.get(ENTRIES, command.entry_id), command)


def matching(found: Mapping[str, Any] | None, command: Command) -> Outcome | None:
    """The outcome in the entry that was found under this command's id; raises IdempotencyKeyReusedError."""
    if found is None:
        return None
    if found["request_hash"] != command.request_hash:
        raise IdempotencyKeyReusedError("This idempotency key was used for another input: take a new key")
    return Outcome(cast(Entry, found), replayed=True)


def append(work: Work, command: Command, draft: Draft) -> Entry:
    """Write the entry, its number and hash, and its effect on the accounts; pure, into `work`.

    The caller has looked at `stored_outcome` and has decided that the accounts allow it.
    """
    legs = [(_account(work, account_id), delta) for account_id, delta in draft.legs]
    balanced = is_balanced((account["currency"], delta) for account, delta in legs)
    if len(legs) > MAX_LEGS or not (balanced or draft.state is EntryState.REFUSED):
        raise ValueError(f"the legs of {command.entry_id} do not balance")
    previous = work.last(LAST) or {"seq": 0, "hash": chain.GENESIS, "created_at": work.now}
    created_at = max(work.now, previous["created_at"])
    reserve = work.get(ENTRIES, draft.pending_id) if draft.effect is Effect.RELEASE and draft.pending_id else None
    entry: Entry = {
        "_id": command.entry_id,
        "caller": command.caller,
        "key": command.key,
        "request_hash": command.request_hash,
        "partition": PARTITION,
        "seq": previous["seq"] + 1,
        "kind": draft.kind.value,
        "event_type": draft.event_type,
        "state": draft.state.value,
        "code": draft.code,
        "details": draft.details,
        "currency": draft.currency,
        "amount": draft.amount,
        "legs": [_leg(work, account, delta, draft, created_at, reserve) for account, delta in legs],
        "sender_id": draft.sender_id,
        "recipient_id": draft.recipient_id,
        "merchants": list(draft.merchants),
        "order_id": draft.order_id,
        "payment_request_id": draft.payment_request_id,
        "pending_id": draft.pending_id,
        "final": draft.final,
        "reverses": draft.reverses,
        "quote_id": draft.quote_id,
        "expires_at": draft.expires_at,
        "created_at": created_at,
        "memo_digest": draft.memo_digest,
        "salt": command.salt,
        "previous_hash": previous["hash"],
        "hash": "",
    }
    entry["hash"] = chain.entry_hash(entry)
    work.insert(ENTRIES, cast(dict[str, Any], entry))
    return entry


def is_balanced(legs: Iterable[tuple[str, int]]) -> bool:
    """Whether legs of (currency, delta) sum to zero in each currency."""
    sums: dict[str, int] = {}
    for currency, delta in legs:
        sums[currency] = sums.get(currency, 0) + delta
    return not any(sums.values())


def ledger_time(work: Work) -> datetime:
    """The time that the next entry gets: never before that of an earlier entry, whatever a gateway's clock says."""
    last = work.last(LAST)
    return work.now if last is None else max(work.now, cast(datetime, last["created_at"]))


async def head(database: Database) -> Head | None:
    """The last entry's number and hash, or None while there is no entry."""
    last = await database.find_one(ENTRIES, {"partition": PARTITION}, sort=[("seq", DESCENDING)])
    if last is None:
        return None
    return {"n": last["seq"], "hash": last["hash"], "created_at": last["created_at"]}


def append_notice(
    work: Work,
    command: Command,
    *,
    event_type: str | None,
    merchants: Sequence[str] = (),
    currency: str | None = None,
    amount: int = 0,
    sender_id: str | None = None,
    recipient_id: str | None = None,
    order_id: str | None = None,
    payment_request_id: str | None = None,
    details: dict[str, Any] | None = None,
) -> Entry:
    """Append what has no money but belongs in the feed of these merchants, or must keep the outcome of a key."""
    return append(
        work,
        command,
        Draft(
            EntryKind.NOTICE,
            event_type=event_type,
            merchants=tuple(merchants),
            currency=currency,
            amount=amount,
            sender_id=sender_id,
            recipient_id=recipient_id,
            order_id=order_id,
            payment_request_id=payment_request_id,
            details=details,
        ),
    )


def append_refusal(work: Work, command: Command, error: ExpectedError, draft: Draft | None = None) -> Outcome:
    """Keep this refusal as the outcome of the key: every replay raises the same error again.

    `draft` says what was asked for; its legs are those that the caller may see, and take no effect.
    """
    asked = draft or Draft(EntryKind.NOTICE)
    details = {"message": error.message, **error.details}
    refused = replace(asked, state=EntryState.REFUSED, effect=Effect.NOTHING, code=error.code, details=details)
    return Outcome(append(work, command, refused))


def refusal(entry: Entry) -> ExpectedError:
    """The error that a refused entry stands for."""
    details = dict(entry["details"] or {})
    message, code = details.pop("message", ""), entry["code"] or "INTERNAL"
    if (kind := _REFUSALS.get(code)) is not None:
        return kind(message, **details)
    return TransferRefusedError(message, code=code)


_REFUSALS: Final[dict[str, type[ExpectedError]]] = {
    kind.code: kind
    for kind in (ConflictError, InsufficientFundsError, LimitExceededError, OutOfStockError, PriceChangedError)
}


def _account(work: Work, account_id: str) -> Account:
    account = cast("Account | None", work.get(ACCOUNTS, account_id))
    if account is None:
        raise KeyError(account_id)
    return account


def _leg(work: Work, account: Account, delta: int, draft: Draft, created_at: datetime, reserve: Document | None) -> Leg:
    account_id = account["_id"]
    after = moved(account, delta, draft.effect)
    status = draft.status.value if draft.status else account["status"]
    if draft.effect is not Effect.NOTHING:
        spent = spent_after(account, delta, draft.kind, draft.effect, created_at, reserve)
        changes: dict[str, Any] = {
            name: value for name, value in after.items() if cast("dict[str, Any]", account)[name] != value
        }
        if spent is not None:
            changes["spent"] = spent
        if draft.status:
            changes["status"] = status
        work.update(ACCOUNTS, account_id, **changes)
    return {
        "account_id": account_id,
        "owner_id": account["owner_id"],
        "currency": account["currency"],
        "delta": delta,
        "posted_after": after["posted"],
        "pending_out_after": after["pending_out"],
        "pending_in_after": after["pending_in"],
        "version_after": after["version"],
        "status_after": status,
    }
