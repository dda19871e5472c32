"""Ann with 100 EUR, Victor, and a ride service of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from datastores.mongo import Database
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.rides.scenes import Scene
from tests.integration.resolvers.wallets.purses import fill
from tests.rides_service import PAYEE, rides_service


@pytest.fixture
async def scene(database: Database, live: Ask) -> AsyncIterator[Scene]:
    ann, victor = await people(database, "ann", PAYEE)
    await fill(live, ann, "100")
    async with rides_service() as service, service.client() as client:
        yield Scene(database, live, service, client, ann, victor)
