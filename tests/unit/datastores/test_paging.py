"""Cursors stay good for ever, and are of one list alone."""

from __future__ import annotations

from datetime import datetime

import pytest

from datastores.errors import ValidationError
from datastores.paging import decode_cursor, encode_cursor, window

STORED = "ROe3pexbN10"
STORED_WITH_TIME = "rU6lx3pbMTc2NzMyMzA0NTY3OCwicG9zdF8wMUpEMDAwMDAwMDAwMDAwMDAwMDAwMDAwMCJd"
CONVERSATION = "conversation/cnv_01JD0000000000000000000000"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000)  # documents hold naive UTC
POST = "post_01JD0000000000000000000000"


def test_cursors_that_clients_have_stored_stay_good() -> None:
    assert encode_cursor(CONVERSATION, 7) == STORED
    assert decode_cursor(CONVERSATION, STORED, int) == (7,)
    assert encode_cursor("posts/", MOMENT, POST) == STORED_WITH_TIME
    assert decode_cursor("posts/", STORED_WITH_TIME, datetime, str) == (MOMENT, POST)


@pytest.mark.parametrize(
    ("scope", "cursor"),
    [
        ("conversation/cnv_01JD0000000000000000000001", STORED),
        ("inbox/usr_01JD0000000000000000000000", STORED),
        (CONVERSATION, STORED_WITH_TIME),
        (CONVERSATION, STORED[:-1]),
        (CONVERSATION, STORED + "A"),
        (CONVERSATION, STORED + "!"),
        (CONVERSATION, " " + STORED),
        (CONVERSATION, STORED[:4] + "\n" + STORED[4:]),
        (CONVERSATION, ""),
        (CONVERSATION, "ü"),
        (CONVERSATION, "A" * 401),
    ],
)
def test_what_is_not_a_cursor_of_the_list_is_refused(scope: str, cursor: str) -> None:
    with pytest.raises(ValidationError):
        decode_cursor(scope, cursor, int)


@pytest.mark.parametrize(
    "given",
    [
        {"first": -1},
        {"first": 101},
        {"last": -1},
        {"last": 101},
        {"first": 1, "last": 1},
        {"after": STORED, "before": STORED},
        {"first": 1, "before": STORED},
        {"last": 1, "after": STORED},
    ],
    ids=str,
)
def test_arguments_that_cannot_be_met_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        window(CONVERSATION, int, **given)  # type: ignore[arg-type]


def test_without_a_size_a_window_is_of_20() -> None:
    assert (window(CONVERSATION, int).size, window(CONVERSATION, int, before=STORED).size) == (20, 20)
