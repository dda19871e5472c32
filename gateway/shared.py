"""What the processes of one deployment share beside money and events: clients' budgets, and registered documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from datastores import budgets as levels
from datastores import documents
from datastores.mongo import Database
from gateway.background import Background
from gateway.budgets import Budgets, CostLimits

PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
TIMEOUT_S: Final = 5.0

_log = structlog.get_logger(__name__)


class BudgetExchange(Background):
    """Tells the other processes what clients spend here, and hears what they have spent there; use `async with`.

    No request waits for it and none writes: a client is told of when it has spent a hundredth of its bucket, all of
    them together in two commands, ten times a second at most. So a client gets beyond its bucket, in each process, a
    hundredth of it and what is resolved in a tenth of a second; that is a debt, which it pays off before it is served
    again. While the database is away each process goes by what it knows.
    """

    task_name = "budget exchange"

    def __init__(self, database: Database, budgets: Budgets, limits: CostLimits, digest: Callable[..., str]) -> None:
        self._database = database
        # Nobody's address or account stands in the database, nor what could be tried against it.
        self._digest = digest
        self._budgets = budgets
        self._limits = limits

    async def run(self) -> None:
        """Forever tells what is due, and hears."""
        pause_s = PAUSE_S
        while True:
            await self._budgets.is_due.wait()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._exchange()
                pause_s = PAUSE_S
            except Exception as failure:
                # What was told may have been heard: better to lose a hundredth of a bucket than to count it twice.
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
                _log.warning("budgets_not_exchanged", error=type(failure).__name__)
            await asyncio.sleep(pause_s)

    async def _exchange(self) -> None:
        told = self._budgets.tell()
        names = {self._digest("budget", *client): client for client in told}
        spent = {name: told[client] for name, client in names.items()}
        if not spent:
            return
        limits = self._limits
        found = await levels.settle(self._database, spent, bucket=limits.bucket, restore_per_s=limits.restore_per_s)
        self._budgets.hear({names[name]: level for name, level in found.items()})


class DocumentShelf:
    """Registered documents in the database. A database that is away is no reason to refuse a request for it."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def find(self, id: str) -> str | None:
        """The text of a document, or None."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await documents.find(self._database, id)
        except Exception as failure:
            _log.warning("document_not_found_out", error=type(failure).__name__)
            return None

    async def keep(self, id: str, text: str) -> None:
        """Keep a document for the others."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await documents.keep(self._database, id, text, self._now())
        except Exception as failure:
            _log.warning("document_not_shared", error=type(failure).__name__)
