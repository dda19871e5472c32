"""What the page of the ledger says is so: its tables are those that the tests go by, its commands and proofs exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import GraphQLUnionType, get_named_type
from typer.testing import CliRunner

from gateway.cli import app
from schema.graph import whole_graph
from tests.contract.ledger import outcomes, refusals

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def promises() -> list[list[str]]:
    """The rows of the table of promises: promise, proof, command."""
    section = PAGE.partition("\n## Promises\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("table", [outcomes.rendered(), outcomes.rendered_exceptions(), refusals.rendered()])
def test_the_page_has_the_tables_that_the_tests_go_by(table: str) -> None:
    assert table in PAGE, table


@pytest.mark.parametrize("mutation", outcomes.MUTATIONS)
def test_the_table_has_every_refusal_that_the_schema_promises(mutation: str) -> None:
    field = whole_graph().graphql_schema.mutation_type.fields[mutation]  # type: ignore[union-attr]
    union = get_named_type(field.type)
    assert isinstance(union, GraphQLUnionType)
    members = {member.name for member in union.types if not member.name.endswith("Success")}

    rows = {row.type for row in outcomes.outcomes_of(mutation)} - {outcomes.ERROR}
    anywhere = {row.type for row in outcomes.OUTCOMES} - {outcomes.ERROR}

    assert rows <= members
    assert members - anywhere == {"OutcomeUnknown"}


def test_every_row_can_be_told_from_all_others() -> None:
    kinds = [(row.type, row.code, row.tells) for row in outcomes.OUTCOMES]

    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize(("promise", "proof", "command"), promises(), ids=lambda cell: cell[:40])
def test_what_proves_a_promise_exists(promise: str, proof: str, command: str) -> None:
    paths = [word for word in quoted(proof) if "/" in word]
    names = [word for word in quoted(proof) if "/" not in word]
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in paths if (ROOT / path).is_file()]

    assert promise
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [name for name in names if not any(name in text for text in texts)] == []


@pytest.mark.parametrize("command", sorted({word for row in promises() for word in quoted(row[2])}))
def test_a_command_that_proves_one_exists(command: str) -> None:
    program, *words = command.split()

    if program == "agora":
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0
    else:
        assert (program, words[0] in TARGETS) == ("make", True)


@pytest.mark.parametrize("command", sorted({word for row in promises() for word in quoted(row[2]) if "-k" in word}))
def test_a_command_that_picks_tests_finds_some(command: str) -> None:
    _, target, picked = re.split(r" (?:ARGS=-k)?", command)
    folder = ROOT / "tests" / target.removeprefix("test-")

    names = [f"{path.relative_to(folder)} {path.read_text(encoding='utf-8')}" for path in folder.rglob("test_*.py")]
    assert [name for name in names if re.search(rf"^\S*{picked}|def test_\w*{picked}", name)] != []
