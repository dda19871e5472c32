"""The supergraph: all domains' subgraphs composed into what a router is given, checked in beside `schema.graphql`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from graphql import (
    GraphQLSchema,
    build_client_schema,
    build_schema,
    introspection_from_schema,
    lexicographic_sort_schema,
    print_schema,
)

from schema.graph import DOMAINS, subgraph

from .errors import CommandError

SUPERGRAPH: Final = Path(__file__).parents[2] / "schema" / "supergraph.graphql"
COMPOSER: Final = Path(__file__).parents[2] / "deploy" / "federation"
# Where a router finds a subgraph unless its configuration says otherwise; NAME is the domain's.
URL: Final = "http://NAME:8000/graphql"
COMPOSE_TIMEOUT_S: Final = 120.0
MAX_SHOWN: Final = 10
_FEDERATIONS_OWN: Final = re.compile(r"(join|link)__|(link|oneOf)$")
_DESCRIPTION_ON_ONE_LINE: Final = re.compile(r'^( *)"""(.+)"""$', re.MULTILINE)


def subgraph_sdls() -> dict[str, str]:
    """The SDL of each domain as a subgraph, by the domain's name."""
    # Grafbase 0.103 panics at a description that begins and ends on the same line.
    return {
        domain.name: _DESCRIPTION_ON_ONE_LINE.sub(r'\1"""\n\1\2\n\1"""', subgraph(domain.name).as_str()) + "\n"
        for domain in DOMAINS
    }


def export_subgraphs(folder: Path) -> list[Path]:
    """Write each subgraph's SDL to `folder/NAME.graphql`, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, sdl in subgraph_sdls().items():
        files.append(folder / f"{name}.graphql")
        files[-1].write_text(sdl, encoding="utf-8")
    return files


def compose(folder: Path, url: str = URL) -> dict[str, Any]:
    """What composers make of the SDL files of a folder: `supergraph`, and each one's version, errors and hints.

    Raises CommandError where Node.js or the composers are missing.
    """
    node = shutil.which("node")
    if node is None:
        raise CommandError("node is missing: composing needs Node.js 20 or newer with npm")
    if not (COMPOSER / "node_modules").is_dir():
        raise CommandError("the composers are missing: run `make supergraph` in a checkout")
    command = [node, str(COMPOSER / "compose.mjs"), str(folder), url]
    ran = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, timeout=COMPOSE_TIMEOUT_S
    )
    if ran.returncode:
        raise CommandError(f"the composers failed: {ran.stderr.strip()[-1_000:]}")
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def composed() -> str:
    """The supergraph of the code's own subgraphs. Raises CommandError where any composer has an error or a hint."""
    with tempfile.TemporaryDirectory(prefix="agora-compose-") as folder:
        export_subgraphs(Path(folder))
        answer = compose(Path(folder))
    if complaints := complaints_of(answer):
        raise CommandError("the subgraphs do not compose:\n  " + "\n  ".join(complaints[:MAX_SHOWN]))
    return str(answer["supergraph"]).rstrip("\n") + "\n"


def complaints_of(answer: Mapping[str, Any]) -> list[str]:
    """All errors and hints of all composers, one a line."""
    return [
        f"{composer['name']} {composer['version']}: {text}"
        for composer in answer["composers"]
        for text in (*composer["errors"], *composer["hints"])
    ]


def write(output: Path | None) -> Path:
    """Compose, write the supergraph and return where to."""
    target = output or SUPERGRAPH
    target.write_text(composed(), encoding="utf-8")
    return target


def check() -> str:
    """A line that says all is well; raises CommandError where the checked-in supergraph is not what composing gives."""
    if _checked_in() != composed():
        raise CommandError(f"{SUPERGRAPH.name} is not what the code says: run `make supergraph` and review the change")
    return f"supergraph: {SUPERGRAPH.name} is current"


def check_api(graph: GraphQLSchema) -> None:
    """Raise CommandError where the checked-in supergraph shows clients another graph than this one; needs no Node."""
    sdl = _checked_in()
    if not sdl or comparable(build_schema(sdl)) != comparable(graph):
        raise CommandError(f"{SUPERGRAPH.name} shows another graph than the code: run `make supergraph`")


def comparable(schema: GraphQLSchema) -> str:
    """What clients see of a schema or supergraph as text: sorted, without descriptions and `@oneOf`.

    A router passes neither on in every case, nor may it show clients what is federation's own.
    """
    seen: Any = introspection_from_schema(schema, descriptions=False, input_value_deprecation=True)
    return comparable_introspection(seen)


def comparable_introspection(seen: Any) -> str:
    """The same of what introspection answers."""
    parts = seen["__schema"]
    for kind in ("types", "directives"):
        parts[kind] = [each for each in parts[kind] if not _FEDERATIONS_OWN.match(each["name"])]
    for each in parts["types"]:
        each.pop("isOneOf", None)
    return print_schema(lexicographic_sort_schema(build_client_schema(seen)))


def _checked_in() -> str:
    return SUPERGRAPH.read_text(encoding="utf-8") if SUPERGRAPH.exists() else ""
