"""The ledger's quarter: money that people move, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Final, cast

from pymongo import IndexModel

from datastores import ledger
from datastores.errors import (
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    TransferRefusedError,
    ValidationError,
)
from datastores.ledger import Entry, Outcome, WalletStatus
from datastores.ledger.quotes import QUOTES
from datastores.mongo import Document
from tests.simulation.processes import Process
from tests.simulation.quarters import Asked, Problems
from tests.simulation.shapes import Shape
from tests.simulation.storage import Changes, Storage

from .answers import Answers, Request, short
from .auditor import Auditor
from .book import Book, Decider, decide_again
from .plan import Plan
from .rules import RULES, give_back
from .wishes import Kind, Wish

INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = ledger.INDEXES


class LedgerQuarter:
    """People's wallets. Other quarters that append entries say by `expect` how the book decides these."""

    def __init__(self, random: Random, shape: Shape, storage: Storage, problems: Problems) -> None:
        self._plan = Plan(random, shape.people)
        self._storage = storage
        self._problems = problems
        self._auditor = Auditor(problems)
        self._wishes: dict[Wish, None] = {}
        self._resolved: set[str] = set()
        self._sent_back: list[Entry] = []
        self._deciders: dict[Request, tuple[str, Decider]] = {}
        self._floors: dict[Request, int] = {}
        self.answers = Answers(problems, storage)
        self.book = Book()

    def expect(self, request: Request, name: str, decide: Decider) -> None:
        """The entry of this request may come, and this is how it is decided."""
        # What a client may know already stands before whatever comes of a wish that is new.
        self._floors.setdefault(request, self.answers.last_seq)
        self._deciders.setdefault(request, (name, decide))

    def plant(self) -> None:
        self._storage.plant(QUOTES, *({**quote} for quote in self._plan.quotes))

    def next(self) -> Wish:
        told = [entry for _, entry in self.answers.told.values()]
        wish = self._plan.next(told, list(self._wishes))
        if wish.kind is Kind.OPEN:
            self.book.openers.add(wish.source)
        elif wish.kind is Kind.CLOSE:
            self.book.closers.add(wish.target)
        else:
            self.expect((wish.caller, wish.key, wish.request_hash), str(wish), partial(_decided, wish))
        if wish.kind is Kind.CAPTURE and wish.final:
            rest = ledger.system_command("give-back", wish.entry_id, salt="-")
            decide = partial(_given_back, wish)
            self.expect((rest.caller, rest.key, rest.request_hash), f"the rest of {wish}", decide)
        self._wishes.setdefault(wish)
        return wish

    def audit(self, changes: Changes) -> None:
        self._auditor.check(changes)

    def answered(self, wish: Wish, outcome: object, asked: Asked) -> str:
        if isinstance(outcome, Outcome):
            return self.answers.take(wish, outcome, asked)
        account = cast("dict[str, str]", outcome)
        if (account["status"] == WalletStatus.CLOSED) != (wish.kind is Kind.CLOSE):
            self._problems.append(f"done, and it is not so: {wish}")
        return account["status"]

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        if wish.kind is not Kind.CLOSE and self.answers.refused(wish, error, asked):
            return
        if not self._may_refuse(wish, error, asked):
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def _may_refuse(self, wish: Wish, error: Exception, asked: Asked) -> bool:
        if isinstance(error, NotFoundError):
            return wish.needs is not None and None in self._storage.seen_since("accounts", wish.needs, asked.stamp)
        if isinstance(error, ValidationError):
            return wish.kind is Kind.HOLD and wish.expires_at is not None
        if isinstance(error, ConflictError):
            return self._may_conflict(wish, asked)
        if isinstance(error, InsufficientFundsError):
            return wish.kind is Kind.REVERSE
        if not isinstance(error, TransferRefusedError):
            return False
        if error.code == "CURRENCY_MISMATCH":
            return wish.currency != wish.payee_currency
        if wish.kind in (Kind.SETTLE, Kind.RELEASE, Kind.EXPIRE) and wish.subject:
            self._resolved.add(wish.subject["_id"])
            return error.code == ("HOLD_EXPIRED" if self._has_expired(wish) else "HOLD_RESOLVED")
        return wish.kind is Kind.REVERSE and error.code == "ACCOUNT_FROZEN"

    def _has_expired(self, wish: Wish) -> bool:
        """Whether the subject is a hold that was given back because its time was over."""
        id = ledger.system_command("expire", wish.subject["_id"] if wish.subject else "", salt="-").entry_id
        return self._storage.get("entries", id) is not None

    def _may_conflict(self, wish: Wish, asked: Asked) -> bool:
        if wish.kind is Kind.CLOSE:
            seen = self._storage.seen_since("accounts", wish.target, asked.stamp)
            return len(seen) > 1 or any(each is None or _is_in_use(each) for each in seen)
        subject = wish.subject
        if wish.kind is Kind.EXPIRE and subject is not None:
            return subject["expires_at"] is not None and subject["expires_at"] > asked.earliest
        if wish.kind is Kind.REVERSE and subject is not None:
            self._sent_back.append(subject)
            return True
        return False

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        self.answers.unanswered(wish, error, alone)

    async def finish(self, process: Process) -> None:
        return None

    async def check(self, process: Process) -> None:
        entries = self._storage.committed("entries").values()
        journal = sorted(entries, key=lambda entry: int(entry["seq"]))
        accounts = self._storage.committed("accounts")
        self.answers.check(journal)
        decide_again(self.book, journal, self._deciders, self._floors, self._problems)
        self.book.compare(accounts, self._problems)
        still = self.book.reserves.keys() | {id for id, hold in self.book.holds.items() if hold.ended is None}
        if missing := self._resolved & still:
            self._problems.append(f"said to be resolved, and are not: {sorted(missing)}")
        for subject in self._sent_back:
            root = subject["pending_id"] or subject["_id"]
            is_of_order = any(leg["account_id"].startswith("acct_escrow") for leg in subject["legs"])
            if root not in self.book.holds and not is_of_order and self.book.refunded.get(root) != subject["amount"]:
                self._problems.append(f"said to be sent back, and it is not: {short(subject)}")
        if (kept := set(self._storage.committed("follow_ups"))) != self.book.follow_ups:
            wrong = sorted(kept ^ self.book.follow_ups)
            self._problems.append(f"follow-ups without their entries, or missing: {wrong}")
        opened = {wish.source if wish.payer else wish.target for wish in self._wishes if wish.kind is Kind.OPEN}
        if missing := opened - accounts.keys():
            self._problems.append(f"opened and not there: {sorted(missing)}")
        report = await ledger.verify(process.database)
        self._problems.extend(ledger.problem_lines(report.problems))

    def counts(self) -> dict[str, int]:
        journal = self._storage.committed("entries").values()
        kinds = Counter(f"entries {entry['kind']} {entry['state']}" for entry in journal)
        refusals = sum(entry["state"] == "REFUSED" for entry in journal)
        return {"entries": len(journal), "refusals": refusals, **dict(sorted(kinds.items()))}


def _is_in_use(account: Document) -> bool:
    amounts = (account["posted"], account["pending_out"], account["pending_in"])
    return any(amounts) or account["status"] == WalletStatus.FROZEN


def _given_back(wish: Wish, book: Book, entry: dict[str, object]) -> tuple[str, str | None]:
    return give_back(book, wish, entry)


def _decided(wish: Wish, book: Book, entry: dict[str, object]) -> tuple[str, str | None]:
    return RULES[wish.kind](book, wish, entry)
