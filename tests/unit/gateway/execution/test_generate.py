"""The example of the architecture page is what the compiler makes."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.execution.documents import DocumentCache
from gateway.execution.programs import Programs
from gateway.execution.requests import OperationRequest
from schema.graph import whole_graph

PAGE = Path(__file__).resolve().parents[4] / "ARCHITECTURE.md"


def test_the_page_shows_the_plan_and_the_program_of_its_example() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## From an operation to its program\n")[2]
    shown = re.findall(r"```\w*\n(.*?)```", section, flags=re.DOTALL)[:2]
    query = re.search(r"`(query [^`]+)`", section)
    assert query is not None
    graph = whole_graph()
    request = OperationRequest(query[1], variables={"id": "post_1"}, persisted=True)

    program = Programs(graph).use(DocumentCache(graph.graphql_schema).prepare(request)).program({})

    assert shown == [f"{program.plan}\n", program.source]
