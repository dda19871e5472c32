"""Who is measured: how each server is started over the same database, and what its versions are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

from .town import DATABASE

HERE: Final = Path(__file__).parent
PEERS: Final = HERE / "peers"
NODE_PACKAGES: Final = ("@apollo/server", "graphql-yoga", "mercurius", "fastify", "graphql", "dataloader", "mongodb")
AGORA: Final = "agora"
CONSTANT: Final = "constant"
NODE: Final = ("apollo", "yoga", "mercurius")
_SERVE: Final = "from gateway.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server: its command, and what its environment has beside that of this process."""

    name: str
    title: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    writes: bool = True


def candidates(uri: str, folder: Path, driver: str) -> list[Candidate]:
    """All of them; the first is Agora, whose keys are in `folder`, the last answers with `folder/answers.json`."""
    settings = {
        "MONGODB_URI": uri,
        "AGORA_ENVIRONMENT": "development",
        "AGORA_DATA_DIR": str(folder),
        "AGORA_DATABASE": DATABASE,
        "AGORA_MONGO_DRIVER": driver,
        "AGORA_LOG_FORMAT": "json",
        "AGORA_LOG_LEVEL": "info",
        # The others have no deadline: on a busy machine 128 large answers at once may take longer than ours.
        "AGORA_REQUEST_DEADLINE_S": "60",
    }
    node = shutil.which("node") or "node"
    production = {"NODE_ENV": "production"}
    titles = {"apollo": "Apollo Server 5", "yoga": "GraphQL Yoga 5", "mercurius": "Mercurius, jit: 1"}
    return [
        Candidate(AGORA, "Agora", (sys.executable, "-c", _SERVE, "serve", "--port", "0"), settings),
        *(
            Candidate(name, titles[name], (node, str(PEERS / f"{name}.mjs"), uri, DATABASE), production)
            for name in NODE
        ),
        Candidate("strawberry", "Strawberry as documented", _python("strawberry_peer", uri)),
        Candidate("ariadne", "Ariadne as documented", _python("ariadne_peer", uri)),
        Candidate("no_graphql", "the same reads, no GraphQL", _python("no_graphql", uri)),
        Candidate(CONSTANT, "a constant", (*_python("constant", uri), str(folder / "answers.json")), writes=False),
    ]


def install_node_peers() -> None:
    """Install the locked packages from npm, unless they are there; raises SystemExit where there is no Node.js."""
    lock, installed = PEERS / "package-lock.json", PEERS / "node_modules" / ".package-lock.json"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise SystemExit("agora: npm is missing: install Node.js 20 or newer with npm")
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    subprocess.run(("npm", "ci", "--no-audit", "--no-fund", "--silent"), cwd=PEERS, check=True)


def peer_versions() -> dict[str, str]:
    """The versions of Node.js, of its packages and of Ariadne."""
    node = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout.strip()
    found = {"node": node.removeprefix("v"), "ariadne": version("ariadne")}
    for name in NODE_PACKAGES:
        found[name] = str(json.loads((PEERS / "node_modules" / name / "package.json").read_bytes())["version"])
    return found


def _python(module: str, uri: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.graphql.python_peers.{module}", uri, DATABASE)
