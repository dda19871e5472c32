"""Rounding of exchanges: each currency sums to zero, nobody gains more than a fraction, at any rate and size."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from datastores.errors import ValidationError
from datastores.ledger import EXPONENTS, MAX_MINOR_UNITS, Rate, Swap, decimal_amount, swapped
from datastores.wallets import SandboxRates

NOW = datetime(2026, 1, 1)
# One of each number of decimals: 0, 2, 3 and 4.
CURRENCIES = ("JPY", "EUR", "KWD", "CLF")
amounts = st.one_of(st.integers(1, 10), st.integers(1, 10**9), st.integers(MAX_MINOR_UNITS - 10**6, MAX_MINOR_UNITS))
rates = st.decimals("0.000000000001", "1000000000000", allow_nan=False, places=12)


def taken_apart(swap: Swap, worth: Fraction) -> tuple[int, int]:
    """What rounding leaves over of either currency, once all that must hold of the swap does."""
    left_sold, left_bought = swap.sold - swap.taken, swap.given - swap.bought
    # Legs: customer −sold, exchange +taken, rounding the rest; exchange −given, customer +bought, rounding the rest.
    assert -swap.sold + swap.taken + left_sold == 0
    assert -swap.given + swap.bought + left_bought == 0
    assert left_sold in (0, 1)
    assert left_bought in (0, 1)
    assert 0 in (left_sold, left_bought)
    # What the exchange accounts move is worth the same within half a minor unit of the rounded currency.
    assert min(abs(swap.given - swap.taken * worth), abs(swap.taken - swap.given / worth)) <= Fraction(1, 2)
    # The customer never gets more than what they give is worth.
    assert swap.bought <= swap.sold * worth
    return left_sold, left_bought


@pytest.mark.parametrize("sell", CURRENCIES)
@pytest.mark.parametrize("buy", CURRENCIES)
@given(rate=rates, amount=amounts, sells=st.booleans())
def test_nothing_is_lost_and_nothing_made(sell: str, buy: str, rate: Decimal, amount: int, sells: bool) -> None:
    worth = Fraction(rate) * Fraction(10) ** (EXPONENTS[buy] - EXPONENTS[sell])
    try:
        swap = swapped(rate, sell, buy, sold=amount) if sells else swapped(rate, sell, buy, bought=amount)
    except ValidationError:
        exact = amount * worth if sells else amount / worth
        assert exact < 1 or exact > MAX_MINOR_UNITS - 1
        return

    taken_apart(swap, worth)

    assert max(swap.sold, swap.bought, swap.taken, swap.given) <= MAX_MINOR_UNITS
    # One unit less would be too little, or one unit more too much: the rounding is the smallest that there is.
    if sells:
        assert (swap.sold, swap.bought + 1 > amount * worth) == (amount, True)
    else:
        assert (swap.bought, (swap.sold - 1) * worth < amount) == (amount, True)


@pytest.mark.parametrize(
    ("rate", "sell", "buy", "amount", "swap"),
    [
        ("1.1720", "EUR", "USD", {"sold": 10_000}, Swap(10_000, 11_720, 10_000, 11_720)),
        ("1.1725", "EUR", "USD", {"sold": 101}, Swap(101, 118, 101, 118)),
        ("1.1725", "EUR", "USD", {"sold": 107}, Swap(107, 125, 107, 125)),
        ("1.1725", "EUR", "USD", {"sold": 103}, Swap(103, 120, 103, 121)),
        ("183.5", "EUR", "JPY", {"sold": 1}, Swap(1, 1, 1, 2)),
        ("183.5", "EUR", "JPY", {"bought": 1}, Swap(1, 1, 1, 1)),
        ("183.5", "EUR", "JPY", {"bought": 2}, Swap(2, 2, 1, 2)),
        ("0.001", "JPY", "KWD", {"sold": 7}, Swap(7, 7, 7, 7)),
        ("0.5", "EUR", "USD", {"sold": 5}, Swap(5, 2, 5, 2)),
        ("0.5", "EUR", "USD", {"sold": 7}, Swap(7, 3, 7, 4)),
    ],
)
def test_what_is_asked_for_is_exact_and_the_other_is_rounded_against_nobody(
    rate: str, sell: str, buy: str, amount: dict[str, int], swap: Swap
) -> None:
    assert swapped(Decimal(rate), sell, buy, **amount) == swap


@pytest.mark.parametrize(
    ("rate", "amount", "message"),
    [
        ("0.001", {"sold": 999}, "less than the smallest amount"),
        ("2", {"sold": MAX_MINOR_UNITS}, "too large"),
        ("0.5", {"bought": MAX_MINOR_UNITS}, "too large"),
    ],
)
def test_what_is_too_little_or_too_much_is_refused(rate: str, amount: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        swapped(Decimal(rate), "EUR", "USD", **amount)


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity", "1e31", "1e-31", "1." + "1" * 30])
def test_what_is_no_rate_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        Rate(Decimal(value), NOW, "test")


@given(st.data())
def test_there_and_back_through_the_sandbox_never_gains(data: st.DataObject) -> None:
    sell, buy = (data.draw(st.sampled_from(["EUR", "USD", "JPY", "KWD", "CLF", "VND"])) for _ in range(2))
    assume(sell != buy)
    there, back = (asyncio.run(SandboxRates().rate(*pair)) for pair in ((sell, buy), (buy, sell)))
    assert there is not None
    assert back is not None
    amount = data.draw(st.integers(1, 10**12))
    try:
        bought = swapped(there.value, sell, buy, sold=amount).bought
        returned = swapped(back.value, buy, sell, sold=bought).bought
    except ValidationError:
        return

    # Each of the two rates is rounded to 12 digits.
    assert returned <= amount * (1 + Decimal("1e-11"))


def test_the_sandbox_knows_currencies_of_all_sizes_and_no_others() -> None:
    rate = asyncio.run(SandboxRates().rate("USD", "JPY"))
    assert rate is not None
    assert (rate.value, rate.source) == (Decimal("156.569965870"), "sandbox")
    assert decimal_amount(swapped(rate.value, "USD", "JPY", sold=100).bought, "JPY") == 156
    assert asyncio.run(SandboxRates().rate("EUR", "XAU")) is None
