"""What words a text is found by: tokens for multikey indexes, instead of scans with regular expressions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

MAX_WORD: Final = 32
MAX_PREFIX: Final = 16
MAX_QUERY_WORDS: Final = 8
MAX_QUERY_LENGTH: Final = 200
_WORD: Final = re.compile(r"[^\W_]+")


def folded(text: str) -> str:
    """The text without distinctions of case or of compatible forms, so that `Ｓtraße` is found by `STRASSE`."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words(text: str, *, limit: int) -> list[str]:
    """The first `limit` different words of a text, folded, each cut to 32 characters."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(folded(text)):
        found[match[0][:MAX_WORD]] = None
        if len(found) == limit:
            break
    return list(found)


def prefixes(found: Iterable[str]) -> list[str]:
    """All beginnings of these words, of 1 to 16 characters, each once."""
    return list(dict.fromkeys(word[:size] for word in found for size in range(1, min(len(word), MAX_PREFIX) + 1)))


def query_words(text: str) -> list[str]:
    """The words that a query asks for, at most 8; the longest first, since it is likely the rarest."""
    return sorted(words(text, limit=MAX_QUERY_WORDS), key=len, reverse=True)
