"""Contexts of people, as use cases get them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from datastores.commit import CommitLoops
from datastores.mongo import Database
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers.context import ANONYMOUS, Context, Viewer
from tests.integration.resolvers.people import Ask


@pytest.fixture
async def ask(database: Database) -> AsyncIterator[Ask]:
    """A context of the person with this id, or of nobody; all share the commit loops of one process."""
    commits = CommitLoops(database)
    hub = Hub(database, {})
    keys = PersonKeys(SealingKey.generate())

    def context(user_id: str | None) -> Context:
        viewer = ANONYMOUS if user_id is None else Viewer("person", user_id)
        return Context(database, commits, hub, viewer, keys=keys)

    yield context
    await commits.drain()


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[Hub]:
    """A hub that watches all logs."""
    async with Hub(database) as hub:
        yield hub


@pytest.fixture
def live(ask: Ask, hub: Hub) -> Ask:
    """As `ask`, with a hub that watches all logs."""
    return lambda user_id: replace(ask(user_id), hub=hub)
