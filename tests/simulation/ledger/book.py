"""The book: a ledger of a few lines, beside which every entry of the real one is decided again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from datastores.errors import InsufficientFundsError
from datastores.ledger import WalletStatus
from datastores.mongo import Document
from tests.simulation.quarters import Problems

from .answers import Request, request_of, short
from .holds import Hold, Purse
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

    def purse(self, id: str) -> Purse:
        """The account, with nothing in it where it is new."""
        return self.purses.setdefault(id, Purse())

    def refusal(self, source: str, target: str, amount: int) -> str | None:
        """The code of the refusal where so much cannot move, else None."""
        payer, payee = self.purses.get(source, Purse()), self.purses.get(target, Purse())
        if payer.status != WalletStatus.OPEN or payee.status != WalletStatus.OPEN:
            return "ACCOUNT_FROZEN"
        if not source.startswith("acct_rail") and payer.posted - payer.out < amount:
            return InsufficientFundsError.code
        return None

    def move(self, source: str, target: str, amount: int) -> Expected:
        """Move so much, or refuse."""
        if (code := self.refusal(source, target, amount)) is not None:
            return "REFUSED", code
        self.purse(source).posted -= amount
        self.purse(target).posted += amount
        return POSTED

    def compare(self, accounts: Mapping[str, Document], problems: Problems) -> None:
        """Compare the stored balances with these."""
        for id, account in accounts.items():
            purse = self.purses.get(id, Purse())
            stored = Purse(account["posted"], account["pending_out"], account["pending_in"], account["status"])
            if stored != purse:
                problems.append(f"{id} holds {stored}, and the model says {purse}")
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
        if request not in deciders:
            problems.append(f"nobody asked for {short(entry)}")
            continue
        name, decide = deciders[request]
        try:
            expected = decide(book, entry)
        except KeyError:
            problems.append(f"{name}: {short(entry)} is about what is not there")
            continue
        if expected != (entry["state"], entry["code"]):
            problems.append(f"{name}: {short(entry)}, where the model says {expected}")
        if entry["seq"] <= floors.get(request, 0):
            problems.append(f"{name}: entry {entry['seq']} stands before what was known when it was asked")
        if created_at is not None and entry["created_at"] < created_at:
            problems.append(f"time goes back at {short(entry)}")
        created_at = entry["created_at"]
