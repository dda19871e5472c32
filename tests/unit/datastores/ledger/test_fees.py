"""Fees: a share rounded down, at least the minimum of the currency; and how a setting spells one."""

from __future__ import annotations

import pytest

from datastores.ledger import MAX_MINOR_UNITS, NO_FEES, Fee, FeeSchedule, fee_of_text


@pytest.mark.parametrize(
    ("fee", "amount", "currency", "expected"),
    [
        (Fee(50), 10_000, "EUR", 50),
        (Fee(50), 199, "EUR", 0),
        (Fee(50), 200, "EUR", 1),
        (Fee(50, (("EUR", 10),)), 200, "EUR", 10),
        (Fee(50, (("EUR", 10),)), 200, "JPY", 1),
        (Fee(50, (("EUR", 10),)), 10_000, "EUR", 50),
        (Fee(10_000), MAX_MINOR_UNITS, "EUR", MAX_MINOR_UNITS),
        (Fee(1), MAX_MINOR_UNITS, "EUR", MAX_MINOR_UNITS // 10_000),
        (Fee(), 10_000, "EUR", 0),
    ],
)
def test_a_fee_is_a_share_and_at_least_its_minimum(fee: Fee, amount: int, currency: str, expected: int) -> None:
    assert fee.of(amount, currency) == expected


def test_only_an_exchange_costs_anything_unless_it_is_set() -> None:
    assert FeeSchedule() == FeeSchedule(exchange=Fee(50), withdrawal=Fee(0), sale=Fee(0))
    assert {NO_FEES.exchange, NO_FEES.withdrawal, NO_FEES.sale} == {Fee()}


def test_a_setting_has_a_share_and_minimums() -> None:
    assert fee_of_text("50") == Fee(50)
    assert fee_of_text("0, EUR 0.25, JPY 40,KWD 0.100") == Fee(0, (("EUR", 25), ("JPY", 40), ("KWD", 100)))


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0.5", "10001", "50, EUR", "50, EUR 0.001", "50, XXQ 1", "50, EUR 1, EUR 2", "50,"]
)
def test_what_is_no_fee_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|has"):
        fee_of_text(text)
