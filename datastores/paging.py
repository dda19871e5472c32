"""Keyset paging: windows over a sorted list, and cursors that are opaque, stable, and of one list only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

import orjson

from .clock import EPOCH, milliseconds_of
from .errors import ValidationError

DEFAULT_PAGE: Final = 20
MAX_PAGE: Final = 100
MAX_CURSOR_LENGTH: Final = 400
_DIGEST_BYTES: Final = 5

Document = dict[str, Any]
Key = tuple[Any, ...]


class PageInfoDocument(TypedDict):
    """Where a page stands in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


class EdgeDocument(TypedDict):
    """One item of a page; connections with further edge fields add keys to it.

    Its cursor is `cursor_of(edge)`, made where somebody asks for it: `place` gives the sort key of what was `read`.
    """

    node: Document
    scope: str
    place: Callable[[Document], Key]
    read: Document


class PageDocument(TypedDict):
    """A page of a list, as GraphQL connections show it."""

    edges: list[EdgeDocument]
    page_info: PageInfoDocument


@dataclass(frozen=True, slots=True)
class Window:
    """What part of a list is asked for: `size` items past `key` (None: from the end the reading starts at)."""

    scope: str
    size: int
    backward: bool
    key: Key | None

    @property
    def limit(self) -> int:
        """How many to read: one more than shown tells whether there are more."""
        return self.size + 1


def encode_cursor(scope: str, *key: object) -> str:
    """The cursor of the item with this sort key in the list named `scope`."""
    payload = orjson.dumps([milliseconds_of(value) if isinstance(value, datetime) else value for value in key])
    return base64.urlsafe_b64encode(_digest(scope, payload) + payload).rstrip(b"=").decode()


def cursor_of(edge: EdgeDocument) -> str:
    """The cursor of an edge."""
    return encode_cursor(edge["scope"], *edge["place"](edge["read"]))


def decode_cursor(scope: str, cursor: str, *types: type) -> Key:
    """The sort key in `cursor`; raises ValidationError unless it is a cursor of that list with these types of key."""
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise ValueError
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if digest != _digest(scope, payload):
            raise ValueError
        values = orjson.loads(payload)
        if len(values) != len(types):
            raise ValueError
        return tuple(_typed(value, wanted) for value, wanted in zip(values, types, strict=True))
    except (ValueError, TypeError, OverflowError):
        raise ValidationError("The cursor is not one of this list: pass one that the same field returned") from None


def window(
    scope: str,
    *types: type,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> Window:
    """The window that paging arguments ask for; raises ValidationError for arguments that cannot be met."""
    if first is not None and last is not None:
        raise ValidationError("Pass `first` or `last`, not both", "first")
    if after is not None and before is not None:
        raise ValidationError("Pass `after` or `before`, not both", "after")
    backward = last is not None or before is not None
    if backward and (first is not None or after is not None):
        raise ValidationError("`first` goes with `after`, `last` with `before`", "first")
    size = last if backward else first
    size = DEFAULT_PAGE if size is None else size
    if not 0 <= size <= MAX_PAGE:
        raise ValidationError(f"`{'last' if backward else 'first'}` must be 0 to {MAX_PAGE}, not {size}")
    cursor = before if backward else after
    return Window(scope, size, backward, None if cursor is None else decode_cursor(scope, cursor, *types))


def keyset(
    order: Sequence[tuple[str, int]], window: Window, *, few_ties: bool = False
) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """The filter and the sort that read a window of a list sorted by `order` (the last key must be unique).

    With `few_ties` the server reads all that are equal to the cursor in the first key, as a time is to few, and leaves
    out those that are not past it. It saves planning, which a disjunction beside a hint needs anew each time: 241 µs of
    mongod for a page of 100 posts, not 436.
    """
    direction = -1 if window.backward else 1
    sort = [(name, way * direction) for name, way in order]
    if window.key is None:
        return {}, sort
    name, way = sort[0]
    if len(sort) == 1:
        return {name: {_past(way): window.key[0]}}, sort
    reached = {name: {_past(way) + "e": window.key[0]}}
    if few_ties:
        return {**reached, "$nor": _branches(sort[1:], sort, window.key, reverse=True)}, sort
    return {**reached, "$or": _branches(sort, sort, window.key)}, sort


def _past(way: int) -> str:
    return "$gt" if way > 0 else "$lt"


def _branches(
    names: Sequence[tuple[str, int]], sort: Sequence[tuple[str, int]], key: Key, *, reverse: bool = False
) -> list[dict[str, Any]]:
    """What is equal to the key up to one of these last names of `sort`, and past it in that; `reverse`: not past."""
    branches: list[dict[str, Any]] = []
    for place, (name, way) in enumerate(names, start=len(sort) - len(names)):
        equal = {earlier: key[at] for at, (earlier, _) in enumerate(sort[:place])}
        is_key_itself = reverse and place == len(sort) - 1
        comparison = _past(-way if reverse else way) + ("e" if is_key_itself else "")
        branches.append({**equal, name: {comparison: key[place]}})
    return branches


def page(
    documents: Sequence[Document],
    window: Window,
    key: Callable[[Document], Key],
    *,
    edge: Callable[[Document], Mapping[str, Any]] | None = None,
    node: Callable[[Document], Document] | None = None,
) -> PageDocument:
    """The page made of what `window` read: up to `window.limit` documents in the order of reading.

    `key` gives the sort key of a document, `edge` further keys of its edge, `node` the document shown for it.
    """
    more = len(documents) > window.size
    shown = list(documents[: window.size])
    if window.backward:
        shown.reverse()
    scope = window.scope
    edges: list[EdgeDocument] = [
        {"node": document, "scope": scope, "place": key, "read": document} for document in shown
    ]
    if node is not None:
        for made in edges:
            made["node"] = node(made["read"])
    if edge is not None:
        for made in edges:
            made.update(edge(made["read"]))  # type: ignore[typeddict-item]  # further keys of an edge
    started = window.key is not None
    return {
        "edges": edges,
        "page_info": {
            "has_next_page": started if window.backward else more,
            "has_previous_page": more if window.backward else started,
            "start_cursor": cursor_of(edges[0]) if edges else None,
            "end_cursor": cursor_of(edges[-1]) if edges else None,
        },
    }


def _digest(scope: str, payload: bytes) -> bytes:
    return hashlib.sha256(scope.encode() + b"\x00" + payload).digest()[:_DIGEST_BYTES]


def _typed(value: object, wanted: type) -> object:
    if wanted is datetime and type(value) is int:
        return EPOCH + timedelta(milliseconds=value)
    if type(value) is not wanted:
        raise ValueError
    return value
