"""Amounts: exact in their currency, never rounded, never past 64 bits."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores.errors import ValidationError
from datastores.ledger import EXPONENTS, MAX_MINOR_UNITS, decimal_amount, minor_units, positive

CURRENCIES = st.sampled_from(sorted(EXPONENTS))


@given(st.integers(-MAX_MINOR_UNITS, MAX_MINOR_UNITS), CURRENCIES)
def test_minor_units_are_the_way_back_of_decimal_amounts(units: int, currency: str) -> None:
    assert minor_units(decimal_amount(units, currency), currency) == units


@given(st.decimals(allow_nan=True, allow_infinity=True), CURRENCIES)
def test_any_decimal_is_exact_or_refused(amount: Decimal, currency: str) -> None:
    try:
        units = minor_units(amount, currency, "amount")
    except ValidationError:
        return
    assert decimal_amount(units, currency) == amount
    assert abs(units) <= MAX_MINOR_UNITS


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("1", "EUR", 100),
        ("1.00", "EUR", 100),
        ("1.000000", "EUR", 100),
        ("-0.01", "EUR", -1),
        ("1500", "JPY", 1_500),
        ("1.001", "IQD", 1_001),
        ("0.0001", "CLF", 1),
        ("92233720368547758.07", "EUR", MAX_MINOR_UNITS),
    ],
)
def test_amounts(amount: str, currency: str, units: int) -> None:
    assert minor_units(Decimal(amount), currency) == units


@pytest.mark.parametrize(
    ("amount", "currency", "part"),
    [
        ("0.001", "EUR", "amount"),
        ("0.1", "JPY", "amount"),
        ("0.0001", "IQD", "amount"),
        ("92233720368547758.08", "EUR", "amount"),
        ("-92233720368547758.08", "EUR", "amount"),
        ("1E3", "EUR", "amount"),
        ("1E-50", "EUR", "amount"),
        ("1E999999", "EUR", "amount"),
        ("9" * 100, "EUR", "amount"),
        ("NaN", "EUR", "amount"),
        ("sNaN", "EUR", "amount"),
        ("-Infinity", "EUR", "amount"),
        ("1", "EURO", "currency"),
        ("1", "HRK", "currency"),
        ("1", "XAU", "currency"),
        ("1", "", "currency"),
    ],
)
def test_refused(amount: str, currency: str, part: str) -> None:
    with pytest.raises(ValidationError) as caught:
        minor_units(Decimal(amount), currency, "price")

    assert caught.value.details["path"] == ["price", part]


@pytest.mark.parametrize("amount", ["0", "-0", "0.00", "-1"])
def test_nothing_is_not_an_amount_to_pay(amount: str) -> None:
    with pytest.raises(ValidationError):
        positive(Decimal(amount), "EUR", "amount")


def test_codes_are_three_letters_and_exponents_are_those_of_the_standard() -> None:
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in EXPONENTS)
    assert {EXPONENTS[code] for code in ("JPY", "KRW", "VND", "ISK", "UYI")} == {0}
    assert {EXPONENTS[code] for code in ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")} == {3}
    assert {EXPONENTS[code] for code in ("CLF", "UYW")} == {4}
    assert len(EXPONENTS) == 165
