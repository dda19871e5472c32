"""The checked-in SDL: `schema.graphql` is what the code says, `core.graphql` what clients were promised."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from graphql import GraphQLSchema, build_schema, find_breaking_changes

from schema.graph import whole_graph

from .errors import CommandError
from .supergraphs import check_api

FOLDER: Final = Path(__file__).parents[2] / "schema"
EXPORTED: Final = FOLDER / "schema.graphql"
PROMISED: Final = FOLDER / "core.graphql"
MAX_SHOWN: Final = 30


def exported_sdl() -> str:
    """The SDL of the whole graph."""
    return whole_graph().as_str() + "\n"


def export(output: Path | None) -> Path:
    """Write the SDL and return where to."""
    target = output or EXPORTED
    target.write_text(exported_sdl(), encoding="utf-8")
    return target


def check(against: str | None) -> str:
    """A line that says all is well; raises CommandError where it is not."""
    sdl = exported_sdl()
    if not EXPORTED.exists() or EXPORTED.read_text(encoding="utf-8") != sdl:
        stale = f"{EXPORTED.name} is not what the code says"
        raise CommandError(f"{stale}: run `agora schema export` and review the change")
    now = build_schema(sdl)
    check_api(now)
    _refuse_breaking_changes(build_schema(PROMISED.read_text(encoding="utf-8")), now, PROMISED.name)
    if against is not None:
        _refuse_breaking_changes(build_schema(_sdl_of(against)), now, against)
    return f"schema: {EXPORTED.name} is current and breaks nothing of {against or PROMISED.name}"


def _refuse_breaking_changes(before: GraphQLSchema, now: GraphQLSchema, name: str) -> None:
    changes = [change.description for change in find_breaking_changes(before, now)]
    if changes:
        shown = "\n  ".join(changes[:MAX_SHOWN])
        raise CommandError(f"{len(changes)} changes break clients of {name}:\n  {shown}")


def _sdl_of(source: str) -> str:
    if Path(source).is_file():
        return Path(source).read_text(encoding="utf-8")
    command = ["git", "-C", str(FOLDER.parent), "show", f"{source}:schema/{EXPORTED.name}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    if shown.returncode:
        raise CommandError(f"{source} is neither a file nor a git revision that has schema/{EXPORTED.name}")
    return shown.stdout
