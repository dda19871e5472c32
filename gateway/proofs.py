"""What anybody may fetch to check the ledger's word: the keys that sign receipts, and the newest checkpoint."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from datastores import ledger
from datastores.mongo import Database, Document
from datastores.sealing import SealingKey

KEYS_PATH: Final = "/.well-known/agora/receipt-keys.json"
CHECKPOINT_PATH: Final = "/.well-known/agora/ledger-checkpoint.json"
KEYS_MAX_AGE_S: Final = 300
CHECKPOINT_MAX_AGE_S: Final = 60
REMEMBERED_S: Final = 2.0


def proof_routes(database: Database, master: SealingKey) -> list[Route]:
    """The routes of both, for anybody and for caches; however often they are asked, the database is every 2 s at most.

    404 for the checkpoint while there is none.
    """
    keys = _Remembered(lambda: _keys(database, master))
    checkpoint = _Remembered(lambda: _checkpoint(database))

    async def receipt_keys(request: Request) -> JSONResponse:
        return _answer(await keys.get(), KEYS_MAX_AGE_S, "application/jwk-set+json")

    async def ledger_checkpoint(request: Request) -> JSONResponse:
        return _answer(await checkpoint.get(), CHECKPOINT_MAX_AGE_S, "application/json")

    return [
        Route(KEYS_PATH, receipt_keys, methods=["GET"]),
        Route(CHECKPOINT_PATH, ledger_checkpoint, methods=["GET"]),
    ]


class _Remembered:
    """What was read, for 2 s."""

    def __init__(self, read: Callable[[], Awaitable[Document | None]]) -> None:
        self._read = read
        self._value: Document | None = None
        self._until = 0.0

    async def get(self) -> Document | None:
        if time.monotonic() >= self._until:
            self._value = await self._read()
            self._until = time.monotonic() + REMEMBERED_S
        return self._value


async def _keys(database: Database, master: SealingKey) -> Document:
    return dict(ledger.key_set(await ledger.public_keys(database, master)))


async def _checkpoint(database: Database) -> Document | None:
    newest = await ledger.newest_checkpoint(database)
    return None if newest is None else ledger.published(newest)


def _answer(body: Document | None, max_age_s: int, media_type: str) -> JSONResponse:
    if body is None:
        return JSONResponse({"error": "There is no checkpoint yet"}, 404, headers={"Cache-Control": "no-store"})
    headers = {"Cache-Control": f"public, max-age={max_age_s}"}
    return JSONResponse(body, headers=headers, media_type=media_type)
