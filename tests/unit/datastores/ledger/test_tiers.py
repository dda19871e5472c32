"""The table of limits: every currency has its size, every tier allows more than the one before it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from datastores.ledger import EXPONENTS, MAX_MINOR_UNITS, Limits, Tier, limits_of
from datastores.ledger.tiers import power_of
from gateway.settings import DefaultTier

WINDOWS = ("per_transaction", "per_day", "per_30_days", "max_balance")


@pytest.mark.parametrize("currency", EXPONENTS)
def test_a_currency_has_whole_limits_that_fit_64_bits(currency: str) -> None:
    for tier in (Tier.UNVERIFIED, Tier.BASIC, Tier.VERIFIED):
        limits = limits_of(tier, currency)
        for window in WINDOWS:
            assert 0 < getattr(limits, window) <= MAX_MINOR_UNITS
        assert limits.per_transaction <= limits.per_day <= limits.per_30_days  # type: ignore[operator]
    for less, more in pairwise((Tier.UNVERIFIED, Tier.BASIC, Tier.VERIFIED)):
        assert all(getattr(limits_of(less, currency), w) < getattr(limits_of(more, currency), w) for w in WINDOWS)


@pytest.mark.parametrize("currency", EXPONENTS)
def test_a_business_is_bounded_by_64_bits_alone(currency: str) -> None:
    assert limits_of(Tier.BUSINESS, currency) == Limits()


# European Central Bank, reference rates of 2026-10-30: so much of the currency for one euro.
RATES = {
    "AUD": 1.5904,
    "BRL": 6.0692,
    "CAD": 1.5606,
    "CHF": 0.9194,
    "CNY": 7.4326,
    "CZK": 24.353,
    "DKK": 7.4735,
    "EUR": 1,
    "GBP": 0.8338,
    "HKD": 8.7652,
    "HUF": 366.33,
    "IDR": 20275.17,
    "ILS": 3.495,
    "INR": 106.084,
    "ISK": 136,
    "JPY": 175.68,
    "KRW": 1491.76,
    "MXN": 21.1237,
    "MYR": 4.5325,
    "NOK": 10.312,
    "NZD": 1.9823,
    "PHP": 71.143,
    "PLN": 4.4038,
    "RON": 5.3447,
    "SEK": 10.978,
    "SGD": 1.4282,
    "THB": 37.683,
    "TRY": 55.8015,
    "USD": 1.1172,
    "ZAR": 18.6455,
}


@pytest.mark.parametrize(("currency", "rate"), RATES.items())
def test_a_limit_is_right_to_a_factor_of_the_root_of_ten(currency: str, rate: float) -> None:
    assert 10**-0.5 <= 10 ** power_of(currency) / rate <= 10**0.5


def test_a_thousand_euros_are_not_a_thousand_of_anything_else() -> None:
    allowed = {code: limits_of(Tier.BASIC, code).per_transaction for code in ("EUR", "JPY", "VND", "KWD", "CLF", "IRR")}

    assert allowed == {
        "EUR": 1_000_00,
        "JPY": 100_000,
        "VND": 10_000_000,
        "KWD": 1_000_000,
        "CLF": 10_0000,
        "IRR": 1_000_000_000_00,
    }


def test_the_setting_names_the_tiers() -> None:
    assert [tier.value.upper() for tier in DefaultTier] == [tier.value for tier in Tier]
