"""Hashtags and mentions in a text, and what the text is found by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastores.posts import marks


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("#Berlin in #spring, #berlin again", ["berlin", "spring"]),
        ("(#one) #two. #three! #four", ["one", "two", "three", "four"]),
        ("#Straße #ＷＩＤＥ #東京 #big_event", ["strasse", "wide", "東京", "big_event"]),
        ("#1 #42 # #_ ##double a#b https://x.example/#part /#path &#39; C#", []),
        ("#4ever #2026goals", ["4ever", "2026goals"]),
        ("#" + "a" * 51, []),
        ("#" + "a" * 50, ["a" * 50]),
        ("#a" * 3, ["a"]),
    ],
)
def test_hashtags(text: str, tags: list[str]) -> None:
    assert marks.hashtags_in(text) == tags


@pytest.mark.parametrize(
    ("text", "handles"),
    [
        ("@Ann and @bob_2, (@carol) @ann", ["ann", "bob_2", "carol"]),
        ("mail a@b.example or @@x x@y /@z .@dot @ann@other.example", []),
        ("@" + "a" * 31, []),
        ("@ann's @bob.", ["ann", "bob"]),
        ("@Ünï", []),
    ],
)
def test_mentions(text: str, handles: list[str]) -> None:
    assert marks.mentions_in(text) == handles


def test_both_are_bounded() -> None:
    assert len(marks.hashtags_in(" ".join(f"#tag{n}" for n in range(99)))) == marks.MAX_HASHTAGS
    assert len(marks.mentions_in(" ".join(f"@user{n}" for n in range(99)))) == marks.MAX_MENTIONS
    assert len(marks.tokens_of(" ".join(f"w{n}" for n in range(999)))) == marks.MAX_WORDS


@pytest.mark.parametrize(
    ("text", "tag"),
    [("#Berlin", "berlin"), ("berlin", "berlin"), (" #Straße ", "strasse"), ("", None), ("#", None), ("a b", None),
     ("##x", None), ("42", None), ("x" * 51, None)],
)  # fmt: skip
def test_a_hashtag_alone(text: str, tag: str | None) -> None:
    assert marks.hashtag(text) == tag


def test_a_query_asks_for_words_and_hashtags() -> None:
    assert marks.query_tokens("#Berlin to Hamburg") == ["#berlin", "hamburg", "to"]
    assert marks.query_tokens("!!! ...") == []
    assert len(marks.query_tokens(" ".join(f"w{n}" for n in range(50)))) == 8


@given(st.text(max_size=300))
def test_a_text_is_found_by_all_its_words_and_hashtags(text: str) -> None:
    tokens = set(marks.tokens_of(text))

    for token in marks.query_tokens(text):
        assert token in tokens
    assert all(f"#{tag}" in tokens for tag in marks.hashtags_in(text))
