"""What was measured on: the machine, the versions of all that takes part, and which cores serve and which load."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("pymongo", "motor", "uvloop", "orjson", "graphql-core", "strawberry-graphql")


def machine() -> dict[str, Any]:
    """The processor, its cores that this process may use, memory in GB, the system, and the load of the last minute."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(cores()),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(mongod: str, driver: str) -> dict[str, str]:
    """Versions by name; `driver` is the one that the ledger and the bulk insert used."""
    return {
        "python": platform.python_version(),
        "mongod": mongod,
        "driver": driver,
        **{name: version(name) for name in PACKAGES},
    }


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def split_cores(nodes: int) -> tuple[set[int], set[int]]:
    """Cores for the servers and for the load: apart where every server and the load can have one of its own."""
    mine = cores()
    if len(mine) <= nodes:
        return set(mine), set(mine)
    half = max(len(mine) // 2, nodes)
    return set(mine[:half]), set(mine[half:])


def one_for_servers() -> tuple[set[int], set[int]]:
    """A core for what serves, and the others for what loads it and for mongod; the same where there is but one."""
    first, *others = cores()
    return {first}, set(others) or {first}


def _first(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
