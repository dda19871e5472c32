"""What the modules of this package declare under one name, such as `INDEXES` or `LOGS`, by collection."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any


def declared(name: str) -> dict[str, Any]:
    """Collection → what a module or package declares for it under `name`; one that is declared twice is a TypeError."""
    package = import_module(__package__)
    out: dict[str, Any] = {}
    for module in pkgutil.iter_modules(package.__path__):
        found: dict[str, Any] = getattr(import_module(f"{__package__}.{module.name}"), name, {})
        if twice := out.keys() & found.keys():
            raise TypeError(f"{name} of a collection declared twice: {', '.join(sorted(twice))}")
        out |= found
    return out
