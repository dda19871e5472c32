"""Which rails there are: the adapter of each by its name, and those that are connected here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from datastores.errors import ValidationError
from datastores.mongo import Database

from .rails import Rail
from .sandbox import SandboxRail

Adapter = Callable[[Database, Callable[[], datetime]], Rail]

ADAPTERS: Final[Mapping[str, Adapter]] = {"sandbox": SandboxRail}


def connected_rails(names: Collection[str], database: Database, now: Callable[[], datetime]) -> Mapping[str, Rail]:
    """The rails with these names that have an adapter; `now` is the time as naive UTC."""
    return {name: adapter(database, now) for name, adapter in ADAPTERS.items() if name in names}


def rail_account(text: str, *path: str, rails: Mapping[str, Rail]) -> tuple[str, str]:
    """The rail and the account there that a source or destination such as `sandbox:ok` names.

    Raises ValidationError unless it is one of these rails and knows the account.
    """
    if not rails:
        raise ValidationError("No rail is connected here: money neither comes in nor goes out", *path)
    name, _, account = text.partition(":")
    if name not in rails:
        raise ValidationError(f"Begin with the rail: {', '.join(f'{known}:' for known in sorted(rails))}", *path)
    if (problem := rails[name].problem(account)) is not None:
        raise ValidationError(problem, *path)
    return name, account
