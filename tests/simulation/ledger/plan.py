"""The plan of the ledger's quarter: what its clients come to want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Final, cast

from datastores import ledger
from datastores.ids import id_at
from datastores.ledger import Entry, EntryKind, EntryState, QuoteDocument, WalletStatus, swapped
from datastores.ledger.commands import SYSTEM
from datastores.mongo import Document
from tests.simulation.storage import START

from .wishes import Kind, Wish

CURRENCIES: Final = ("EUR", "JPY")
MOST: Final = 60
QUOTES: Final = 5
REVERSIBLE: Final = ("TRANSFER", "CAPTURE", "TOP_UP", "EXCHANGE")
# Some are over before they are asked for, some soon, some after days.
LIFETIMES: Final = (timedelta(0), timedelta(seconds=1), timedelta(seconds=20), timedelta(hours=1), timedelta(days=3))
Told = Sequence[Document]


class Plan:
    """Says what the next client wants, from the seed and from what clients know by then."""

    def __init__(self, random: Random, people: Sequence[str]) -> None:
        self._random = random
        self._people = people
        self._count = 0
        # In some histories amounts are as large as the limits of people whom nobody knows.
        self._limited = random.random() < 0.4
        self._unit = 100 if self._limited else 1
        self.quotes = [self._quote(number) for number in range(QUOTES)]

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
            self._hold,
            self._hold,
            self._exchange,
            self._exchange,
            self._status,
            self._open,
            self._close,
        )
        chance = self._random.random()
        if chance < 0.15:
            return self._random.choice(wishes)
        if chance < 0.22:
            return self._under_an_old_key(wishes)
        if chance < 0.34 and (found := self._subject(told, Kind.TRANSFER)):
            return self._refund(found)
        if chance < 0.44 and (found := self._subject(told, Kind.RESERVE)):
            return self._resolution(found)
        if chance < 0.62 and (found := self._subject(told, Kind.HOLD)):
            return self._about_hold(found)
        if 0.62 <= chance < 0.65 and (found := self._subject(told, Kind.REVERSE)):
            return Wish(Kind.REVERSE, SYSTEM, f"reverse:{found['_id']}", subject=found)
        if chance < 0.67:
            return self._top_up(self._random.choice(self._people))
        if chance < 0.69 and (found := self._subject(told, Kind.TRANSFER)):
            return self._into_another_currency(found)
        return self._random.choice(makers)()

    def _key(self) -> str:
        return f"key{self._count}"

    def _amount(self) -> int:
        return self._random.randint(1, MOST) * self._unit

    def _transfer(self) -> Wish:
        payer, payee = self._random.sample(self._people, 2)
        currency = "EUR" if self._random.random() < 0.8 else "JPY"
        wish = Wish(Kind.TRANSFER, payer, self._key(), payer, payee, self._amount(), currency, currency)
        fee = self._unit if self._random.random() < 0.2 else 0
        return replace(wish, follows=self._random.random() < 0.3, fee=fee, limited=self._limited)

    def _into_another_currency(self, paid: Entry) -> Wish:
        """To the wallet that this transfer opened or found, in the currency that it is not in."""
        payer, payee = paid["sender_id"] or "", paid["recipient_id"] or ""
        there = str(paid["currency"])
        return Wish(Kind.TRANSFER, payer, self._key(), payer, payee, 1, _other(there), there, limited=self._limited)

    def _top_up(self, payee: str) -> Wish:
        currency = "EUR" if self._random.random() < 0.8 else "JPY"
        limited = self._limited
        return Wish(Kind.TOP_UP, payee, self._key(), "", payee, self._amount(), currency, currency, limited=limited)

    def _reserve(self) -> Wish:
        payer, payee = self._random.sample(self._people, 2)
        if self._random.random() < 0.6:
            payer = ""
        return Wish(Kind.RESERVE, payer or payee, self._key(), payer, payee, self._amount(), limited=self._limited)

    def _exchange(self) -> Wish:
        quote = self._random.choice(self.quotes)
        return Wish(Kind.EXCHANGE, quote["owner_id"], self._key(), quote=quote, limited=self._limited)

    def _quote(self, number: int) -> QuoteDocument:
        """A quote that stands from the beginning, and that more than one wants to use."""
        random = self._random
        (sell, buy), rate = random.choice(((CURRENCIES, Decimal("1.625")), (CURRENCIES[::-1], Decimal("0.615"))))
        # Per minor unit, since a quote here is small.
        rate = rate.scaleb(ledger.EXPONENTS[sell] - ledger.EXPONENTS[buy])
        swap = swapped(rate, sell, buy, sold=random.randint(2, MOST // 2) * self._unit)
        return {
            "_id": id_at("quo", START, number),
            "owner_id": random.choice(self._people),
            "sell": ledger.money(swap.sold, sell),
            "buy": ledger.money(swap.bought, buy),
            "fee": ledger.money(random.choice((0, self._unit)), sell),
            "rate": str(rate),
            "rate_as_of": START,
            "rate_source": "simulated",
            "taken": swap.taken,
            "given": swap.given,
            "created_at": START,
            "expires_at": START + random.choice(LIFETIMES[1:]),
            "is_open": True,
            "used_by": None,
        }

    def _close(self) -> Wish:
        owner = self._random.choice(self._people)
        return Wish(Kind.CLOSE, owner, self._key(), payee=owner, payee_currency=self._random.choice(CURRENCIES))

    def _status(self) -> Wish:
        status = self._random.choice((WalletStatus.FROZEN, WalletStatus.OPEN, WalletStatus.OPEN))
        return Wish(Kind.STATUS, "system", self._key(), payee=self._random.choice(self._people), status=status)

    def _open(self) -> Wish:
        owner, currency = self._random.choice(self._people), self._random.choice(CURRENCIES)
        return Wish(Kind.OPEN, owner, self._key(), owner, owner, currency=currency, payee_currency=currency)

    def _hold(self) -> Wish:
        wish, chance = self._transfer(), self._random.random()
        lasts = None if chance < 0.6 else self._random.choice(LIFETIMES)
        return replace(wish, kind=Kind.HOLD, fee=0, expires_at=None if lasts is None else START + lasts)

    def _about_hold(self, hold: Entry) -> Wish:
        """A capture by who is paid, a void by either, or its expiry, whether or not it is due."""
        random = self._random
        kind = random.choice((Kind.CAPTURE, Kind.CAPTURE, Kind.CAPTURE, Kind.VOID, Kind.EXPIRE))
        if kind is Kind.EXPIRE:
            return Wish(kind, SYSTEM, f"expire:{hold['_id']}", subject=hold)
        payee = hold["recipient_id"] or ""
        if kind is Kind.VOID:
            return Wish(kind, random.choice((payee, payee, SYSTEM)), self._key(), subject=hold)
        amount = None if random.random() < 0.3 else random.randint(1, hold["amount"])
        return Wish(kind, payee, self._key(), amount=amount, subject=hold, final=random.random() < 0.3)

    def _subject(self, told: Told, kind: Kind) -> Entry | None:
        found = [entry for entry in told if _is(entry, kind)]
        return cast(Entry, self._random.choice(found)) if found else None

    def _refund(self, original: Entry) -> Wish:
        amount = None if self._random.random() < 0.3 else self._random.randint(1, MOST // 2) * self._unit
        return Wish(Kind.REFUND, original["recipient_id"] or "", self._key(), amount=amount, subject=original)

    def _resolution(self, pending: Entry) -> Wish:
        kind = self._random.choice((Kind.SETTLE, Kind.SETTLE, Kind.RELEASE))
        return Wish(kind, "system", f"{kind.value}:{pending['_id']}", subject=pending)

    def _under_an_old_key(self, wishes: Sequence[Wish]) -> Wish:
        """The same key for another amount, or for another act altogether."""
        wish = self._random.choice(wishes)
        if wish.caller == SYSTEM or wish.kind in (Kind.OPEN, Kind.CLOSE):
            return wish
        if self._random.random() < 0.5 and not wish.quote:
            return replace(wish, amount=self._amount())
        return replace(self._transfer(), caller=wish.caller, key=wish.key)


def _is(entry: Document, kind: Kind) -> bool:
    """Whether something can be done about this entry: as a transfer, a hold, another reserve, or what was posted."""
    if kind is Kind.REVERSE:
        return entry["state"] == EntryState.POSTED and entry["kind"] in REVERSIBLE
    if entry["pending_id"] is not None:
        return False
    is_hold: bool = entry["kind"] == EntryKind.HOLD
    if kind is Kind.TRANSFER:
        is_paid = entry["state"] == EntryState.POSTED and entry["kind"] == EntryKind.TRANSFER
        return (
            (is_paid or (is_hold and entry["state"] == EntryState.PENDING))
            and entry["sender_id"] is not None
            and entry["order_id"] is None
        )
    return entry["state"] == EntryState.PENDING and is_hold == (kind is Kind.HOLD)


def _other(currency: str) -> str:
    return next(other for other in CURRENCIES if other != currency)
