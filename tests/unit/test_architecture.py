"""What the pages for developers say of the code is so: its paths, names and limits, and that no module is left out."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
# What is made here, and is in no clone: results, and what a build leaves.
MADE = re.compile(r"test-results|.*\.egg-info")
TOP = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and not MADE.fullmatch(path.name))
PATH = re.compile(rf"(?:{TOP})/[\w./-]*|[\w-]+\.(?:md|toml)|Makefile")
FACTORS = {"KB": 1024, "MB": 1024**2}


def quoted(text: str) -> list[str]:
    """What stands between backticks, outside of blocks of code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def paths_in(text: str) -> list[str]:
    """The paths of this repository that are named in `text`."""
    return [word for word in quoted(text) if PATH.fullmatch(word)]


def links_in(text: str) -> list[str]:
    """The targets of links into this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in targets if not target.startswith(("http", "#"))]


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the architecture page."""
    section = ARCHITECTURE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def source(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    missing = [path for path in paths_in(text) if not (ROOT / path).exists()]
    broken = [link for link in links_in(text) if not (page.parent / link).exists()]

    assert missing == []
    assert broken == []


@pytest.mark.parametrize("row", rows_of("Where is it done?"), ids=lambda row: row[0])
def test_a_task_is_done_where_the_page_says(row: list[str]) -> None:
    paths = paths_in(row[1])
    names = [word for word in quoted(row[1]) if word not in paths and re.fullmatch(r"[\w=]+", word)]
    texts = [source(ROOT / path) for path in paths]

    absent = [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in texts)]

    assert paths
    assert absent == []


@pytest.mark.parametrize("row", rows_of("Limits"), ids=lambda row: row[0])
def test_a_limit_is_what_the_page_says(row: list[str]) -> None:
    _, stated, constant, path = row
    number, _, unit = stated.partition(" ")
    module: object = import_module(path.strip("`").removesuffix(".py").replace("/", "."))

    value: object = reduce(getattr, constant.strip("`").split("."), module)

    assert value == int(number.replace(",", "")) * FACTORS.get(unit, 1)


def test_every_module_of_the_gateway_and_every_package_has_a_line() -> None:
    named = {path.rstrip("/") for path in paths_in(ARCHITECTURE.read_text(encoding="utf-8"))}
    modules = {path for path in (ROOT / "gateway").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    foundations = {path for path in (ROOT / "datastores").glob("*.py") if "INDEXES" not in source(path)}

    expected = {str(path.relative_to(ROOT)) for path in modules | foundations if path.name != "__init__.py"}

    assert expected - named == set()


def test_a_row_of_the_folders_stands_once() -> None:
    folders = [row[0] for row in rows_of("Folders")]

    assert sorted(folders) == sorted(set(folders))


def test_a_version_has_each_heading_once() -> None:
    versions = re.split(r"^## ", source(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)[1:]

    headings = [re.findall(r"^### (.+)$", version, re.MULTILINE) for version in versions]

    assert headings == [list(dict.fromkeys(each)) for each in headings]


def test_decisions_have_numbers_of_their_own() -> None:
    files = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [file.name[:4] for file in files]

    assert sorted(set(numbers)) == numbers
    assert [source(file)[2:7] for file in files[1:]] == [f"{number}." for number in numbers[1:]]
