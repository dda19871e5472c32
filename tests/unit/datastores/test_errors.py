"""Expected errors go from one process to another as they are."""

from __future__ import annotations

import pickle
from datetime import datetime

import pytest

from datastores.errors import ConflictError, ExpectedError, LimitExceededError, TransferRefusedError, ValidationError


@pytest.mark.parametrize(
    "error",
    [
        LimitExceededError("m", limit={"minor_units": 1}, window="day", frees_at=datetime(2026, 1, 1)),
        LimitExceededError("m", limit={"minor_units": 1}, window="balance"),
        ValidationError("m", "amount", "currency"),
        TransferRefusedError("m", code="ACCOUNT_FROZEN"),
        ConflictError("m"),
    ],
    ids=lambda error: error.code,
)
def test_an_error_survives_pickling(error: ExpectedError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), again.code, again.message, again.details) == (
        type(error),
        error.code,
        error.message,
        error.details,
    )


def test_a_limit_that_never_frees_says_so() -> None:
    assert LimitExceededError("m", limit={}, window="balance").details["frees_at"] is None
