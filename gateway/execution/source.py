"""Python source as it is being written: lines, blocks, names of variables, and the constants that it refers to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_INDENT: Final = "    "


def quoted(text: str | None) -> str:
    """The literal of a name."""
    return json.dumps(text)


class Source:
    """Source of one module. `constants` are what its code finds as global names."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self._lines: list[str] = []
        self._depth = 0
        self._variables = 0

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def constant(self, name: str, value: Any) -> str:
        """The name, which means this value from now on."""
        self.constants[name] = value
        return name

    def variable(self, meaning: str) -> str:
        """A name that no other variable of the function has."""
        self._variables += 1
        return f"v{self._variables}_{meaning}"

    @contextmanager
    def alternative(self, first: int) -> Iterator[None]:
        """A branch that excludes the others: it may have the same names, from number `first` on."""
        after, self._variables = self._variables, first
        yield
        self._variables = max(self._variables, after)

    @property
    def variables(self) -> int:
        """How many names of variables the function has had."""
        return self._variables

    def line(self, text: str) -> None:
        """One line of code."""
        self._lines.append(_INDENT * self._depth + text)

    @contextmanager
    def block(self, opening: str) -> Iterator[None]:
        """`opening`, and what is written meanwhile below it."""
        self.line(opening)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def function(self, opening: str) -> Iterator[int]:
        """A function of the module; the number of its first line."""
        self._lines += ["", ""]
        self._variables = 0
        with self.block(opening):
            yield len(self._lines)

    def lines_from(self, first: int) -> tuple[str, ...]:
        """The lines from number `first` on."""
        return tuple(self._lines[first:])

    def take_back_function(self, first: int) -> None:
        """Unwrite the last function, whose first line has this number."""
        del self._lines[first - 3 :]
