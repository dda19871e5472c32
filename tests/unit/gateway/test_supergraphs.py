"""The checked-in supergraph shows clients the code's graph, and each subgraph is written as composers can read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import build_schema, parse

from gateway.cli.errors import CommandError
from gateway.cli.supergraphs import SUPERGRAPH, check_api, comparable, complaints_of, export_subgraphs, subgraph_sdls
from schema.graph import DOMAINS, subgraph, whole_graph


def test_the_supergraph_shows_clients_the_whole_graph() -> None:
    supergraph = build_schema(SUPERGRAPH.read_text())

    assert comparable(supergraph) == comparable(whole_graph().graphql_schema)


def test_another_graph_is_refused_with_the_command_that_mends_it() -> None:
    other = build_schema("type Query { a: Int }")

    with pytest.raises(CommandError, match="make supergraph"):
        check_api(other)


def test_the_supergraph_names_every_domain_at_its_own_address() -> None:
    supergraph = SUPERGRAPH.read_text()

    for domain in DOMAINS:
        assert f'@join__graph(name: "{domain.name}", url: "http://{domain.name}:8000/graphql")' in supergraph


def test_the_sdl_for_composers_says_what_the_subgraph_says() -> None:
    for name, sdl in subgraph_sdls().items():
        assert parse(sdl, no_location=True) == parse(subgraph(name).as_str(), no_location=True)


def test_no_description_for_composers_begins_and_ends_on_one_line() -> None:
    for sdl in subgraph_sdls().values():
        assert all(line.count('"""') < 2 for line in sdl.splitlines())


def test_each_subgraph_is_written_to_a_file_of_its_name(tmp_path: Path) -> None:
    files = export_subgraphs(tmp_path / "subgraphs")

    assert [file.name for file in files] == [f"{domain.name}.graphql" for domain in DOMAINS]
    assert all("@key" in file.read_text() for file in files)


def test_errors_and_hints_of_any_composer_are_complaints() -> None:
    composers = [
        {"name": "one", "version": "1", "errors": ["wrong"], "hints": []},
        {"name": "two", "version": "2", "errors": [], "hints": ["odd"]},
    ]

    assert complaints_of({"composers": composers}) == ["one 1: wrong", "two 2: odd"]
