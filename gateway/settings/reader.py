"""Takes settings out of an environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from . import values
from .values import E

PREFIX: Final = "AGORA_"
MAX_SERVICES: Final = 20
SERVICE_URL: Final = re.compile(r"AGORA_SERVICE_([A-Z][A-Z0-9]{0,30})_URL")

T = TypeVar("T")


class Reader:
    """Takes values out of a mapping and remembers what was wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._given = {name: text.strip() for name, text in environ.items() if text.strip()}
        self._known: set[str] = set()

    def given(self, name: str) -> bool:
        """Whether there is such a setting, right or wrong."""
        return name in self._given

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """What was given under this name, or the default."""
        self._known.add(name)
        if name not in self._given:
            return default
        try:
            return parse(self._given[name])
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """Likewise, one of these."""
        return self.value(name, values.one_of(kind), default)

    def flag(self, name: str, *, default: bool) -> bool:
        """Likewise, true or false."""
        return self.value(name, values.flag, default)

    def service_names(self) -> tuple[str, ...]:
        """The services whose addresses were given, in lower case; more than 20 are a problem."""
        names = sorted(match[1] for name in self._given if (match := SERVICE_URL.fullmatch(name)))
        if len(names) > MAX_SERVICES:
            self.problems.append(f"AGORA_SERVICE_…_URL: at most {MAX_SERVICES} services can be connected")
        return tuple(name.lower() for name in names)

    def of_services(
        self, names: tuple[str, ...], what: str, parse: Callable[[str], str]
    ) -> tuple[tuple[str, str], ...]:
        """What was given of each service under this word."""
        found = ((name, self.value(f"AGORA_SERVICE_{name.upper()}_{what}", parse, "")) for name in names)
        return tuple((name, value) for name, value in found if value)

    def unknown_names(self) -> list[str]:
        """A problem for each name like ours that nobody has asked for."""
        unknown = sorted(name for name in self._given if name.startswith(PREFIX) and name not in self._known)
        return [self._unknown(name) for name in unknown]

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._known, n=1)
        return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
