"""What counts as one emoji."""

from __future__ import annotations

import pytest

from resolvers.conversations.sending import MAX_EMOJI_LENGTH, is_emoji


@pytest.mark.parametrize("emoji", ["👍", "❤️", "👍🏽", "👩‍👩‍👧‍👦", "🇬🇷", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "ℹ️", "©️", "🫩", "⭐"])
def test_emoji_pass(emoji: str) -> None:
    assert is_emoji(emoji)


@pytest.mark.parametrize(
    "text", ["", " ", "ok", "a", "1", "👍 ", "👍a", "\u200d", "\ufe0f", " \ufe0f", "ab\ufe0f", "\ud83d", "\x00", "é"]
)
def test_other_text_does_not(text: str) -> None:
    assert not is_emoji(text)


def test_more_than_32_code_points_do_not() -> None:
    assert is_emoji("👍" * MAX_EMOJI_LENGTH)
    assert not is_emoji("👍" * (MAX_EMOJI_LENGTH + 1))
