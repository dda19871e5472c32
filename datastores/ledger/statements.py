"""Statements: reading the journal for people – entries, legs of a wallet, transfers as they have become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypedDict, cast

from datastores.ids import is_id
from datastores.mongo import Database, Document
from datastores.paging import PageDocument, Window, keyset, page
from datastores.person_keys import SealedText

from .accounts import Account, fees_account_id
from .commands import Command, sibling_id
from .currencies import Money, money
from .entries import ENTRIES, Entry, EntryKind, EntryState, Outcome, matching
from .transfers import TRANSFERS, TransferRecord, TransferState


class WalletDocument(TypedDict):
    """A wallet as its owner sees it."""

    _id: str
    owner_id: str | None
    currency: str
    available: Money
    posted: Money
    pending_out: Money
    pending_in: Money
    version: int
    status: str


class LegDocument(TypedDict):
    """One leg of an entry, with what it shares with the entry; `amount` is signed."""

    _id: str
    entry_id: str
    wallet_id: str
    owner_id: str | None
    seq: int
    kind: str
    state: str
    created_at: datetime
    amount: Money
    balance_after: Money
    counterparty_id: str | None
    transfer_id: str
    hash: str


class ExchangeDocument(TypedDict):
    """What an exchange swapped; `rate` is a decimal number, units of what was bought a unit of what was sold."""

    sold: Money
    bought: Money
    rate: str


class TransferDocument(TypedDict):
    """A transfer as it has become. `seq` is that of the newest entry of it, `moved_by` the one that a receipt is of.

    That is its newest capture, or else the entry that settled or ended it, or else the one that began it.
    `captured_amount` and `expires_at` are those of a hold. `memo` and its salt are None until whoever may see them has
    opened `sealed_memo`.
    """

    _id: str
    entry_id: str
    kind: str
    state: str
    amount: Money
    fee: Money | None
    exchange: ExchangeDocument | None
    from_id: str | None
    to_id: str | None
    caller: str
    sender_id: str | None
    recipient_id: str | None
    sealed_memo: SealedText | None
    memo: str | None
    memo_salt: str | None
    created_at: datetime
    refunded_amount: Money | None
    captured_amount: Money | None
    expires_at: datetime | None
    conversation_id: str | None
    order_id: str | None
    merchants: list[str]
    code: str | None
    message: str | None
    seq: int
    moved_by: str


_NOT_SHOWN: Final = (EntryKind.NOTICE.value, EntryKind.STATUS.value)


def leg_id(entry_id: str, index: int) -> str:
    """The id of a leg: `leg_<ULID of the entry>_<place>`."""
    return f"{sibling_id(entry_id, 'leg')}_{index}"


def leg_documents(entry: Entry) -> list[LegDocument]:
    """The legs of an entry, each as a document with what it shares with the entry."""
    return [
        {
            "_id": leg_id(entry["_id"], index),
            "entry_id": entry["_id"],
            "wallet_id": leg["account_id"],
            "owner_id": leg["owner_id"],
            "seq": entry["seq"],
            "kind": entry["kind"],
            "state": entry["state"],
            "created_at": entry["created_at"],
            "amount": money(leg["delta"], leg["currency"]),
            "balance_after": money(leg["posted_after"], leg["currency"]),
            "counterparty_id": next(
                (who for who in (entry["sender_id"], entry["recipient_id"]) if who != leg["owner_id"]), None
            ),
            "transfer_id": sibling_id(entry["pending_id"] or entry["_id"], "trf"),
            "hash": entry["hash"],
        }
        for index, leg in enumerate(entry["legs"])
    ]


def transfer_document(entry: Entry, record: TransferRecord | None) -> TransferDocument:
    """The transfer that this entry began, as it has become; all of it, whoever may see it."""
    kept: TransferRecord = record or {}
    currency = entry["currency"] or ""
    refunded, captured = kept.get("refunded", 0), kept.get("captured")
    fee = sum(leg["delta"] for leg in entry["legs"][2:] if leg["account_id"] == fees_account_id(leg["currency"]))
    source, target = ([leg["account_id"] for leg in entry["legs"]] + [None, None])[:2]
    return {
        "_id": sibling_id(entry["_id"], "trf"),
        "entry_id": entry["_id"],
        "kind": entry["kind"],
        "state": _state(entry, kept).value,
        "amount": money(entry["amount"], currency),
        "fee": money(fee, currency) if fee > 0 else None,
        "exchange": _exchange(entry, kept),
        "from_id": source,
        "to_id": target,
        "caller": entry["caller"],
        "sender_id": entry["sender_id"],
        "recipient_id": entry["recipient_id"],
        "sealed_memo": kept.get("memo"),
        "memo": None,
        "memo_salt": None,
        "created_at": entry["created_at"],
        "refunded_amount": money(refunded, currency) if refunded else None,
        "captured_amount": None if captured is None else money(captured, currency),
        "expires_at": entry["expires_at"],
        "conversation_id": kept.get("conversation_id"),
        "order_id": entry["order_id"],
        "merchants": entry["merchants"],
        "code": kept.get("code"),
        "message": kept.get("message"),
        "seq": kept.get("resolved_seq") or kept.get("captured_seq") or entry["seq"],
        "moved_by": kept.get("captured_by") or kept.get("resolved_by") or entry["_id"],
    }


def _exchange(entry: Entry, record: TransferRecord) -> ExchangeDocument | None:
    if entry["kind"] != EntryKind.EXCHANGE or entry["state"] == EntryState.REFUSED:
        return None
    bought = entry["legs"][1]
    return {
        "sold": money(entry["amount"], entry["currency"] or ""),
        "bought": money(bought["delta"], bought["currency"]),
        "rate": record["rate"],
    }


def _state(entry: Entry, record: TransferRecord) -> TransferState:
    if entry["state"] == EntryState.REFUSED:
        return TransferState.REFUSED
    if entry["state"] == EntryState.PENDING and record.get("state") != TransferState.POSTED:
        return TransferState(record.get("state", TransferState.PENDING))
    moved = record.get("captured", entry["amount"])
    return TransferState.REFUNDED if record.get("refunded", 0) == moved else TransferState.POSTED


def is_transfer(entry: Entry) -> bool:
    """Whether the entry began a transfer: not a notice, and not the end of a reserve."""
    return has_statement(entry) and entry["pending_id"] is None


def takes_part(entry: Entry, user_id: str) -> bool:
    """Whether the entry concerns this person; one that was refused concerns its caller alone."""
    if entry["state"] == EntryState.REFUSED:
        return entry["caller"] == user_id
    return user_id in (entry["sender_id"], entry["recipient_id"])


def has_statement(entry: Entry) -> bool:
    """Whether the legs of the entry are among the entries of their wallets."""
    return entry["kind"] not in _NOT_SHOWN


async def stored(database: Database, command: Command) -> Outcome | None:
    """What the key of this command has had written so far; raises IdempotencyKeyReusedError."""
    return matching((await database.by_ids(ENTRIES, [command.entry_id]))[0], command)


async def entries_by_ids(database: Database, ids: Sequence[str]) -> list[Entry | None]:
    """For each id its entry or None, in the order of the ids; one read."""
    return cast("list[Entry | None]", await database.by_ids(ENTRIES, ids))


async def transfers_by_ids(database: Database, ids: Sequence[str]) -> list[TransferDocument | None]:
    """For each id of a transfer its document or None, in the order of the ids; two reads."""
    wanted = [id if is_id("trf", id) else "" for id in ids]
    entries = await entries_by_ids(database, [sibling_id(id, "ent") if id else "" for id in wanted])
    records = cast("list[TransferRecord | None]", await database.by_ids(TRANSFERS, wanted))
    return [
        transfer_document(entry, record) if entry is not None and is_transfer(entry) else None
        for entry, record in zip(entries, records, strict=True)
    ]


async def legs_by_ids(database: Database, ids: Sequence[str]) -> list[LegDocument | None]:
    """For each id of a leg its document or None, in the order of the ids; one read."""
    wanted = [sibling_id(id, "ent") if is_leg_id(id) else "" for id in ids]
    entries = await entries_by_ids(database, wanted)
    out: list[LegDocument | None] = []
    for id, entry in zip(ids, entries, strict=True):
        legs = leg_documents(entry) if entry is not None and has_statement(entry) else []
        out.append(next((leg for leg in legs if leg["_id"] == id), None))
    return out


def is_leg_id(text: str) -> bool:
    """Whether this has the form of a leg's id."""
    entry, _, index = text.rpartition("_")
    return is_id("leg", entry) and index.isascii() and index.isdigit() and len(index) <= 2


async def legs_of_accounts(
    database: Database, windows: Mapping[str, Window], states: Sequence[EntryState]
) -> dict[str, PageDocument]:
    """For each account the page of its legs in these states that its window asks for, the newest first; one command.

    The sort key is the entry's `seq`. At most 250 accounts.
    """
    first, *others = [(account_id, _leg_stages(account_id, window, states)) for account_id, window in windows.items()]
    unions: list[Document] = [{"$unionWith": {"coll": ENTRIES, "pipeline": stages}} for _, stages in others]
    by_account: dict[str, list[Document]] = {account_id: [] for account_id in windows}
    for entry in await database.aggregate(ENTRIES, [*first[1], *unions]):
        account_id = entry["of_account"]
        legs = leg_documents(cast(Entry, entry))
        by_account[account_id].append(cast(Document, next(leg for leg in legs if leg["wallet_id"] == account_id)))
    return {id: page(by_account[id], window, lambda leg: (leg["seq"],)) for id, window in windows.items()}


def _leg_stages(account_id: str, window: Window, states: Sequence[EntryState]) -> list[Document]:
    place, sort = keyset([("seq", -1)], window)
    match: Document = {
        "legs.account_id": account_id,
        "state": {"$in": [state.value for state in states]},
        "kind": {"$nin": list(_NOT_SHOWN)},
        **place,
    }
    of_account = {"$addFields": {"of_account": {"$literal": account_id}}}
    return [{"$match": match}, {"$sort": dict(sort)}, {"$limit": window.limit}, of_account]


async def memos_of(database: Database, transfer_ids: Sequence[str]) -> list[SealedText | None]:
    """For each transfer its memo, sealed, or None, in the order of the ids; one read."""
    records = await database.by_ids(TRANSFERS, transfer_ids, projection={"memo": 1})
    return [record.get("memo") if record else None for record in records]


def wallet_document(account: Account) -> WalletDocument:
    """A wallet as its owner sees it, amounts as money."""
    return _wallet(
        account["_id"],
        account["owner_id"],
        account["currency"],
        account["posted"],
        account["pending_out"],
        account["pending_in"],
        account["version"],
        account["status"],
    )


def wallet_after(entry: Entry, account_id: str) -> WalletDocument:
    """The wallet as it stood after this entry, which must have a leg on it."""
    leg = next(leg for leg in entry["legs"] if leg["account_id"] == account_id)
    return _wallet(
        account_id,
        leg["owner_id"],
        leg["currency"],
        leg["posted_after"],
        leg["pending_out_after"],
        leg["pending_in_after"],
        leg["version_after"],
        leg["status_after"],
    )


def _wallet(
    id: str, owner_id: str | None, currency: str, posted: int, out: int, into: int, version: int, status: str
) -> WalletDocument:
    return {
        "_id": id,
        "owner_id": owner_id,
        "currency": currency,
        "available": money(posted - out, currency),
        "posted": money(posted, currency),
        "pending_out": money(out, currency),
        "pending_in": money(into, currency),
        "version": version,
        "status": status,
    }
