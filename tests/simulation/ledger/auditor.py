"""The ledger's auditor: what must hold at every commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from datastores.ledger import AccountKind
from datastores.mongo import Document
from tests.simulation.quarters import Problems
from tests.simulation.storage import Changes

_OF_SOMEBODY: Final = (AccountKind.WALLET, AccountKind.ESCROW, AccountKind.FEES)


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
        if account["kind"] in _OF_SOMEBODY and account["posted"] < account["pending_out"]:
            self.problems.append(f"{id} is below zero after entry {self.seq}")
        if min(account["pending_out"], account["pending_in"]) < 0:
            self.problems.append(f"{id} has less than nothing reserved after entry {self.seq}")
