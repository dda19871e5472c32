"""A process that books a ride once, to be killed between the hold and the service's answer."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal

from datastores.commit import CommitLoops
from datastores.mongo import Database, Driver
from gateway.live.hub import Hub
from gateway.services import Upstream, UpstreamClient
from gateway.services.clients import http_client
from resolvers import rides
from resolvers.context import Context, Viewer
from tests.rides_service import PAYEE


async def run(
    uri: str, name: str, driver: Driver, url: str, token: str, user_id: str, quote_id: str, fare: str, key: str
) -> None:
    """Book this quote for this person."""
    database = await Database.connect(uri, name=name, driver=driver)
    upstream = Upstream(url, token, PAYEE)
    client = UpstreamClient("rides", upstream, http_client(upstream))
    viewer, services = Viewer("person", user_id), {"rides": client}
    ctx = Context(database, CommitLoops(database), Hub(database, {}), viewer, services=services)
    expected = {"amount": Decimal(fare), "currency": "EUR"}
    await rides.book_ride(ctx, idempotency_key=key, quote_id=quote_id, expected_max_fare=expected)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))  # type: ignore[arg-type]
