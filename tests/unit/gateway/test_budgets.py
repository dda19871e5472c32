"""Budgets: what is taken, what comes back and when, whose it is, and how many are remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import budgets
from gateway.budgets import Budgets, CostLimits, client_of
from gateway.execution.requests import RequestError
from gateway.identity.identities import ANONYMOUS, Partner, Person

ALICE = ("person", "https://login.example.org", "alice")
BOB = ("person", "https://login.example.org", "bob")
LIMITS = CostLimits(per_request=500, bucket=1_000, restore_per_s=100)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def buckets(clock: Clock) -> Budgets:
    return Budgets(LIMITS, now=clock)


def refused(buckets: Budgets, cost: int) -> RequestError:
    with pytest.raises(RequestError) as refusal:
        buckets.take(ALICE, cost)
    return refusal.value


def test_a_bucket_empties_and_fills_again(buckets: Budgets, clock: Clock) -> None:
    buckets.take(ALICE, 600)
    buckets.take(ALICE, 400)
    assert buckets.state(ALICE) == {"left": 0, "limit": 1_000, "restoreRate": 100}

    clock.now += 2.5
    assert buckets.state(ALICE)["left"] == 250

    clock.now += 3600
    assert buckets.state(ALICE)["left"] == 1_000


def test_a_refusal_takes_nothing_and_says_when_to_come_back(buckets: Budgets, clock: Clock) -> None:
    buckets.take(ALICE, 900)

    refusal = refused(buckets, 350)

    (error,) = refusal.errors
    assert (refusal.code, refusal.status, refusal.headers) == ("RATE_LIMITED", 429, {"Retry-After": "3"})
    assert error["extensions"] == {
        "code": "RATE_LIMITED",
        "retryAfterSeconds": 3,
        "cost": {"requested": 350, "left": 100, "limit": 1_000, "restoreRate": 100},
    }
    clock.now += 2.4
    assert refused(buckets, 350).headers == {"Retry-After": "1"}
    clock.now += 0.1
    buckets.take(ALICE, 350)


def test_what_was_not_used_comes_back(buckets: Budgets) -> None:
    buckets.take(ALICE, 500)

    buckets.give_back(ALICE, 480)
    assert buckets.state(ALICE)["left"] == 980
    buckets.give_back(ALICE, -300)
    assert buckets.state(ALICE)["left"] == 980
    buckets.give_back(ALICE, 5_000)
    assert buckets.state(ALICE)["left"] == 1_000
    assert len(buckets) == 0


def test_an_empty_bucket_lets_nothing_be_read(buckets: Budgets, clock: Clock) -> None:
    buckets.check(ALICE)
    buckets.charge(ALICE, 5_000)

    with pytest.raises(RequestError, match="try again in 1 s"):
        buckets.check(ALICE)
    clock.now += 0.02
    buckets.check(ALICE)


def test_one_operation_may_not_ask_for_more_than_its_limit(buckets: Budgets) -> None:
    buckets.check_cost(500)

    with pytest.raises(RequestError, match="its cost is 501, at most 500") as refusal:
        buckets.check_cost(501)
    assert refusal.value.code == "QUERY_TOO_COMPLEX"


def test_nobody_pays_for_others(buckets: Budgets) -> None:
    buckets.take(ALICE, 1_000)

    buckets.take(BOB, 1_000)


def test_the_clients_that_asked_last_are_remembered(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "MAX_CLIENTS", 10)
    buckets = Budgets(LIMITS, now=clock)
    buckets.take(ALICE, 700)

    for number in range(50):
        buckets.take(("address", f"192.0.2.{number}"), 10)
        if number < 45:
            buckets.charge(ALICE, 1)

    assert len(buckets) == 10
    assert buckets.state(ALICE)["left"] == 1_000 - 700 - 45
    assert buckets.state(("address", "192.0.2.0"))["left"] == 1_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("no:address", "no:address", True),
        ("no:address", "no:other", False),
        (None, None, True),
    ],
)
def test_nobody_in_particular_pays_by_their_network(one: str | None, other: str | None, same: bool) -> None:
    assert (client_of(ANONYMOUS, one) == client_of(ANONYMOUS, other)) is same


def test_people_and_partners_pay_wherever_they_are() -> None:
    alice = Person("https://login.example.org", "alice", None, None, 0.0)
    stranger = Person("https://other.example.org", "alice", None, None, 0.0)
    key = Partner("ptn_1", "key_1", frozenset())

    assert client_of(alice, "192.0.2.1") == client_of(alice, "192.0.2.2") == ALICE
    assert client_of(stranger, None) != ALICE
    assert client_of(key, "192.0.2.1") == ("partner", "key_1")


@given(st.lists(st.tuples(st.sampled_from(["take", "charge", "give_back", "wait"]), st.integers(0, 1_500))))
def test_a_bucket_never_holds_more_than_its_limit_or_less_than_nothing(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    buckets = Budgets(LIMITS, now=clock)
    granted, began = 0, clock.now

    for act, amount in steps:
        if act == "wait":
            clock.now += amount / 100
        elif act == "take":
            try:
                buckets.take(ALICE, amount)
                granted += amount
            except RequestError:
                assert buckets.state(ALICE)["left"] < amount
        elif act == "charge":
            buckets.charge(ALICE, amount)
        else:
            back = min(amount, granted)
            buckets.give_back(ALICE, back)
            granted -= back
        assert 0 <= buckets.state(ALICE)["left"] <= LIMITS.bucket

    assert granted <= LIMITS.bucket + (clock.now - began) * LIMITS.restore_per_s + 1e-6
