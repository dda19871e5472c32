"""What goes through the seam: documents, filters and orders as MongoDB has them, and which driver takes them there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Document = dict[str, Any]
Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]
Driver = Literal["motor", "pymongo"]
# Of a command that has ended: its name, its collection, seconds, and whether it succeeded.
OnCommand = Callable[[str, str, float, bool], None]
