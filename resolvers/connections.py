"""Pages of the same list of several parents, each with cursors of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypedDict

from datastores.errors import ValidationError
from datastores.mongo import Document
from datastores.paging import Key, PageDocument, Window, page, window

Read = Callable[[Sequence[str], Window], Awaitable[list[list[Document]]]]


class HasId(TypedDict):
    """A parent of which nothing but its id is known: all that a field of another domain's entity may read."""

    _id: str


async def connections(
    parents: Sequence[HasId],
    scope: str,
    read: Read,
    key: Mapping[str, type],
    *,
    first: int | None,
    after: str | None,
) -> list[PageDocument | Exception]:
    """A page for each parent, from one `read` of those parents for which the arguments are valid.

    The list of a parent is named `scope/<id>`, so that a cursor of one is refused by another: where `after` belongs to
    one of several parents, the others get a ValidationError. `key` names the keys that the list is sorted by.
    """
    names, types = tuple(key), tuple(key.values())
    windows: list[Window | ValidationError] = []
    for parent in parents:
        try:
            windows.append(window(f"{scope}/{parent['_id']}", *types, first=first, after=after))
        except ValidationError as error:
            windows.append(error)
    valid = {parent["_id"]: w for parent, w in zip(parents, windows, strict=True) if isinstance(w, Window)}
    if not valid:
        return [w for w in windows if isinstance(w, ValidationError)]
    found = dict(zip(valid, await read(list(valid), next(iter(valid.values()))), strict=True))

    def made(parent: HasId, w: Window | ValidationError) -> PageDocument | Exception:
        return page(found[parent["_id"]], w, _key_of(names)) if isinstance(w, Window) else w

    return [made(parent, w) for parent, w in zip(parents, windows, strict=True)]


def nodes_of(pages: Sequence[PageDocument | Exception]) -> list[Document]:
    """The nodes of all pages, one after another."""
    return [edge["node"] for one in pages if not isinstance(one, Exception) for edge in one["edges"]]


def with_nodes(pages: Sequence[PageDocument | Exception], nodes: Mapping[str, Document], key: str) -> None:
    """Put in the place of each node the document of `nodes` that it names under `key`; an edge without one goes."""
    for one in pages:
        if not isinstance(one, Exception):
            one["edges"] = [
                {**edge, "node": nodes[edge["node"][key]]} for edge in one["edges"] if edge["node"][key] in nodes
            ]


def _key_of(names: Sequence[str]) -> Callable[[Document], Key]:
    def key(document: Document) -> tuple[Any, ...]:
        return tuple(document[name] for name in names)

    return key
