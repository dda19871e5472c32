"""The rules of holds: captured in parts, given back once, and over by the time of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from datastores.ledger import WalletStatus
from datastores.ledger.commands import SYSTEM
from datastores.mongo import Document

from .spending import Spending
from .wishes import Wish

RESOLVED = "HOLD_RESOLVED"
EXPIRED = "HOLD_EXPIRED"


@dataclass
class Purse:
    """An account of the book."""

    posted: int = 0
    out: int = 0
    into: int = 0
    status: str = WalletStatus.OPEN.value
    spending: Spending = field(default_factory=Spending, compare=False)


@dataclass
class Hold:
    """A hold of the book: what is left of it, and the code of how it has ended."""

    id: str
    source: Purse
    target: Purse
    left: int
    expires_at: datetime
    ended: str | None = None
    captured: int = 0

    def capture(self, wish: Wish, entry: Document) -> str | None:
        """Move a part of it, or say why not."""
        part = self.left if wish.amount is None else wish.amount
        if (code := self._over(entry)) is not None:
            return code
        if not 0 < part <= self.left:
            return "AMOUNT_EXCEEDS_HOLD"
        if self.source.status != WalletStatus.OPEN or self.target.status != WalletStatus.OPEN:
            return "ACCOUNT_FROZEN"
        self._release(part)
        self.source.posted -= part
        self.target.posted += part
        self.captured += part
        self.ended = None if self.left else RESOLVED
        return None

    def void(self, wish: Wish, entry: Document) -> str | None:
        """Give back what is left, or say why not."""
        code = self.ended if wish.caller == SYSTEM else self._over(entry)
        if code is None:
            self.give_back(RESOLVED)
        return code

    def expire(self, entry: Document) -> str | None:
        """Give back what is left because its time is over, or say why not."""
        code = self.ended or ("not due" if entry["created_at"] < self.expires_at else None)
        if code is None:
            self.give_back(EXPIRED)
        return code

    def give_back(self, ended: str) -> None:
        """Give back what is left."""
        self.source.spending.give_back(self.id, self.left)
        self._release(self.left)
        self.ended = ended

    def _over(self, entry: Document) -> str | None:
        return self.ended or (EXPIRED if entry["created_at"] >= self.expires_at else None)

    def _release(self, amount: int) -> None:
        self.left -= amount
        self.source.out -= amount
        self.target.into -= amount
