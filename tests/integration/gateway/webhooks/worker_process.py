"""A process that does nothing but deliver webhooks: `python -m … URI DATABASE DRIVER`, until it is killed."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

from datastores.commit import CommitLoops
from datastores.mongo import Database
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from gateway.webhooks.deliverer import Means
from gateway.webhooks.guard import Guard
from gateway.webhooks.lanes import Lanes
from gateway.webhooks.sending import Sender
from gateway.webhooks.worker import WebhookWorker
from resolvers.context import Context
from resolvers.webhooks import Schedule

LEASE_TTL_S = 7.0
TIMEOUT_S = 3.0


async def main(uri: str, name: str, driver: Any) -> None:
    database = await Database.connect(uri, name=name, driver=driver)
    context = Context(database, CommitLoops(database), hub := Hub(database), keys=PersonKeys(SealingKey(b"m" * 32)))
    guard, verify = Guard(private=True), ssl.create_default_context()
    means = Means(
        context.fresh,
        lambda: Sender(guard, verify, timeout_s=TIMEOUT_S),
        Lanes(),
        schedule=Schedule((0.05, 0.1)),
    )
    async with hub, WebhookWorker(database, means, lease_ttl_s=LEASE_TTL_S, attempt_s=TIMEOUT_S, refreshed_s=0.2):
        print("ready", flush=True)  # noqa: T201  # whoever started it waits for this
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
