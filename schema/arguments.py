"""Arguments: what a root method gets beside those of its own, those of every list, and those that may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import strawberry

from resolvers.context import Context

Info = strawberry.Info[Context, None]
FIRST: Final = "At most this many, 0–100; 20 if absent."
AFTER: Final = "The cursor of this list to go on after."
SINCE: Final = (
    "A cursor: everything since comes first, each object as it is now, then what is live. From now on if absent."
)
KEY: Final = (
    "Yours to choose, and yours alone: the same key with the same input is the same act with the same outcome, "
    "refusals included, however often it is sent; with another input it is refused. 1–255 characters."
)
T = TypeVar("T")


def or_none(value: T | None) -> T | None:
    """None for what is absent or null, where that is the same."""
    return None if value is strawberry.UNSET else value


def present(**values: Any) -> Mapping[str, Any]:
    """Those of the values that are not absent: null stays, where it means that something is cleared."""
    return {name: value for name, value in values.items() if value is not strawberry.UNSET}
