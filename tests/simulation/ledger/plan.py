"""The plan of the ledger's quarter: what its clients come to want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final, cast

from datastores.ledger import Entry, EntryKind, EntryState, WalletStatus
from datastores.mongo import Document

from .wishes import Kind, Wish

CURRENCIES: Final = ("EUR", "JPY")
MOST: Final = 60
Told = Sequence[Document]


class Plan:
    """Says what the next client wants, from the seed and from what clients know by then."""

    def __init__(self, random: Random, people: Sequence[str]) -> None:
        self._random = random
        self._people = people
        self._count = 0

    def next(self, told: Told, wishes: Sequence[Wish]) -> Wish:
        """A new wish, or an earlier one again, or another one under an earlier key."""
        self._count += 1
        if self._count <= len(self._people):
            return self._top_up(self._people[self._count - 1])
        makers = (
            self._transfer,
            self._transfer,
            self._transfer,
            self._transfer,
            self._reserve,
            self._status,
            self._open,
        )
        chance = self._random.random()
        if chance < 0.15:
            return self._random.choice(wishes)
        if chance < 0.22:
            return self._under_an_old_key(wishes)
        if chance < 0.40 and (found := self._subject(told, EntryState.POSTED)):
            return self._refund(found)
        if chance < 0.60 and (found := self._subject(told, EntryState.PENDING)):
            return self._resolution(found)
        if chance < 0.65:
            return self._top_up(self._random.choice(self._people))
        if chance < 0.67 and (found := self._subject(told, EntryState.POSTED)):
            return self._into_another_currency(found)
        return self._random.choice(makers)()

    def _key(self) -> str:
        return f"key{self._count}"

    def _amount(self) -> int:
        return self._random.randint(1, MOST)

    def _transfer(self) -> Wish:
        payer, payee = self._random.sample(self._people, 2)
        currency = "EUR" if self._random.random() < 0.8 else "JPY"
        wish = Wish(Kind.TRANSFER, payer, self._key(), payer, payee, self._amount(), currency, currency)
        return replace(wish, follows=self._random.random() < 0.3)

    def _into_another_currency(self, paid: Entry) -> Wish:
        """To the wallet that this transfer opened or found, in the currency that it is not in."""
        payer, payee = paid["sender_id"] or "", paid["recipient_id"] or ""
        there = str(paid["currency"])
        return Wish(Kind.TRANSFER, payer, self._key(), payer, payee, 1, _other(there), there)

    def _top_up(self, payee: str) -> Wish:
        currency = "EUR" if self._random.random() < 0.8 else "JPY"
        return Wish(Kind.TOP_UP, payee, self._key(), "", payee, self._amount(), currency, currency)

    def _reserve(self) -> Wish:
        payer, payee = self._random.sample(self._people, 2)
        if self._random.random() < 0.6:
            return Wish(Kind.RESERVE, payee, self._key(), "", payee, self._amount())
        return Wish(Kind.RESERVE, payer, self._key(), payer, payee, self._amount())

    def _status(self) -> Wish:
        status = self._random.choice((WalletStatus.FROZEN, WalletStatus.OPEN, WalletStatus.OPEN))
        return Wish(Kind.STATUS, "system", self._key(), payee=self._random.choice(self._people), status=status)

    def _open(self) -> Wish:
        owner, currency = self._random.choice(self._people), self._random.choice(CURRENCIES)
        return Wish(Kind.OPEN, owner, self._key(), owner, owner, currency=currency, payee_currency=currency)

    def _subject(self, told: Told, state: EntryState) -> Entry | None:
        found = [
            entry
            for entry in told
            if entry["state"] == state
            and entry["pending_id"] is None
            and entry["order_id"] is None
            and (state is EntryState.PENDING or (entry["kind"] == EntryKind.TRANSFER and entry["sender_id"]))
        ]
        return cast(Entry, self._random.choice(found)) if found else None

    def _refund(self, original: Entry) -> Wish:
        amount = None if self._random.random() < 0.3 else self._random.randint(1, MOST // 2)
        return Wish(Kind.REFUND, original["recipient_id"] or "", self._key(), amount=amount, subject=original)

    def _resolution(self, pending: Entry) -> Wish:
        kind = self._random.choice((Kind.SETTLE, Kind.SETTLE, Kind.RELEASE))
        return Wish(kind, "system", f"{kind.value}:{pending['_id']}", subject=pending)

    def _under_an_old_key(self, wishes: Sequence[Wish]) -> Wish:
        """The same key for another amount, or for another act altogether."""
        wish = self._random.choice(wishes)
        if wish.kind in (Kind.OPEN, Kind.SETTLE, Kind.RELEASE, Kind.STATUS):
            return wish
        if self._random.random() < 0.5:
            return replace(wish, amount=self._amount())
        return replace(self._transfer(), caller=wish.caller, key=wish.key)


def _other(currency: str) -> str:
    return next(other for other in CURRENCIES if other != currency)
