"""Looks at the whole ledger in one snapshot after the other, whatever happens to it meanwhile."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from datastores.ledger import AccountKind
from datastores.ledger.accounts import ACCOUNTS
from datastores.ledger.entries import ENTRIES, PARTITION
from datastores.merchants import LISTINGS, ORDERS
from tests.faults.order_proofs import wrong_escrows, wrong_stock

INTERVAL_S: Final = 0.2


class Auditor:
    """What must hold at every instant.

    Sums of zero by currency, nobody below zero, entries numbered without a hole; of each listing as much left and
    ordered as there was; in escrow the total of what is paid and not settled.
    """

    def __init__(self, uri: str, name: str) -> None:
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            uri, serverSelectionTimeoutMS=2_000, socketTimeoutMS=5_000
        )
        self._database = self._client[name]
        self.audits = 0
        self.failed_reads = 0
        self.findings: list[str] = []

    async def run(self) -> None:
        """Audit until cancelled."""
        try:
            while True:
                try:
                    await self._audit()
                    self.audits += 1
                except PyMongoError:
                    self.failed_reads += 1
                await asyncio.sleep(INTERVAL_S)
        finally:
            await self._client.close()

    async def _audit(self) -> None:
        async with self._client.start_session(snapshot=True) as session:
            accounts = await self._database[ACCOUNTS].find({}, session=session).to_list(None)
            last = {"partition": PARTITION}
            head = await self._database[ENTRIES].find_one(last, sort=[("seq", -1)], session=session)
            pipeline: list[dict[str, Any]] = [{"$count": "n"}]
            counted = await (await self._database[ENTRIES].aggregate(pipeline, session=session)).to_list(1)
            listings = await self._database[LISTINGS].find({}, session=session).to_list(None)
            orders = await self._database[ORDERS].find({}, session=session).to_list(None)
        sums: dict[str, int] = defaultdict(int)
        for account in accounts:
            sums[account["currency"]] += account["posted"]
            if account["kind"] != AccountKind.RAIL and account["posted"] - account["pending_out"] < 0:
                self.findings.append(f"{account['_id']} is below zero")
        self.findings += [f"{currency} sums to {total}" for currency, total in sums.items() if total != 0]
        numbers = (head["seq"] if head else 0, counted[0]["n"] if counted else 0)
        if numbers[0] != numbers[1]:
            self.findings.append(f"the last entry is {numbers[0]}, there are {numbers[1]} entries")
        escrows = [account for account in accounts if account["kind"] == AccountKind.ESCROW]
        self.findings += [*wrong_stock(listings, orders), *wrong_escrows(escrows, orders)]
