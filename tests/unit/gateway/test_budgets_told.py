"""What one process tells the others of a client's budget, and what it makes of what it hears."""

from __future__ import annotations

import pytest

from gateway.budgets import MAX_TOLD_AT_ONCE, Budgets, Client, CostLimits
from gateway.execution.requests import RequestError

ANN: Client = ("person", "issuer", "ann")
LIMITS = CostLimits(per_request=1_000, bucket=1_000, restore_per_s=10)


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budgets(clock: Clock) -> Budgets:
    return Budgets(LIMITS, now=clock)


def test_little_is_not_told(budgets: Budgets) -> None:
    for _ in range(9):
        budgets.take(ANN, 1)

    assert not budgets.is_due.is_set()
    assert budgets.tell() == {}


def test_a_hundredth_of_a_bucket_is_told_once(budgets: Budgets) -> None:
    budgets.take(ANN, 4)
    budgets.take(ANN, 40)
    budgets.give_back(ANN, 30)

    assert budgets.is_due.is_set()
    assert budgets.tell() == {ANN: 14}
    assert not budgets.is_due.is_set()
    assert budgets.tell() == {}


def test_what_others_gave_is_missing_here(budgets: Budgets) -> None:
    budgets.take(ANN, 100)
    budgets.tell()
    budgets.take(ANN, 5)

    budgets.hear({ANN: 700})

    assert budgets.state(ANN)["left"] == 295
    with pytest.raises(RequestError):
        budgets.take(ANN, 296)


def test_a_debt_is_paid_off_first(budgets: Budgets, clock: Clock) -> None:
    budgets.hear({ANN: 1_500})

    assert budgets.state(ANN)["left"] == 0
    with pytest.raises(RequestError) as refused:
        budgets.check(ANN)
    assert refused.value.errors[0]["extensions"]["retryAfterSeconds"] == 51
    budgets.charge(ANN, 50)
    clock.time += 50
    with pytest.raises(RequestError):
        budgets.check(ANN)
    clock.time += 1
    budgets.check(ANN)


def test_what_comes_back_is_told_too(budgets: Budgets) -> None:
    budgets.take(ANN, 500)
    budgets.tell()
    budgets.hear({ANN: 500})

    budgets.give_back(ANN, 400)

    assert budgets.tell() == {ANN: -400}


def test_it_tells_of_so_many_at_once(budgets: Budgets) -> None:
    for number in range(MAX_TOLD_AT_ONCE + 1):
        budgets.take(("address", str(number)), 10)

    first, second = budgets.tell(), budgets.tell()

    assert (len(first), len(second)) == (MAX_TOLD_AT_ONCE, 1)
    assert not budgets.is_due.is_set()
