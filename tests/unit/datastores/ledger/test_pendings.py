"""A replay knows what is left of each reserve, and which resolution takes too much, comes twice, or ends too early."""

from __future__ import annotations

from typing import Any, cast

import pytest

from datastores.ledger.entries import Entry
from datastores.ledger.pendings import Pendings


def entry(state: str, kind: str, amount: int, *, final: bool = False, sign: int = 1) -> Entry:
    legs: list[dict[str, Any]] = [
        {"account_id": "payer", "delta": -sign * amount},
        {"account_id": "payee", "delta": sign * amount},
    ]
    pending_id = None if state == "PENDING" else "hold"
    made = {"_id": "hold", "state": state, "kind": kind, "amount": amount, "pending_id": pending_id, "final": final}
    return cast(Entry, {**made, "legs": legs})


HOLD = entry("PENDING", "HOLD", 10)


def capture(amount: int, *, final: bool = False, state: str = "POSTED") -> Entry:
    return entry(state, "CAPTURE", amount, final=final)


def void(amount: int, *, final: bool = True) -> Entry:
    return entry("POSTED", "VOID", amount, final=final, sign=-1)


@pytest.mark.parametrize(
    "entries",
    [
        [HOLD],
        [HOLD, capture(10, final=True)],
        [HOLD, capture(4), capture(6, final=True)],
        [HOLD, capture(4), void(6)],
        [HOLD, void(10)],
        [HOLD, capture(99, state="REFUSED"), void(10)],
    ],
)
def test_what_holds(entries: list[Entry]) -> None:
    pendings = Pendings()

    assert [problem for each in entries for problem in pendings.take(each)] == []


@pytest.mark.parametrize(
    ("entries", "problems"),
    [
        ([capture(1)], ["not reserved"]),
        ([HOLD, capture(11, final=True)], ["more than was left", "with a rest"]),
        ([HOLD, capture(6), capture(6, final=True)], ["more than was left", "with a rest"]),
        ([HOLD, capture(-1)], ["more than was left"]),
        ([HOLD, capture(6), void(5)], ["more than was left", "with a rest"]),
        ([HOLD, capture(10)], ["not the end"]),
        ([HOLD, capture(9, final=True)], ["with a rest"]),
        ([HOLD, void(10), void(10)], ["resolved before"]),
        ([HOLD, void(10), capture(1)], ["resolved before"]),
        ([HOLD, capture(10, final=True), void(0)], ["resolved before"]),
    ],
)
def test_what_does_not(entries: list[Entry], problems: list[str]) -> None:
    pendings = Pendings()

    found = [problem for each in entries for problem in pendings.take(each)]

    assert len(found) == len(problems)
    assert all(part in problem for part, problem in zip(problems, found, strict=True))


def test_what_is_left_is_what_accounts_have_reserved() -> None:
    pendings = Pendings()

    for each in (HOLD, capture(4)):
        assert list(pendings.take(each)) == []

    assert pendings.reserved() == {"payer": (6, 0), "payee": (0, 6)}
    assert pendings.settled == {"hold": 4}
