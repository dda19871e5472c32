"""Texts, addresses and media that use cases accept or refuse."""

from __future__ import annotations

from typing import Any

import pytest

from datastores.errors import ValidationError
from resolvers.media import MAX_MEDIA, checked_media
from resolvers.texts import client_id, trimmed, trimmed_or_none, web_url


def test_text_is_trimmed_and_counted_in_characters() -> None:
    assert trimmed(" \n💥💥\t ", most=2) == "💥💥"
    assert trimmed("", most=2, least=0) == ""
    assert trimmed_or_none("  ", most=2) is None
    assert trimmed_or_none(None, most=2) is None


@pytest.mark.parametrize("text", ["", "  ", "abc", "a\x00", "\ud800", "a\udfff"])
def test_text_that_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        trimmed(text, "input", "text", most=2)

    assert refused.value.details["path"] == ["input", "text"]


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "http://a.example:8080/x?y=%20#z",
        "https://[::1]/",
        "https://ü.example/ä",
        "HTTPS://A.EXAMPLE",
    ],
)
def test_url(url: str) -> None:
    assert web_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "a", "//a.example", "ftp://a.example", "data:text/html,x", "javascript:alert(1)", "https://", "https:///x",
     "https://a b", "https://a\n", "https://a.example:x/", "https://a.example:0/", "https://[::1", "https://a\x00",
     "https://\ud800", "https://a.example/" + "x" * 2048],
)  # fmt: skip
def test_url_that_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        web_url(url, "url")


@pytest.mark.parametrize("id", ["", "x" * 101, "a\x00", "a\n", "\ud800"])
def test_client_id_that_is_refused(id: str) -> None:
    with pytest.raises(ValidationError):
        client_id(id, "clientId")


def test_client_id() -> None:
    assert client_id("a-1", "clientId") == "a-1"
    assert client_id(None, "clientId") is None


IMAGE: dict[str, Any] = {"url": "https://img.example/a.png", "kind": "IMAGE", "width": 3, "height": None, "alt": " A "}


def test_media_are_stored_with_all_keys() -> None:
    assert checked_media([IMAGE, {"url": "https://a.example/b", "kind": "AUDIO"}], "media") == [
        {**IMAGE, "alt": "A"},
        {"url": "https://a.example/b", "kind": "AUDIO", "width": None, "height": None, "alt": None},
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://a.example"}, "url"),
        ({"kind": "PDF"}, "kind"),
        ({"width": 0}, "width"),
        ({"height": -1}, "height"),
        ({"height": 20_001}, "height"),
        ({"alt": "x" * 501}, "alt"),
    ],
)
def test_media_that_are_refused_say_where(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        checked_media([IMAGE, {**IMAGE, **change}], "media")

    assert refused.value.details["path"] == ["media", "1", field]


def test_too_many_media() -> None:
    with pytest.raises(ValidationError):
        checked_media([IMAGE] * (MAX_MEDIA + 1), "media")
