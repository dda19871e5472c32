"""`agora person erase` as an operator runs it."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datastores import accounts, ledger
from datastores.indexes import create_indexes
from datastores.mongo import Database, Driver
from datastores.sealing import SealingKey
from resolvers.accounts import sign_in
from tests.integration.datastores.ledger import town
from tests.integration.gateway.test_command_line import AGORA, RUN_TIMEOUT_S, environment

MASTER = SealingKey(b"m" * 32)


class Registry:
    """A database with one person in it, and the command over it."""

    def __init__(self, database: Database, folder: Path, uri: str, user_id: str) -> None:
        self.database, self.user_id = database, user_id
        self._folder = folder
        self._more = {
            "MONGODB_URI": uri,
            "AGORA_DATABASE": database.name,
            "AGORA_MASTER_KEY": base64.b64encode(MASTER.raw).decode(),
        }

    async def erase(self, *arguments: str, answer: str = "", **more: str) -> tuple[int, str, str]:
        """Exit code and what was printed, where `answer` is typed."""
        process = await asyncio.create_subprocess_exec(
            AGORA,
            *("person", "erase", *arguments),
            env=environment(self._folder, **{**self._more, **more}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(RUN_TIMEOUT_S):
            out, error = await process.communicate(answer.encode())
        return process.returncode or 0, out.decode(), error.decode()

    async def handle(self) -> str:
        (user,) = await accounts.by_ids(self.database, [self.user_id])
        assert user is not None
        return str(user["handle"])


@pytest.fixture
async def registry(mongodb_uri: str, mongo_driver: Driver, tmp_path: Path) -> AsyncIterator[Registry]:
    name = f"agora_test_{os.getpid()}_{time.monotonic_ns() % 10**9}"
    database = await Database.connect(mongodb_uri, name=name, driver=mongo_driver)
    try:
        await create_indexes(database)
        user_id = await sign_in(database, issuer="i", subject="ann", preferred_username="ann", name="Ann")
        yield Registry(database, tmp_path, mongodb_uri, user_id)
    finally:
        await database.drop()
        await database.close()


async def test_it_asks_and_only_yes_erases(registry: Registry) -> None:
    no = await registry.erase("ann", answer="n\n")
    nothing = await registry.erase("ann")
    assert (no[0], nothing[0]) == (1, 1)
    assert f"Erase ann (Ann, {registry.user_id}) for ever?" in no[1]
    assert await registry.handle() == "ann"

    code, out, error = await registry.erase("ann", answer="y\n")

    assert code == 0, error
    assert out.endswith(f"erased {registry.user_id}, who is {accounts.erased_handle(registry.user_id)} now\n")
    assert await registry.handle() == accounts.erased_handle(registry.user_id)


async def test_it_may_be_said_again_by_id(registry: Registry) -> None:
    first = await registry.erase("@ann", "--yes")
    again = await registry.erase(registry.user_id, "--yes")
    gone = await registry.erase("ann", "--yes")

    assert (first[0], again[0], gone[0]) == (0, 0, 1)
    assert gone[2] == "agora: 'ann' is neither a person's handle nor their id\n"


async def test_money_is_one_line_and_exit_code_1(registry: Registry) -> None:
    wallet = await town.fill(town.loop(registry.database), registry.user_id, 250)

    code, _, error = await registry.erase("ann", "--yes")

    assert (code, error) == (1, f"agora: This person cannot be erased yet: wallet {wallet} holds 2.50 EUR\n")
    assert await registry.handle() == "ann"
    assert (await ledger.verify(registry.database)).holds


async def test_another_master_key_erases_nobody(registry: Registry) -> None:
    await registry.erase("nobody", "--yes")

    code, _, error = await registry.erase("ann", "--yes", AGORA_MASTER_KEY=base64.b64encode(b"o" * 32).decode())

    assert code == 1
    assert error.startswith("agora: AGORA_MASTER_KEY")
    assert await registry.handle() == "ann"
