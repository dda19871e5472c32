"""One set of subgraphs behind all routers, started once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from datastores.mongo import Driver
from tests.contract.town import Town, open_planted
from tests.federation.fronts import Front
from tests.federation.place import SUBGRAPH_TIMEOUT_S, Place, feeds_at_most, until
from tests.rides_service import rides_service
from tests.topologies import ROUTERS
from tests.topologies.routers import router
from tests.topologies.subgraphs import subgraphs


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def place(
    mongodb_uri: str, mongo_driver: Driver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """The planted town with a ride service, its subgraphs as processes, and the routers in front of their fronts."""
    folder = tmp_path_factory.mktemp("place")
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(rides_service())
        planted = await stack.enter_async_context(open_planted(mongodb_uri, mongo_driver, folder, **service.settings))
        programs = await stack.enter_async_context(subgraphs(planted.environment, folder))
        fronts = {
            name: await stack.enter_async_context(Front(program.port).open()) for name, program in programs.items()
        }
        addresses = {name: front.address for name, front in fronts.items()}
        starting = []
        for name in ROUTERS:
            here = folder / name
            here.mkdir()
            starting.append(
                stack.enter_async_context(router(name, addresses, here, subgraph_timeout_s=SUBGRAPH_TIMEOUT_S))
            )
        routers = dict(zip(ROUTERS, await asyncio.gather(*starting), strict=True))
        first = routers[ROUTERS[0]]
        town = Town(planted.gateway, planted.issuer, first.url, first.websocket_url or "", planted.http, programs)
        yield Place(town, routers, fronts, service, planted.environment, folder)


@pytest_asyncio.fixture(loop_scope="session")
async def nothing_left(place: Place) -> AsyncIterator[None]:
    """Afterwards no feed is open in the subgraphs that was not before: the next test counts them."""
    before = await place.town.feeds()
    yield
    await until(lambda: feeds_at_most(place.town, before), "all feeds are closed")
