"""An application whose merchant is paid."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from datastores.commit import CommitLoops
from datastores.mongo import Database
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers.context import ANONYMOUS, Context, Viewer
from tests.integration.gateway.webhooks.offices import Office, open_office
from tests.integration.resolvers.merchants.shops import offer
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import fill

MASTER = SealingKey(b"m" * 32)


@pytest.fixture
async def live(database: Database) -> AsyncIterator[Ask]:
    """Contexts of people in one process that watches all logs."""
    commits = CommitLoops(database)
    keys = PersonKeys(MASTER)
    async with Hub(database) as hub:

        def context(user_id: str | None) -> Context:
            viewer = ANONYMOUS if user_id is None else Viewer("person", user_id)
            return Context(database, commits, hub, viewer, keys=keys)

        yield context
        await commits.drain()


@pytest.fixture
async def office(database: Database, live: Ask) -> Office:
    """An application that may see the merchant of Carol, whom Ann pays."""
    ann, carol = await people(database, "ann", "carol")
    await fill(live, ann, "100")
    bowl = await offer(live, carol)
    return await open_office(live, ann, carol, bowl["merchant_id"])
