"""The hashtags and mentions in a post's text, and the tokens that the post is found by."""

from __future__ import annotations

import re
from typing import Final

from datastores.words import MAX_QUERY_WORDS, folded, query_words, words

MAX_HASHTAGS: Final = 20
MAX_MENTIONS: Final = 20
MAX_WORDS: Final = 300
# A tag has a letter: `#1` is a number in a list. Neither may stand inside a word, as in an address or a URL's fragment.
_HASHTAG: Final = re.compile(r"(?<![\w/&#])#(?=\w*[^\W\d_])(\w{1,50})(?!\w)")
_MENTION: Final = re.compile(r"(?<![\w/@.])@([A-Za-z0-9_]{1,30})(?![\w@])")


def hashtags_in(text: str) -> list[str]:
    """The first 20 different hashtags, folded, without `#`, in the order of the text."""
    return list(dict.fromkeys(match[1] for match in _HASHTAG.finditer(folded(text))))[:MAX_HASHTAGS]


def mentions_in(text: str) -> list[str]:
    """The first 20 different handles that are mentioned, in lower case, without `@`, in the order of the text."""
    return list(dict.fromkeys(match[1].lower() for match in _MENTION.finditer(text)))[:MAX_MENTIONS]


def hashtag(text: str) -> str | None:
    """The hashtag that `text` is, with or without `#`, folded; None where it is none."""
    match = _HASHTAG.fullmatch("#" + folded(text.strip()).removeprefix("#"))
    return match[1] if match else None


def tokens_of(text: str) -> list[str]:
    """What a post with this text is found by: its first 300 different words, and its hashtags with `#`."""
    return words(text, limit=MAX_WORDS) + [f"#{tag}" for tag in hashtags_in(text)]


def query_tokens(text: str) -> list[str]:
    """The tokens that a search asks for, at most 8: words, and hashtags as such."""
    tags = [f"#{tag}" for tag in hashtags_in(text)]
    return (tags + query_words(_HASHTAG.sub(" ", folded(text))))[:MAX_QUERY_WORDS]
