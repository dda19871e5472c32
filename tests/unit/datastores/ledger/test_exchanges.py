"""Any sequence of exchanges and reversals, in memory: each currency sums to zero, and undoing all leaves nothing."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores import ledger
from datastores.commit import Act, Work, by_id
from datastores.errors import ConflictError, InsufficientFundsError, LimitExceededError, ValidationError
from datastores.ledger import AccountKind, Entry, ExchangeFunds, Fee, Outcome, QuoteDocument
from datastores.ledger.accounts import new_account
from datastores.mongo import Document

NOW = datetime(2026, 1, 1)
# One of each number of decimals: 0, 2, 3 and 4.
CURRENCIES = ("JPY", "EUR", "KWD", "CLF")
PURSE = 10**15
pairs = st.sampled_from(list(permutations(CURRENCIES, 2)))
amounts = st.one_of(st.integers(1, 10), st.integers(1, 10**6), st.integers(1, 10**14))
rates = st.decimals("0.000001", "1000000", allow_nan=False, places=8)
wishes = st.tuples(pairs, amounts, rates, st.booleans(), st.integers(0, 10_000))


def quote(number: int, pair: tuple[str, str], amount: int, rate: Decimal, sells: bool, basis: int) -> QuoteDocument:
    sell, buy = pair
    swap = ledger.swapped(rate, sell, buy, **({"sold": amount} if sells else {"bought": amount}))
    return {
        "_id": f"quo_{number}",
        "owner_id": "ann",
        "sell": ledger.money(swap.sold, sell),
        "buy": ledger.money(swap.bought, buy),
        "fee": ledger.money(Fee(basis).of(swap.sold, sell), sell),
        "rate": str(rate),
        "rate_as_of": NOW,
        "rate_source": "test",
        "taken": swap.taken,
        "given": swap.given,
        "created_at": NOW,
        "expires_at": NOW + timedelta(seconds=30),
        "is_open": True,
        "used_by": None,
    }


class Batch:
    """A ledger that is one batch in memory, where every currency has a full wallet; nothing else is there before."""

    def __init__(self) -> None:
        self.work = Work(NOW)
        self.posted: dict[str, tuple[str, int]] = {}
        for currency in CURRENCIES:
            wallet = new_account(ledger.wallet_id("ann", currency), AccountKind.WALLET, currency, NOW, "ann")
            self.add("accounts", {**wallet, "posted": PURSE})
            self.posted[wallet["_id"]] = (currency, PURSE)

    def add(self, collection: str, document: Document) -> None:
        self.work.add_read(by_id(collection, document["_id"]), [document])

    def submit(self, act: Act[Outcome]) -> Entry:
        """Decide an act after all others; the entry, whose legs sum to zero in each currency."""
        for read in (read for reads in act.reads(self.work) for read in reads):
            if (missing := self.work.has_read(read)) is not None:
                self.work.add_read(missing, ())
        overlay = self.work.overlay()
        entry = act.decide(overlay).accepted()
        overlay.merge()
        sums: Counter[str] = Counter()
        for leg in entry["legs"]:
            sums[leg["currency"]] += leg["delta"]
            self.posted[leg["account_id"]] = (leg["currency"], leg["posted_after"])
        assert not any(sums.values())
        return entry

    def sums(self) -> Counter[str]:
        """What all accounts of each currency hold together."""
        sums: Counter[str] = Counter()
        for currency, posted in self.posted.values():
            sums[currency] += posted
        return sums

    def kinds(self, word: str) -> list[int]:
        """What the system's accounts of a kind hold."""
        return [posted for id, (_, posted) in self.posted.items() if id.startswith(f"acct_{word}_")]


@given(st.lists(wishes, min_size=1, max_size=8))
def test_nothing_is_lost_and_undoing_all_leaves_nothing(asked: list[Any]) -> None:
    batch = Batch()
    whole = batch.sums()
    entries: list[Entry] = []
    for number, wish in enumerate(asked):
        try:
            made = quote(number, *wish)
        except ValidationError:
            continue
        batch.add("quotes", {**made})
        try:
            command = ledger.command("ann", f"k{number}", "exchangeFunds", {"quote_id": made["_id"]})
            entries.append(batch.submit(ExchangeFunds(command, made)))
        except (InsufficientFundsError, LimitExceededError):
            continue
        assert batch.sums() == whole
        assert min([0, *batch.kinds("fees"), *batch.kinds("rounding")]) == 0
    # An exchange leaves at most one minor unit to rounding.
    assert sum(batch.kinds("rounding")) <= len(entries)

    for entry in reversed(entries):
        undone = batch.submit(ledger.reversal(entry, "It was a mistake"))
        assert undone["amount"] == entry["amount"]
        assert batch.sums() == whole

    held = {id: posted for id, (_, posted) in batch.posted.items() if posted}
    assert held == {ledger.wallet_id("ann", currency): PURSE for currency in CURRENCIES}


@given(wishes)
def test_a_quote_is_used_once_and_reversed_once(wish: Any) -> None:
    batch = Batch()
    try:
        made = quote(1, *wish)
    except ValidationError:
        return
    batch.add("quotes", {**made})
    try:
        entry = batch.submit(ExchangeFunds(ledger.command("ann", "k1", "exchangeFunds", {}), made))
    except (InsufficientFundsError, LimitExceededError):
        return

    with pytest.raises(ConflictError):
        batch.submit(ExchangeFunds(ledger.command("ann", "k2", "exchangeFunds", {}), made))

    reversal = ledger.reversal(entry, "It was a mistake")
    assert batch.submit(reversal) == batch.submit(reversal)
