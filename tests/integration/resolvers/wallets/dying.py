"""A process that tops up or withdraws once, to be killed while it waits for the rail."""

from __future__ import annotations

import asyncio
import sys

from datastores.commit import CommitLoops
from datastores.mongo import Database, Driver
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers import wallets
from resolvers.context import Context, Viewer
from tests.integration.resolvers.wallets.purses import amount


async def run(
    uri: str, name: str, driver: Driver, master: str, user_id: str, wallet_id: str, way: str, key: str
) -> None:
    """Move 5 EUR through the account that never answers."""
    database = await Database.connect(uri, name=name, driver=driver)
    keys = PersonKeys(SealingKey(bytes.fromhex(master)))
    ctx = Context(database, CommitLoops(database), Hub(database, {}), Viewer("person", user_id), keys=keys)
    given = {"idempotency_key": key, "wallet_id": wallet_id, "amount": amount("5")}
    if way == "in":
        await wallets.top_up_wallet(ctx, **given, source="sandbox:silent")  # type: ignore[arg-type]
    else:
        await wallets.withdraw_from_wallet(ctx, **given, destination="sandbox:silent")  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))  # type: ignore[arg-type]
