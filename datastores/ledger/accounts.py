"""Accounts of the ledger: people's wallets and the system's own, and how one leg changes a balance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel

from datastores.commit import Work
from datastores.ids import derived_id, is_id
from datastores.mongo import Database

from . import chain
from .currencies import MAX_MINOR_UNITS

ACCOUNTS: Final = "accounts"
MAX_WALLETS: Final = 250
MAX_WALLET_IDS: Final = 16_384

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    ACCOUNTS: [
        IndexModel(
            [("owner_id", ASCENDING), ("currency", ASCENDING)],
            unique=True,
            partialFilterExpression={"owner_id": {"$type": "string"}},
            name="owner_currency",
        )
    ],
}


class AccountKind(StrEnum):
    """What an account is for. Money enters and leaves only through a RAIL, which is therefore below zero.

    An EXCHANGE account is the position in a currency that people's exchanges have made, below zero where more of it was
    bought than sold; a ROUNDING account keeps what rounding leaves over. No other account may be below zero.
    """

    WALLET = "WALLET"
    RAIL = "RAIL"
    ESCROW = "ESCROW"
    FEES = "FEES"
    EXCHANGE = "EXCHANGE"
    ROUNDING = "ROUNDING"


_MAY_OVERDRAW: Final = frozenset((AccountKind.RAIL, AccountKind.EXCHANGE, AccountKind.ROUNDING))


class WalletStatus(StrEnum):
    """OPEN pays and is paid; FROZEN and CLOSED do neither."""

    OPEN = "OPEN"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


class Effect(StrEnum):
    """What the legs of an entry do to their accounts.

    POST moves the balance; RESERVE holds what will move; SETTLE moves what was reserved; RELEASE gives a reserve back
    (its legs have the signs opposite to the reserve's); NOTHING leaves all as it is.
    """

    POST = "POST"
    RESERVE = "RESERVE"
    SETTLE = "SETTLE"
    RELEASE = "RELEASE"
    NOTHING = "NOTHING"


class Account(TypedDict):
    """One account. Amounts are int64 minor units; `version` counts the entries that changed it.

    `tier` is None for the deployment's default; `spent` are the sums of `limits`, by day; `opening_hash` is a checksum
    of what never changes, of which no entry tells.
    """

    _id: str
    owner_id: str | None
    currency: str
    kind: str
    posted: int
    pending_out: int
    pending_in: int
    version: int
    status: str
    tier: str | None
    spent: Mapping[str, int]
    created_at: datetime
    opening_hash: str


class Balance(TypedDict):
    """What a leg changes of an account."""

    posted: int
    pending_out: int
    pending_in: int
    version: int


@lru_cache(MAX_WALLET_IDS)
def wallet_id(owner_id: str, currency: str) -> str:
    """The id of the one wallet that a person has in a currency, whether or not it is open yet."""
    return derived_id("wal", owner_id, currency)


def is_wallet_id(text: str) -> bool:
    """Whether this has the form of a wallet's id."""
    return is_id("wal", text)


def rail_account_id(rail: str, currency: str) -> str:
    """The account through which a rail's money enters and leaves."""
    return f"acct_rail_{rail}_{currency}"


def escrow_account_id(order_id: str) -> str:
    """The account that holds what was paid for one order.

    One account an order, so that the ledger itself refuses to give out the same money twice.
    """
    return f"acct_escrow_{order_id}"


def fees_account_id(currency: str) -> str:
    """The account that fees are paid to."""
    return f"acct_fees_{currency}"


def exchange_account_id(currency: str) -> str:
    """The account against which this currency is bought and sold."""
    return f"acct_exchange_{currency}"


def rounding_account_id(currency: str) -> str:
    """The account that keeps what rounding leaves over in this currency."""
    return f"acct_rounding_{currency}"


def new_account(id: str, kind: AccountKind, currency: str, now: datetime, owner_id: str | None = None) -> Account:
    """An open account with nothing in it."""
    account: Account = {
        "_id": id,
        "owner_id": owner_id,
        "currency": currency,
        "kind": kind.value,
        "posted": 0,
        "pending_out": 0,
        "pending_in": 0,
        "version": 0,
        "status": WalletStatus.OPEN.value,
        "tier": None,
        "spent": {},
        "created_at": now,
        "opening_hash": "",
    }
    account["opening_hash"] = opening_hash(account)
    return account


def opening_hash(account: Account) -> str:
    """The SHA-256 of what an account is from its opening on; hex."""
    fixed = {name: account[name] for name in ("_id", "owner_id", "currency", "kind", "created_at")}
    return hashlib.sha256(chain.canonical(fixed)).hexdigest()


def available(account: Mapping[str, Any]) -> int:
    """What can be spent now: posted less what is reserved; minor units."""
    posted, pending_out = cast(int, account["posted"]), cast(int, account["pending_out"])
    return posted - pending_out


def may_overdraw(account: Mapping[str, Any]) -> bool:
    """Whether the account may be below zero."""
    return cast(str, account["kind"]) in _MAY_OVERDRAW


def is_overdrawn_by(account: Mapping[str, Any], delta: int) -> bool:
    """Whether a leg of `delta` takes more than can be spent of an account that may not be below zero."""
    return delta < 0 and available(account) + delta < 0 and not may_overdraw(account)


def is_overflown_by(account: Mapping[str, Any], delta: int) -> bool:
    """Whether a leg of `delta`, with all that is reserved, would pass 64 bits."""
    highest = account["posted"] + account["pending_in"] + max(delta, 0)
    lowest = account["posted"] - account["pending_out"] + min(delta, 0)
    return cast(bool, max(highest, -lowest) > MAX_MINOR_UNITS)


def moved(account: Mapping[str, Any], delta: int, effect: Effect) -> Balance:
    """The balance of the account after a leg of `delta` minor units with this effect."""
    posted, out, into = account["posted"], account["pending_out"], account["pending_in"]
    if effect in (Effect.POST, Effect.SETTLE):
        posted += delta
    if effect is Effect.RESERVE:
        out, into = out + max(-delta, 0), into + max(delta, 0)
    elif effect is Effect.SETTLE:
        out, into = out - max(-delta, 0), into - max(delta, 0)
    elif effect is Effect.RELEASE:
        out, into = out - max(delta, 0), into - max(-delta, 0)
    changed = effect is not Effect.NOTHING
    return {"posted": posted, "pending_out": out, "pending_in": into, "version": account["version"] + changed}


def opened(work: Work, id: str, kind: AccountKind, currency: str, owner_id: str | None = None) -> Account:
    """The account with this id, opened in this batch where it is not there yet; needs `by_id` of it in the reads."""
    found = work.get(ACCOUNTS, id)
    if found is None:
        found = work.insert(ACCOUNTS, cast(dict[str, Any], new_account(id, kind, currency, work.now, owner_id)))
    return cast(Account, found)


async def accounts_by_ids(database: Database, ids: Sequence[str]) -> list[Account | None]:
    """For each id its account or None, in the order of the ids."""
    return cast("list[Account | None]", await database.by_ids(ACCOUNTS, ids))


async def wallets_of(database: Database, owner_ids: Sequence[str]) -> list[Account]:
    """The wallets of these people, the first opened first."""
    # The type is what lets the partial index be used.
    owned = {"owner_id": {"$in": list(owner_ids), "$type": "string"}}
    found = await database.find(ACCOUNTS, owned, limit=MAX_WALLETS * max(len(owner_ids), 1))
    return cast("list[Account]", sorted(found, key=lambda account: (account["created_at"], account["currency"])))
