"""The ledger's quarter: money that people move, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Final

from pymongo import IndexModel

from datastores import ledger
from datastores.errors import ConflictError, NotFoundError, TransferRefusedError, ValidationError
from datastores.ledger import Outcome
from datastores.mongo import Database
from tests.simulation.quarters import Asked, Problems
from tests.simulation.shapes import Shape
from tests.simulation.storage import Changes, Storage

from .answers import Answers, Request
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
        return None

    def next(self) -> Wish:
        told = [entry for _, entry in self.answers.told.values()]
        wish = self._plan.next(told, list(self._wishes))
        if wish.kind is not Kind.OPEN:
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
        return self.answers.take(wish, outcome, asked) if isinstance(outcome, Outcome) else "open"

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        if self.answers.refused(wish, error, asked):
            return
        if not self._may_refuse(wish, error, asked):
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def _may_refuse(self, wish: Wish, error: Exception, asked: Asked) -> bool:
        if isinstance(error, NotFoundError):
            return wish.needs is not None and None in self._storage.seen_since("accounts", wish.needs, asked.stamp)
        if isinstance(error, ValidationError):
            return wish.kind is Kind.HOLD and wish.expires_at is not None
        if isinstance(error, ConflictError):
            ends_at = wish.subject["expires_at"] if wish.subject else None
            return wish.kind is Kind.EXPIRE and ends_at is not None and ends_at > asked.earliest
        if not isinstance(error, TransferRefusedError):
            return False
        if error.code == "CURRENCY_MISMATCH":
            return wish.currency != wish.payee_currency
        if wish.kind in (Kind.SETTLE, Kind.RELEASE, Kind.EXPIRE) and wish.subject:
            self._resolved.add(wish.subject["_id"])
            return error.code == "HOLD_RESOLVED"
        return False

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        self.answers.unanswered(wish, error, alone)

    async def check(self, database: Database) -> None:
        entries = self._storage.committed("entries").values()
        journal = sorted(entries, key=lambda entry: int(entry["seq"]))
        accounts = self._storage.committed("accounts")
        self.answers.check(journal)
        decide_again(self.book, journal, self._deciders, self._floors, self._problems)
        self.book.compare(accounts, self._problems)
        still = self.book.reserves.keys() | {id for id, hold in self.book.holds.items() if hold.ended is None}
        if missing := self._resolved & still:
            self._problems.append(f"said to be resolved, and are not: {sorted(missing)}")
        if (kept := set(self._storage.committed("follow_ups"))) != self.book.follow_ups:
            wrong = sorted(kept ^ self.book.follow_ups)
            self._problems.append(f"follow-ups without their entries, or missing: {wrong}")
        opened = {wish.source if wish.payer else wish.target for wish in self._wishes if wish.kind is Kind.OPEN}
        if missing := opened - accounts.keys():
            self._problems.append(f"opened and not there: {sorted(missing)}")
        report = await ledger.verify(database)
        self._problems.extend(ledger.problem_lines(report.problems))

    def counts(self) -> dict[str, int]:
        journal = self._storage.committed("entries").values()
        kinds = Counter(f"entries {entry['kind']} {entry['state']}" for entry in journal)
        refusals = sum(entry["state"] == "REFUSED" for entry in journal)
        return {"entries": len(journal), "refusals": refusals, **dict(sorted(kinds.items()))}


def _given_back(wish: Wish, book: Book, entry: dict[str, object]) -> tuple[str, str | None]:
    return give_back(book, wish, entry)


def _decided(wish: Wish, book: Book, entry: dict[str, object]) -> tuple[str, str | None]:
    return RULES[wish.kind](book, wish, entry)
