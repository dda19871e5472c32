"""Arguments and input fields that a client may leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import strawberry

T = TypeVar("T")


def or_none(value: T | None) -> T | None:
    """None for what is absent or null, where that is the same."""
    return None if value is strawberry.UNSET else value


def present(**values: Any) -> Mapping[str, Any]:
    """Those of the values that are not absent: null stays, where it means that something is cleared."""
    return {name: value for name, value in values.items() if value is not strawberry.UNSET}
