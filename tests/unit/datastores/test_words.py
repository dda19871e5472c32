"""Words of a text: folded, bounded, and the beginnings that they are found by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores.words import MAX_PREFIX, MAX_WORD, folded, prefixes, query_words, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The quick, the QUICK fox", ["the", "quick", "fox"]),
        ("under_score-dash don't", ["under", "score", "dash", "don", "t"]),
        ("Straße ＷＩＤＥ ﬁne", ["strasse", "wide", "fine"]),
        ("東京 王小明 💥", ["東京", "王小明"]),
        ("", []),
        ("a" * 100, ["a" * MAX_WORD]),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text, limit=10) == found


def test_no_more_words_than_the_limit() -> None:
    assert words("a b c d", limit=2) == ["a", "b"]


def test_prefixes_are_bounded() -> None:
    assert prefixes(["abc", "ab"]) == ["a", "ab", "abc"]
    assert prefixes(["x" * 40])[-1] == "x" * MAX_PREFIX


def test_a_query_begins_with_its_longest_word() -> None:
    assert query_words("to be in Constantinople") == ["constantinople", "to", "be", "in"]


@given(st.text(max_size=100))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(max_size=100))
def test_every_word_has_itself_as_a_beginning(text: str) -> None:
    found = words(text, limit=50)

    assert {word[:MAX_PREFIX] for word in found} <= set(prefixes(found))
