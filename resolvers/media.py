"""What pictures, films and sounds a use case accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datastores.errors import ValidationError
from datastores.mongo import Document

from .texts import trimmed_or_none, web_url

MAX_MEDIA: Final = 10
MAX_PIXELS: Final = 20_000
MAX_ALT: Final = 500
KINDS: Final = ("IMAGE", "VIDEO", "AUDIO")


def checked_media(media: Sequence[Document], *path: str) -> list[Document]:
    """Media documents as they are stored; raises ValidationError for one that is not acceptable.

    At most 10, each with `url` (http or https), `kind`, and optional `width`, `height` (pixels, 1 to 20,000) and `alt`
    (at most 500 characters). `path` says where the list stands in the input.
    """
    if len(media) > MAX_MEDIA:
        raise ValidationError(f"At most {MAX_MEDIA} media, not {len(media)}", *path)
    return [_checked(item, *path, str(place)) for place, item in enumerate(media)]


def _checked(item: Document, *path: str) -> Document:
    if item["kind"] not in KINDS:
        raise ValidationError(f"The kind must be one of {', '.join(KINDS)}", *path, "kind")
    return {
        "url": web_url(item["url"], *path, "url"),
        "kind": str(item["kind"]),
        "width": _size(item.get("width"), *path, "width"),
        "height": _size(item.get("height"), *path, "height"),
        "alt": trimmed_or_none(item.get("alt"), *path, "alt", most=MAX_ALT),
    }


def _size(pixels: int | None, *path: str) -> int | None:
    if pixels is not None and not 1 <= pixels <= MAX_PIXELS:
        raise ValidationError(f"The size must be 1 to {MAX_PIXELS:,} pixels, not {pixels}", *path)
    return pixels
