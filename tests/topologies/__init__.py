"""In which topologies the contract tests run: one process, or a router in front of the subgraphs."""

from __future__ import annotations

from typing import Final

ONE: Final = "one"
ROUTERS: Final = ("hive", "grafbase", "apollo")
TOPOLOGIES: Final = (ONE, *ROUTERS)
