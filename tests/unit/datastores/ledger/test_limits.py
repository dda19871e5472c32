"""Limits over days of ledger time: around midnight, at the end of 30 days, and against a model that forgets nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores.ledger import MAX_MINOR_UNITS, EntryKind, Tier, limits_of, outgoing_refusal, spent_in_30_days, spent_on
from datastores.ledger.accounts import AccountKind, Effect, new_account
from datastores.ledger.limits import (
    BOUNDED,
    COUNTED,
    given_back,
    incoming_refusal,
    overflow_refusal,
    spent_after,
    spent_more,
)

NOON = datetime(2026, 3, 31, 12)
MIDNIGHT = datetime(2026, 4, 1)
BASIC = limits_of(Tier.BASIC, "EUR")
PER_DAY, PER_30_DAYS = BASIC.per_day or 0, BASIC.per_30_days or 0
PER_TRANSACTION = BASIC.per_transaction or 0


def wallet(spent: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    return {**new_account("wal", AccountKind.WALLET, "EUR", NOON, "ann"), "spent": spent or {}, **more}


def refusal(account: dict[str, Any], amount: int, at: datetime) -> tuple[str, int, datetime | None] | None:
    error = outgoing_refusal(account, amount, at, Tier.BASIC)
    if error is None:
        return None
    return error.details["window"], error.details["limit"]["minor_units"], error.details["frees_at"]


def test_kinds_that_count_are_kinds_of_entries() -> None:
    assert {*COUNTED, *BOUNDED} < {kind.value for kind in EntryKind}
    assert EntryKind.TRANSFER in COUNTED
    assert EntryKind.REFUND not in BOUNDED


def test_exactly_the_limit_may_leave_and_not_one_more() -> None:
    assert refusal(wallet(), PER_TRANSACTION, NOON) is None
    assert refusal(wallet(), PER_TRANSACTION + 1, NOON) == ("transaction", PER_TRANSACTION, None)
    almost = wallet({"2026-03-31": PER_DAY - 1})
    assert refusal(almost, 1, NOON) is None
    assert refusal(almost, 2, NOON) == ("day", PER_DAY, MIDNIGHT)


def test_a_day_ends_at_midnight_of_utc_to_the_millisecond() -> None:
    full = wallet({"2026-03-31": PER_DAY})
    last = MIDNIGHT - timedelta(milliseconds=1)

    assert refusal(full, 1, last) == ("day", PER_DAY, MIDNIGHT)
    assert refusal(full, 1, MIDNIGHT) is None
    assert (spent_on(full, last), spent_on(full, MIDNIGHT)) == (PER_DAY, 0)


def test_30_days_are_a_day_and_the_29_before_it() -> None:
    full = wallet({"2026-03-01": PER_30_DAYS})
    last = datetime(2026, 3, 30, 23, 59, 59, 999_000)

    assert refusal(full, 1, last) == ("30 days", PER_30_DAYS, datetime(2026, 3, 31))
    assert refusal(full, 1, datetime(2026, 3, 31)) is None


def test_a_day_that_is_full_frees_when_the_30_days_do_too() -> None:
    spent = {"2026-03-10": PER_30_DAYS - PER_DAY, "2026-03-31": PER_DAY}

    assert refusal(wallet(spent), 1, NOON) == ("day", PER_DAY, datetime(2026, 4, 9))


def test_a_transaction_comes_before_a_day_and_a_day_before_30() -> None:
    full = wallet({"2026-03-31": PER_30_DAYS})

    assert refusal(full, PER_TRANSACTION + 1, NOON) == ("transaction", PER_TRANSACTION, None)
    assert refusal(full, 1, NOON) == ("day", PER_DAY, datetime(2026, 4, 30))


def test_the_tier_of_the_account_comes_before_the_default() -> None:
    amount = PER_TRANSACTION + 1

    assert outgoing_refusal(wallet(tier="VERIFIED"), amount, NOON, Tier.UNVERIFIED) is None
    assert outgoing_refusal(wallet(tier="BASIC"), amount, NOON, Tier.BUSINESS) is not None
    assert outgoing_refusal(wallet(), amount, NOON, Tier.BUSINESS) is None
    assert outgoing_refusal(wallet(owner_id=None), amount, NOON, Tier.UNVERIFIED) is None


def test_a_balance_counts_what_is_on_its_way_and_is_not_told() -> None:
    most = BASIC.max_balance or 0
    account = wallet(posted=most - 30, pending_in=20)

    assert incoming_refusal(account, 10, Tier.BASIC) is None
    refused = incoming_refusal(account, 11, Tier.BASIC)
    assert refused is not None
    assert refused.details == {"limit": {"minor_units": most, "currency": "EUR"}, "window": "balance", "frees_at": None}
    assert str(most - 30) not in refused.message


def test_the_sum_of_a_day_stays_within_64_bits_without_any_limit() -> None:
    account = wallet({"2026-03-31": MAX_MINOR_UNITS - 5})

    assert overflow_refusal(account, 5, NOON) is None
    refused = overflow_refusal(account, 6, NOON)
    assert refused is not None
    assert (refused.details["window"], refused.details["frees_at"]) == ("day", MIDNIGHT)


@pytest.mark.parametrize("made_at", [NOON, NOON - timedelta(days=29), NOON - timedelta(days=30)])
def test_what_is_given_back_is_taken_off_the_day_on_which_it_left(made_at: datetime) -> None:
    spent = spent_more(spent_more({}, 7, made_at), 5, NOON)

    after = given_back(spent, 7, made_at)

    assert after == {"2026-03-31": 5}


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3 * 24 * 60 * 60 * 1000),
        st.integers(1, PER_TRANSACTION + 100),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_sums_are_those_of_a_model_that_forgets_nothing(steps: list[tuple[int, int, int]]) -> None:
    account, now = wallet(), NOON
    history: list[tuple[datetime, int]] = []
    for milliseconds, amount, undo in steps:
        now += timedelta(milliseconds=milliseconds)
        first = (now - timedelta(days=29)).date()
        in_30_days = sum(a for at, a in history if at.date() >= first)
        today = sum(a for at, a in history if at.date() == now.date())

        assert (spent_on(account, now), spent_in_30_days(account, now)) == (today, in_30_days)
        refused = refusal(account, amount, now)
        if amount > PER_TRANSACTION:
            assert refused is not None
            assert refused[0] == "transaction"
        elif today + amount > PER_DAY:
            assert refused is not None
            assert refused[0] == "day"
        elif in_30_days + amount > PER_30_DAYS:
            assert refused is not None
            assert refused[0] == "30 days"
        else:
            assert refused is None
            account["spent"] = spent_more(account["spent"], amount, now)
            history.append((now, amount))
        if refused is not None and refused[2] is not None:
            frees_at = refused[2]
            assert refusal(account, amount, frees_at) is None
            assert refusal(account, amount, frees_at - timedelta(milliseconds=1)) is not None
        if undo == 3 and history:
            at, left = history.pop(len(history) // 2)
            account["spent"] = given_back(account["spent"], left, at)
        assert len(account["spent"]) <= 30


def test_an_account_keeps_at_most_30_days() -> None:
    spent: Any = {}
    for day in range(100):
        spent = spent_more(spent, 1, NOON + timedelta(days=day))

    assert len(spent) == 30


HELD = {"kind": "HOLD", "created_at": NOON - timedelta(days=1)}


@pytest.mark.parametrize(
    ("kind", "effect", "delta", "reserve", "expected"),
    [
        ("TRANSFER", Effect.POST, -4, None, {"2026-03-30": 9, "2026-03-31": 4}),
        ("TRANSFER", Effect.POST, 4, None, None),
        ("HOLD", Effect.RESERVE, -4, None, {"2026-03-30": 9, "2026-03-31": 4}),
        ("WITHDRAWAL", Effect.RESERVE, -4, None, {"2026-03-30": 9, "2026-03-31": 4}),
        ("EXCHANGE", Effect.POST, -4, None, {"2026-03-30": 9, "2026-03-31": 4}),
        ("TOP_UP", Effect.RESERVE, 4, None, None),
        ("WITHDRAWAL", Effect.SETTLE, -4, HELD, None),
        ("CAPTURE", Effect.SETTLE, -4, HELD, None),
        ("REFUND", Effect.POST, -4, None, None),
        ("REVERSAL", Effect.POST, -4, None, None),
        ("VOID", Effect.RELEASE, 4, HELD, {"2026-03-30": 5}),
        ("VOID", Effect.RELEASE, 9, HELD, {}),
        ("VOID", Effect.RELEASE, -4, {**HELD, "kind": "TOP_UP"}, None),
        ("TRANSFER", Effect.NOTHING, -4, None, None),
    ],
)
def test_what_counts(
    kind: str, effect: Effect, delta: int, reserve: dict[str, Any] | None, expected: dict[str, int] | None
) -> None:
    account = wallet({"2026-03-30": 9})

    assert spent_after(account, delta, kind, effect, NOON, reserve) == expected
    assert spent_after({**account, "owner_id": None}, delta, kind, effect, NOON, reserve) is None
