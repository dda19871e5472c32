"""The town that contract tests ask: planted once a run, shared by all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from datastores.mongo import Driver
from tests.contract.town import Town, open_town


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def town(mongodb_uri: str, mongo_driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A running gateway over the demo town."""
    async with open_town(mongodb_uri, mongo_driver, tmp_path_factory.mktemp("town")) as town:
        yield town
