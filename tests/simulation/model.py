"""The model: what a ledger of a few lines would have answered, and what must hold at every commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datastores.errors import ConflictError, ExpectedError, InsufficientFundsError, TransferRefusedError
from datastores.ledger import AccountKind, Outcome, WalletStatus
from datastores.mongo import Document

from .storage import Changes
from .wishes import Kind, Wish

Problems = list[str]
Expected = tuple[str, str | None]


@dataclass
class Auditor:
    """Looks at every commit, in the order in which they take effect."""

    problems: Problems
    seq: int = 0
    posted: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)

    def check(self, changes: Changes) -> None:
        """Numbers go on by one, each currency sums to zero, and nobody is below zero."""
        numbers = sorted(d["seq"] for (name, _), d in changes.items() if name == "entries" and d is not None)
        if numbers != list(range(self.seq + 1, self.seq + 1 + len(numbers))):
            self.problems.append(f"after entry {self.seq} a commit brings {numbers}")
        self.seq = max([self.seq, *numbers])
        for (name, id), account in changes.items():
            if name == "accounts" and account is not None:
                self._check_account(id, account)
        for currency, total in self.sums.items():
            if total:
                self.problems.append(f"{currency} sums to {total} after entry {self.seq}")

    def _check_account(self, id: str, account: Document) -> None:
        currency = account["currency"]
        self.sums[currency] = self.sums.get(currency, 0) + account["posted"] - self.posted.get(id, 0)
        self.posted[id] = account["posted"]
        if account["kind"] != AccountKind.RAIL and account["posted"] < account["pending_out"]:
            self.problems.append(f"{id} is below zero after entry {self.seq}")
        if min(account["pending_out"], account["pending_in"]) < 0:
            self.problems.append(f"{id} has less than nothing reserved after entry {self.seq}")


@dataclass
class Answers:
    """What clients were told. A key has one answer for ever, and each entry is new to one of them only."""

    problems: Problems
    told: dict[tuple[str, str], tuple[str, Document]] = field(default_factory=dict)
    refused_as_reused: set[tuple[str, str, str]] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)
    last_seq: int = 0
    _new: set[str] = field(default_factory=set)

    def take(self, wish: Wish, outcome: Outcome) -> None:
        """An outcome arrived."""
        entry: Document = {**outcome.entry}
        key, hash = (wish.caller, wish.key), wish.request_hash
        earlier = self.told.setdefault(key, (hash, entry))
        if earlier[0] != hash:
            self.problems.append(f"one key, two inputs, both answered: {wish}")
        elif earlier[1] != entry:
            self.problems.append(f"one key, two outcomes: {wish}: {_short(earlier[1])}, then {_short(entry)}")
        if not outcome.replayed and entry["_id"] in self._new:
            self.problems.append(f"said to be new twice: {wish}")
        if not outcome.replayed:
            self._new.add(entry["_id"])
        self.last_seq = max(self.last_seq, entry["seq"])

    def check(self, journal: Iterable[Document]) -> None:
        """Everything that somebody was told stands in the journal, once, as it was told."""
        by_key: dict[tuple[str, str], list[Document]] = {}
        for entry in journal:
            by_key.setdefault((entry["caller"], entry["key"]), []).append(entry)
        for key, entries in by_key.items():
            if len(entries) > 1:
                self.problems.append(f"{key} applied {len(entries)} times")
        for key, (_, entry) in self.told.items():
            if entry not in by_key.get(key, []):
                self.problems.append(f"acknowledged and not there: {key} {_short(entry)}")
        for caller, name, hash in self.refused_as_reused:
            if any(entry["request_hash"] == hash for entry in by_key.get((caller, name), [])):
                self.problems.append(f"called another input, and it was not: {caller} {name}")
        resolved = {entry["pending_id"] for entries in by_key.values() for entry in entries}
        if missing := self.resolved - resolved:
            self.problems.append(f"said to be resolved, and are not: {sorted(missing)}")


@dataclass
class Purse:
    """An account of the model."""

    posted: int = 0
    out: int = 0
    into: int = 0
    status: str = WalletStatus.OPEN.value


class Model:
    """Decides every wish again, in the order of the journal, by rules of its own."""

    def __init__(self, problems: Problems, wishes: Mapping[tuple[str, str, str], Wish]) -> None:
        self._problems = problems
        self._wishes = wishes
        self.purses: dict[str, Purse] = {}
        self.refunded: dict[str, int] = {}
        self.reserves: dict[str, Wish] = {}
        self.follow_ups: set[str] = set()

    def check(self, journal: Iterable[Document], floors: Mapping[Wish, int]) -> None:
        """Compare each entry with what the model decides, and take it as it should be."""
        created_at = None
        for entry in journal:
            wish = self._wishes.get((entry["caller"], entry["key"], entry["request_hash"]))
            if wish is None:
                self._problems.append(f"nobody asked for {_short(entry)}")
                continue
            expected = self._decide(wish, entry)
            if expected != (entry["state"], entry["code"]):
                self._problems.append(f"{wish}: {_short(entry)}, where the model says {expected}")
            if entry["seq"] <= floors.get(wish, 0):
                self._problems.append(f"{wish}: entry {entry['seq']} stands before what was known when it was asked")
            if created_at is not None and entry["created_at"] < created_at:
                self._problems.append(f"time goes back at {_short(entry)}")
            created_at = entry["created_at"]

    def check_accounts(self, accounts: Mapping[str, Document]) -> None:
        """Compare the stored balances with the model's."""
        for id, account in accounts.items():
            purse = self.purses.get(id, Purse())
            stored = Purse(account["posted"], account["pending_out"], account["pending_in"], account["status"])
            if stored != purse:
                self._problems.append(f"{id} holds {stored}, and the model says {purse}")
        if missing := {id for id, purse in self.purses.items() if purse != Purse()} - accounts.keys():
            self._problems.append(f"accounts are missing: {sorted(missing)}")

    def _decide(self, wish: Wish, entry: Document) -> Expected:
        id: str = entry["_id"]
        if wish.kind is Kind.STATUS:
            self._purse(wish.target).status = wish.status.value
            return "POSTED", None
        if wish.kind in (Kind.SETTLE, Kind.RELEASE):
            return self._resolve(wish)
        if wish.kind is Kind.REFUND:
            return self._refund(wish)
        amount = wish.amount or 0
        if (code := self._refusal(wish.source, wish.target, amount)) is not None:
            return "REFUSED", code
        if wish.follows:
            self.follow_ups.add(f"message:{id}")
        source, target = self._purse(wish.source), self._purse(wish.target)
        if wish.kind is Kind.RESERVE:
            source.out += amount
            target.into += amount
            self.reserves[id] = wish
            return "PENDING", None
        source.posted -= amount
        target.posted += amount
        return "POSTED", None

    def _resolve(self, wish: Wish) -> Expected:
        subject = wish.subject
        reserved = self.reserves.pop(subject["_id"], None) if subject else None
        if reserved is None:
            return "nothing is reserved", None
        amount = reserved.amount or 0
        source, target = self._purse(reserved.source), self._purse(reserved.target)
        source.out -= amount
        target.into -= amount
        if wish.kind is Kind.SETTLE:
            source.posted -= amount
            target.posted += amount
        return "POSTED", None

    def _refund(self, wish: Wish) -> Expected:
        subject = wish.subject
        assert subject is not None
        payer, payee = (leg["account_id"] for leg in subject["legs"])
        left = subject["amount"] - self.refunded.get(subject["_id"], 0)
        amount = left if wish.amount is None else wish.amount
        if not 0 < amount <= left:
            return "REFUSED", ConflictError.code
        if (code := self._refusal(payee, payer, amount)) is not None:
            return "REFUSED", code
        self._purse(payee).posted -= amount
        self._purse(payer).posted += amount
        self.refunded[subject["_id"]] = subject["amount"] - left + amount
        return "POSTED", None

    def _refusal(self, source: str, target: str, amount: int) -> str | None:
        payer, payee = self.purses.get(source, Purse()), self.purses.get(target, Purse())
        if payer.status != WalletStatus.OPEN or payee.status != WalletStatus.OPEN:
            return "ACCOUNT_FROZEN"
        if source.startswith("wal_") and payer.posted - payer.out < amount:
            return InsufficientFundsError.code
        return None

    def _purse(self, id: str) -> Purse:
        return self.purses.setdefault(id, Purse())


def says_resolved(error: ExpectedError) -> bool:
    """Whether the error says that a reserve is settled or released already."""
    return isinstance(error, TransferRefusedError) and error.code == "HOLD_RESOLVED"


def _short(entry: Mapping[str, Any]) -> str:
    return f"entry {entry['seq']} ({entry['kind']} {entry['state']} {entry['code'] or ''} {entry['amount']})"
