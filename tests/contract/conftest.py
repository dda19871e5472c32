"""The town that contract tests ask: planted once a run, shared by all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from datastores.mongo import Driver
from tests.contract.town import Town, open_town
from tests.topologies import ONE
from tests.topologies.differences import TOWNLESS, difference

DIFFERENT = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is known to differ behind the router."""
    counts: dict[str, int] = {}
    config.stash[DIFFERENT] = counts
    topology = config.getoption("topology")
    different = {item: reason for item in items if (reason := _difference(item, topology)) is not None}
    for reason in different.values():
        counts[reason] = counts.get(reason, 0) + 1
    if different:
        config.hook.pytest_deselected(items=list(different))
        items[:] = [item for item in items if item not in different]


def _difference(item: pytest.Item, topology: str) -> str | None:
    if topology != ONE and not {"town", "early"} & set(getattr(item, "fixturenames", ())):
        return TOWNLESS
    found = difference(item.nodeid, topology)
    return None if found is None else found.reason


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why."""
    for reason, count in config.stash.get(DIFFERENT, {}).items():
        terminalreporter.write_line(f"{count} not run behind {config.getoption('topology')}: {reason}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def town(
    mongodb_uri: str, mongo_driver: Driver, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncIterator[Town]:
    """A running gateway over the demo town, or a router in front of its subgraphs (`--topology`)."""
    topology = pytestconfig.getoption("topology")
    async with open_town(mongodb_uri, mongo_driver, tmp_path_factory.mktemp("town"), topology) as town:
        yield town
