"""Routers from npm in front of the subgraphs, with the configurations that are checked in for deployments."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.cli.supergraphs import SUPERGRAPH, export_subgraphs

from .processes import Program, answers_typename, free_port, running

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
PACKAGES: Final = DEPLOY / "federation" / "node_modules"
GRAFBASE: Final = PACKAGES / "@grafbase" / "cli-x86_64-unknown-linux-musl" / "grafbase"
HIVE: Final = PACKAGES / ".bin" / "hive-gateway"


@dataclass(frozen=True, slots=True)
class Router:
    """A router that serves; without `websocket_url` it has no subscriptions."""

    program: Program
    url: str
    websocket_url: str | None


class MissingRouterError(Exception):
    """A router that is not installed, or not for this machine: the message says which, in one line."""


def check_installed(name: str) -> None:
    """Raise MissingRouterError where this router cannot be started."""
    if shutil.which("node") is None:
        raise MissingRouterError("node is missing: install Node.js 20 or newer with npm")
    if name == "grafbase" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise MissingRouterError("Grafbase's program is locked for Linux on x86-64 alone")
    if not {"hive": HIVE, "grafbase": GRAFBASE, "apollo": PACKAGES / "@apollo" / "gateway"}[name].exists():
        raise MissingRouterError(f"{name} is missing: run `npm ci` in deploy/federation")


@asynccontextmanager
async def router(
    name: str, subgraphs: Mapping[str, str], folder: Path, *, subgraph_timeout_s: int = 15
) -> AsyncIterator[Router]:
    """The router in front of subgraphs at these addresses (`http://127.0.0.1:4001`), by name, when it is ready."""
    check_installed(name)
    supergraph, port = folder / "supergraph.graphql", free_port()
    supergraph.write_text(_addressed(SUPERGRAPH, subgraphs))
    environment = {"NODE_ENV": "production", "HOME": str(folder)}
    environment["AGORA_SUBGRAPH_TIMEOUT_S"] = str(subgraph_timeout_s)
    if name == "hive":
        module = DEPLOY / "hive" / "gateway.config.mjs"
        command = [str(HIVE), "supergraph", "--config-path", str(module), "--host", "127.0.0.1", "--port", str(port)]
        environment["AGORA_SUPERGRAPH"] = str(supergraph)
        path = "/graphql"
    elif name == "grafbase":
        config = _addressed(DEPLOY / "grafbase" / "grafbase.toml", subgraphs)
        timeout = f'timeout = "{subgraph_timeout_s}s"'
        (folder / "grafbase.toml").write_text(config.replace('timeout = "15s"', timeout))
        export_subgraphs(folder / "subgraphs")
        command = [str(GRAFBASE), "dev", "--config", "grafbase.toml", "--listen-address", f"127.0.0.1:{port}"]
        path = "/ws"
    else:
        command = ["node", str(DEPLOY / "federation" / "apollo.mjs"), str(supergraph), str(port)]
        path = ""
    async with running(
        name,
        command,
        folder / f"{name}.log",
        environment=environment,
        port=port,
        is_ready=answers_typename,
        folder=folder,
    ) as program:
        yield Router(program, program.url, f"ws://127.0.0.1:{port}{path}" if path else None)


def _addressed(file: Path, subgraphs: Mapping[str, str]) -> str:
    """The text of a configuration with the addresses of running subgraphs instead of those of a deployment."""
    text = file.read_text()
    for name, address in subgraphs.items():
        for scheme in ("http", "ws"):
            text = text.replace(f"{scheme}://{name}:8000", address.replace("http", scheme, 1))
    return text
