"""What is said of rails without a database: when to ask again, which lines are no lines, sums, and which accounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores.errors import ValidationError
from datastores.ledger import MAX_MINOR_UNITS
from datastores.mongo import Database
from datastores.wallets import LineKind, Rail, RailDirection, StatementLine, connected_rails, rail_account
from datastores.wallets.instructions import ask_delay
from datastores.wallets.reconciliation.movements import Totals

NOON = datetime(2026, 3, 14, 12)


def line(**changes: Any) -> StatementLine:
    given: dict[str, Any] = {
        "reference": "r1",
        "id": "ent_1",
        "kind": LineKind.SETTLED,
        "direction": RailDirection.IN,
        "amount": {"minor_units": 1, "currency": "EUR"},
        "value_at": NOON,
    }
    return StatementLine(**{**given, **changes})


def rails() -> Mapping[str, Rail]:
    return connected_rails({"sandbox"}, cast(Database, None), lambda: NOON)


def test_the_time_until_it_is_asked_again_doubles_up_to_an_hour() -> None:
    delays = [ask_delay(n).total_seconds() for n in range(1, 1_000)]

    assert delays[:6] == [5, 10, 20, 40, 80, 160]
    assert all(before <= after <= 3_600 for before, after in pairwise(delays))
    assert delays[-1] == 3_600


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference": ""},
        {"reference": "x" * 201},
        {"id": "x" * 201},
        {"amount": {"minor_units": 0, "currency": "EUR"}},
        {"amount": {"minor_units": -1, "currency": "EUR"}},
        {"amount": {"minor_units": MAX_MINOR_UNITS + 1, "currency": "EUR"}},
        {"amount": {"minor_units": 1, "currency": "XXX"}},
    ],
)
def test_a_line_that_is_none(wrong: dict[str, Any]) -> None:
    line()

    with pytest.raises(ValueError, match=r"a reference has|is no money"):
        line(**wrong)


def test_which_rail_and_account_are_meant() -> None:
    assert rail_account("sandbox:slow-refuse", rails=rails()) == ("sandbox", "slow-refuse")

    for text, said in (
        ("sandbox:what", "Known are sandbox:ok"),
        ("bank:1", "Begin with the rail: sandbox:"),
        ("", "Begin"),
    ):
        with pytest.raises(ValidationError, match=said):
            rail_account(text, "source", rails=rails())
    with pytest.raises(ValidationError, match="No rail is connected"):
        rail_account("sandbox:ok", "source", rails=connected_rails(set(), cast(Database, None), lambda: NOON))


@given(st.lists(st.tuples(st.sampled_from(["EUR", "JPY"]), st.sampled_from(RailDirection), st.integers(1, 2**63 - 1))))
def test_sums_are_exact_past_64_bits_and_do_not_depend_on_the_order(rows: list[tuple[str, RailDirection, int]]) -> None:
    one, other = Totals(), Totals()
    for currency, direction, units in rows:
        one.add(currency, direction, 1, units)
    for currency, direction, units in reversed(rows):
        other.add(currency, direction, 1, units)

    assert one == other
    assert one.count == len(rows)
    for currency in one.currencies:
        shown = one.as_document(currency)
        assert shown["in"]["minor_units"] == str(sum(u for c, d, u in rows if (c, d) == (currency, RailDirection.IN)))
