"""The subgraphs compose without a complaint, and every router shows clients the graph of one process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import get_introspection_query

from gateway.cli.supergraphs import (
    SUPERGRAPH,
    check,
    comparable,
    comparable_introspection,
    complaints_of,
    compose,
    export_subgraphs,
)
from schema.graph import whole_graph
from tests.federation.place import Place
from tests.topologies import ROUTERS
from tests.topologies.routers import DEPLOY
from tests.topologies.subgraphs import NAMES

SPECIFIED_BY = re.compile(r' @specifiedBy\(url: "[^"]*"\)')

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_three_composers_have_neither_errors_nor_hints(tmp_path: Path) -> None:
    export_subgraphs(tmp_path)

    answer = compose(tmp_path)

    names = [composer["name"] for composer in answer["composers"]]
    assert names == ["@theguild/federation-composition", "@apollo/composition", "grafbase"]
    assert complaints_of(answer) == []


async def test_a_contradiction_is_every_composers_complaint(tmp_path: Path) -> None:
    export_subgraphs(tmp_path)
    wallets = tmp_path / "wallets.graphql"
    wallets.write_text(wallets.read_text().replace("  minorUnits: BigInt!", "  minorUnits: [String!]!"))

    answer = compose(tmp_path)

    assert all(composer["errors"] for composer in answer["composers"])


async def test_the_supergraph_that_is_checked_in_is_the_codes() -> None:
    assert "is current" in check()


@pytest.mark.parametrize("domain", NAMES)
async def test_every_router_is_configured_for_every_domain(domain: str) -> None:
    assert f"[subgraphs.{domain}]" in (DEPLOY / "grafbase" / "grafbase.toml").read_text()
    assert f'url: "http://{domain}:8000/graphql"' in SUPERGRAPH.read_text()


@pytest.mark.parametrize("name", ROUTERS)
async def test_a_router_shows_the_graph_of_one_process(place: Place, name: str) -> None:
    town = place.behind(name)

    query = get_introspection_query(descriptions=False, specified_by_url=True)
    shown = comparable_introspection(await town.ask(None, query))

    expected = comparable(whole_graph().graphql_schema)
    if name == "grafbase":
        # Its clients see a scalar of federation's own, and not where a scalar is specified.
        assert "scalar _Any" in shown
        shown = shown.replace("scalar _Any", "").strip()
        expected = SPECIFIED_BY.sub("", expected)
    assert shown == expected
