"""The documents that GraphiQL opens with hold what the schema promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, OperationType, build_schema, parse, validate

from gateway.graphiql.page import STATIC

DOCUMENTS = sorted((STATIC.parent / "source" / "src" / "documents").glob("*.graphql"))
SCHEMA = build_schema((Path(__file__).parents[2] / "schema" / "core.graphql").read_text(encoding="utf-8"))


def operations(document: Path) -> list[OperationDefinitionNode]:
    parsed = parse(document.read_text(encoding="utf-8"))
    return [definition for definition in parsed.definitions if isinstance(definition, OperationDefinitionNode)]


def test_each_tab_has_its_document() -> None:
    assert [path.stem for path in DOCUMENTS] == ["chat", "partner", "pay", "shop", "timeline"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_document_is_valid(document: Path) -> None:
    assert [error.message for error in validate(SCHEMA, parse(document.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_operations_bear_the_name_of_their_tab(document: Path) -> None:
    tab = document.stem.capitalize()
    names = [operation.name.value for operation in operations(document) if operation.name]

    assert names[0] == tab
    assert {name for name in names if not name.startswith(tab)} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_the_live_operation_can_be_resumed(document: Path) -> None:
    live = [operation for operation in operations(document) if operation.name and operation.name.value.endswith("Live")]

    assert [operation.operation for operation in live] == [OperationType.SUBSCRIPTION]
    assert "after" in {variable.variable.name.value for variable in live[0].variable_definitions or ()}
