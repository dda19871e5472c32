"""Which keys of an entity's documents an operation reads, so that no more of them need come from the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .plan import Branch, Level, PlannedField

Keys = frozenset[str]
# Calls that get no more of a document than the key that the field names.
_BY_KEY: Final = ("reference", "references")


def keys_read(branches: Iterable[Branch], types: Iterable[str]) -> Mapping[str, Keys]:
    """By type the keys of documents of these types that are read in these branches, down to the next calls.

    A type is left out where a call gets its documents whole, since nobody knows what such a call reads.
    """
    found: dict[str, set[str]] = {name: {"_id"} for name in types}
    whole: set[str] = set()
    pending = list(branches)
    while pending:
        branch = pending.pop()
        known = [name for name in branch.types if name in found]
        for field in branch.fields:
            pending += field.branches if field.level is None else ()
            for name in known:
                if (keys := _keys_of(field)) is None:
                    whole.add(name)
                else:
                    found[name].update(keys)
    return {name: frozenset(keys) for name, keys in found.items() if name not in whole}


def keys_loaded(levels: Iterable[Level], types: Iterable[str]) -> Mapping[str, Keys]:
    """By type the keys that are read of documents that references name, wherever in the operation they do."""
    wanted = list(types)
    branches = [branch for level in levels if level.field.kind in _BY_KEY for branch in level.branches]
    return keys_read(branches, wanted)


def _keys_of(field: PlannedField) -> tuple[str, ...] | None:
    source = field.source
    if field.kind == "typename":
        # Where a type must be found out, a document may say it itself.
        return ("__typename",)
    if field.kind == "computed":
        return source.reads
    if field.kind in ("plain", *_BY_KEY):
        return (source.key,) if source.key is not None else None
    return None
