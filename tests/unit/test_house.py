"""The house keeps its own rules: whose modules these are, which way imports point, what the lock files hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("gateway", "schema", "resolvers", "datastores")
LOCKS = sorted(ROOT.glob("requirements*.txt"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the four layers and their configuration."""
    for layer in LAYERS:
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "static")
        shutil.copytree(ROOT / layer, tmp_path / layer, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_that_is_imported_is_ours(layer: str) -> None:
    module = import_module(layer)

    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / layer


def test_imports_point_down(copy: Path) -> None:
    answer = lint_imports(copy)

    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("datastores/planted.py", "import resolvers.context", "Imports point down"),
        ("resolvers/planted.py", "import schema", "Imports point down"),
        ("schema/planted.py", "import gateway.settings", "Imports point down"),
        ("resolvers/planted.py", "import pymongo.errors", "Only datastores know the MongoDB driver"),
        ("gateway/planted.py", "from bson import ObjectId", "Only datastores know the MongoDB driver"),
        ("resolvers/planted.py", "import strawberry", "Nothing below schema knows GraphQL or HTTP"),
        ("datastores/planted.py", "from starlette import status", "Nothing below schema knows GraphQL or HTTP"),
        ("datastores/planted.py", "import datastores.notifications", "Domains of the datastores"),
    ],
)
def test_a_planted_import_in_the_wrong_direction_is_caught(copy: Path, file: str, line: str, contract: str) -> None:
    (copy / file).write_text(f"{line}\n")

    answer = lint_imports(copy)

    broken = [each for each in answer.stdout.splitlines() if " BROKEN" in each]
    assert answer.returncode == 1
    assert any(each.startswith(contract) for each in broken), answer.stdout


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_place_to_get_packages_from_and_has_a_hash_for_each(lock: Path) -> None:
    text = lock.read_text()
    pins = re.split(r"\n(?=[a-z0-9])", text.strip(), flags=re.IGNORECASE)

    assert not re.search(r"://|^-|file:/|\.whl|index|\s/\w", text, flags=re.MULTILINE)
    for pin in pins:
        assert re.match(r"[\w.-]+==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin


def test_the_tests_of_graphql_core_are_of_the_version_that_is_locked() -> None:
    pins = {
        lock.name: re.findall(r"^graphql-core==\S+", lock.read_text(), flags=re.MULTILINE)
        for lock in LOCKS
        if lock.name in ("requirements.txt", "requirements-conformance.txt")
    }

    assert len(pins) == 2
    assert pins["requirements.txt"] == pins["requirements-conformance.txt"] != []


RULES = re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
PAGES = [path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.name != "CHANGELOG.md"]


def test_every_command_that_the_makefile_promises_does_something() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert phony is not None
    assert sorted(phony[1].split()) == sorted(RULES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_command_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"`(?:[A-Z]+=\S+ )*make ([a-z][\w-]*)", page.read_text()))

    assert named <= set(RULES)
