"""The book: a ledger of a few lines, beside which every entry of the real one is decided again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from datastores.errors import InsufficientFundsError
from datastores.ledger import WalletStatus
from datastores.ledger.commands import SYSTEM
from datastores.mongo import Document
from tests.simulation.quarters import Problems

from .answers import Request, request_of, short
from .holds import Hold, Purse
from .spending import DAYS, LIMIT, MAX_BALANCE
from .wishes import Wish

Expected = tuple[str, str | None]
POSTED: Expected = ("POSTED", None)


@dataclass
class Book:
    """Who has what, by rules of its own."""

    purses: dict[str, Purse] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    reserves: dict[str, Wish] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    follow_ups: set[str] = field(default_factory=set)
    used_quotes: set[str] = field(default_factory=set)
    openers: set[str] = field(default_factory=set)
    closers: set[str] = field(default_factory=set)

    def wallet_decider(self, entry: Document) -> tuple[str, Decider] | None:
        """How what an owner does to a wallet is decided, where somebody wished it; its key has the version in it."""
        account_id = entry["legs"][0]["account_id"] if entry["legs"] else ""
        for name, wished, decide in (("close", self.closers, _close), ("open", self.openers, _open)):
            if entry["caller"] == SYSTEM and entry["key"].startswith(f"wallet-{name}:{account_id}/"):
                return (f"{name} {account_id}", decide) if account_id in wished else None
        return None

    def purse(self, id: str) -> Purse:
        """The account, with nothing in it where it is new."""
        return self.purses.setdefault(id, Purse())

    def refusal(
        self, source: str, target: str, amount: int, *, fee: int = 0, limits_at: datetime | None = None
    ) -> str | None:
        """The code of the refusal where so much cannot move, else None; by limits only where there are any."""
        payer, payee = self.purses.get(source, Purse()), self.purses.get(target, Purse())
        if payer.status != WalletStatus.OPEN or payee.status != WalletStatus.OPEN:
            return "ACCOUNT_FROZEN"
        if not source.startswith("acct_rail") and payer.posted - payer.out < amount + fee:
            return InsufficientFundsError.code
        if limits_at is None:
            return None
        if source.startswith("wal_") and (code := payer.spending.refusal(amount + fee, limits_at)) is not None:
            return code
        return f"{LIMIT} balance" if payee.posted + payee.into + amount > MAX_BALANCE else None

    def move(self, source: str, target: str, amount: int) -> Expected:
        """Move so much, or refuse; without limits, and so that it does not count."""
        if (code := self.refusal(source, target, amount)) is not None:
            return "REFUSED", code
        self.purse(source).posted -= amount
        self.purse(target).posted += amount
        return POSTED

    def spend(self, source: str, entry: Document, amount: int) -> None:
        """Note that so much has left, by this entry."""
        self.purse(source).spending.add(entry["_id"], entry["created_at"], amount)

    def compare(self, accounts: Mapping[str, Document], problems: Problems) -> None:
        """Compare the stored balances with these."""
        for id, account in accounts.items():
            purse = self.purses.get(id, Purse())
            stored = Purse(account["posted"], account["pending_out"], account["pending_in"], account["status"])
            if stored != purse:
                problems.append(f"{id} holds {stored}, and the model says {purse}")
            problems.extend(_wrong_days(id, account["spent"], purse.spending.by_day()))
        if missing := {id for id, purse in self.purses.items() if purse != Purse()} - accounts.keys():
            problems.append(f"accounts are missing: {sorted(missing)}")


Decider = Callable[[Book, Document], Expected]
Deciders = Mapping[Request, tuple[str, Decider]]


def decide_again(
    book: Book, journal: Iterable[Document], deciders: Deciders, floors: Mapping[Request, int], problems: Problems
) -> None:
    """Compare each entry with what the book decides; `floors` is what was known when its wish was first asked for."""
    created_at = None
    for entry in journal:
        request = request_of(entry)
        if request not in deciders and (of_wallet := book.wallet_decider(entry)) is not None:
            deciders = {**deciders, request: of_wallet}
        if request not in deciders:
            problems.append(f"nobody asked for {short(entry)}")
            continue
        name, decide = deciders[request]
        try:
            expected = decide(book, entry)
        except KeyError:
            problems.append(f"{name}: {short(entry)} is about what is not there")
            continue
        if expected != (entry["state"], _code(entry)):
            problems.append(f"{name}: {short(entry)}, where the model says {expected}")
        if entry["seq"] <= floors.get(request, 0):
            problems.append(f"{name}: entry {entry['seq']} stands before what was known when it was asked")
        if created_at is not None and entry["created_at"] < created_at:
            problems.append(f"time goes back at {short(entry)}")
        created_at = entry["created_at"]


def _close(book: Book, entry: Document) -> Expected:
    purse = book.purse(entry["legs"][0]["account_id"])
    if purse != Purse():
        return f"closed with {purse}", None
    purse.status = WalletStatus.CLOSED.value
    return POSTED


def _open(book: Book, entry: Document) -> Expected:
    purse = book.purse(entry["legs"][0]["account_id"])
    if purse.status != WalletStatus.CLOSED:
        return f"opened with {purse}", None
    purse.status = WalletStatus.OPEN.value
    return POSTED


def _code(entry: Document) -> str | None:
    """The code of an entry's refusal, and of a limit its window."""
    return f"{LIMIT} {entry['details']['window']}" if entry["code"] == LIMIT else entry["code"]


def _wrong_days(id: str, stored: Mapping[str, int], counted: Mapping[str, int]) -> Iterator[str]:
    """An account forgets days that no window reaches any more; the others must be as they were counted."""
    last = date.fromisoformat(max(counted, default="2026-01-01"))
    first = (last - timedelta(days=DAYS - 1)).isoformat()
    recent = {day: amount for day, amount in counted.items() if day >= first and amount}
    kept = {day: amount for day, amount in stored.items() if day >= first}
    if kept != recent:
        yield f"{id} has spent {kept} by day, and the model says {recent}"
