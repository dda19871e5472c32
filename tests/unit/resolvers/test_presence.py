"""Who is taken to be here, by what processes say and when."""

from __future__ import annotations

from resolvers.attention import CALL_HOLDS_S
from resolvers.conversations.presence import LINGER_S, LONG_S, Sightings


def said(sightings: Sightings, process: str, *here: str, now: float) -> dict[str, bool]:
    sightings.note({"process_id": process, "here": list(here)}, now)
    return sightings.changes(now)


def test_whoever_a_process_names_has_come_once() -> None:
    sightings = Sightings()

    assert said(sightings, "one", "ann", "bob", now=0) == {"ann": True, "bob": True}
    assert said(sightings, "two", "ann", now=1) == {}
    assert said(sightings, "one", "ann", "bob", "cem", now=2) == {"cem": True}


def test_whoever_no_process_names_is_gone_after_a_while() -> None:
    sightings = Sightings()
    said(sightings, "one", "ann", now=0)

    assert said(sightings, "one", now=10) == {}
    assert sightings.wait_s(10) == LINGER_S
    assert sightings.changes(10 + LINGER_S) == {"ann": False}
    assert sightings.changes(20 + LINGER_S) == {}
    assert sightings.wait_s(20) == LONG_S


def test_whoever_goes_from_one_process_to_another_was_here_all_the_while() -> None:
    sightings = Sightings()
    said(sightings, "one", "ann", now=0)

    assert said(sightings, "one", now=10) == {}
    assert said(sightings, "two", "ann", now=10 + LINGER_S / 2) == {}
    assert sightings.changes(30) == {}


def test_whoever_leaves_one_of_two_processes_is_still_here() -> None:
    sightings = Sightings()
    said(sightings, "one", "ann", now=0)
    said(sightings, "two", "ann", now=0)

    assert said(sightings, "one", now=1) == {}
    assert sightings.changes(1 + 2 * LINGER_S) == {}


def test_a_process_that_says_nothing_any_more_is_believed_for_50_seconds() -> None:
    sightings = Sightings()
    said(sightings, "one", "ann", now=0)

    assert sightings.wait_s(0) == CALL_HOLDS_S
    assert sightings.changes(CALL_HOLDS_S - 1) == {}
    assert sightings.changes(CALL_HOLDS_S) == {}
    assert sightings.changes(CALL_HOLDS_S + LINGER_S) == {"ann": False}
    assert said(sightings, "one", "ann", now=CALL_HOLDS_S + 20) == {"ann": True}
