"""Files that outlive a killed process: rows of JSON, each whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    """The whole rows of a journal, the first first; a row that a kill cut off is none."""
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in written[: written.rfind(b"\n") + 1].splitlines()]


class Journal:
    """A journal that this process alone appends to: a row is with the system, if not on the disk, when `append` ends.

    That is enough where processes are killed and the machine is not.
    """

    def __init__(self, path: Path) -> None:
        self.rows = rows(path)
        self._file = path.open("ab", buffering=0)
        whole = path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(whole)

    def append(self, row: Row) -> None:
        """Keep the row."""
        self._file.write(json.dumps(row).encode() + b"\n")
        self.rows.append(row)
