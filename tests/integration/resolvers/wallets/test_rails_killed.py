"""A gateway is killed after it has reserved and before it has heard: whoever comes next brings it to one end."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datastores import wallets as store
from datastores.ledger import verify
from datastores.mongo import Database, Document, Driver
from resolvers import wallets
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, balance, fill, later

LIMIT_S = 30.0
ROOT = Path(__file__).resolve().parents[4]
MODULE = "tests.integration.resolvers.wallets.dying"


class Scene:
    """Ann, who has 6 EUR, and processes that die."""

    def __init__(self, database: Database, uri: str, driver: Driver, ask: Ask, ann: str, wallet: str) -> None:
        self.database, self.uri, self.driver = database, uri, driver
        self.ask, self.ann, self.wallet = ask, ann, wallet

    async def killed(self, way: str, *, key: str = "k") -> Document:
        """The instruction of a process that was killed while it waited for the rail."""
        master = self.ask(None).keys.master.raw.hex()
        arguments = (self.uri, self.database.name, self.driver, master, self.ann, self.wallet, way, key)
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", MODULE, *arguments, cwd=ROOT)
        try:
            async with asyncio.timeout(LIMIT_S):
                while (line := await self.database.find_one("sandbox_rail", {"account": "silent"})) is None:
                    assert process.returncode is None
                    await asyncio.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
        (instruction,) = await store.instructions_by_ids(self.database, [line["_id"]])
        assert instruction is not None
        assert instruction["state"] == "PENDING"
        return line

    async def again(self, way: str, *, key: str = "k") -> Any:
        """The same mutation once more, at another gateway."""
        given: dict[str, Any] = {"idempotency_key": key, "wallet_id": self.wallet, "amount": amount("5")}
        if way == "in":
            return await wallets.top_up_wallet(self.ask(self.ann), **given, source="sandbox:silent")
        return await wallets.withdraw_from_wallet(self.ask(self.ann), **given, destination="sandbox:silent")


@pytest.fixture
async def scene(database: Database, mongodb_uri: str, mongo_driver: Driver, ask: Ask) -> Scene:
    (ann,) = await people(database, "ann")
    return Scene(database, mongodb_uri, mongo_driver, ask, ann, await fill(ask, ann, "6"))


@pytest.mark.parametrize("way", ["in", "out"])
@pytest.mark.parametrize("arrived", [True, False], ids=["the rail has got it", "the rail has not got it"])
async def test_it_is_settled_once(scene: Scene, way: str, arrived: bool) -> None:
    line = await scene.killed(way)
    if arrived:
        await scene.database.update_one(
            "sandbox_rail", {"_id": line["_id"]}, {"$set": {"answers_at": line["settles_at"]}}
        )
    else:
        await scene.database.delete_one("sandbox_rail", {"_id": line["_id"]})

    meanwhile = await scene.again(way)
    assert (meanwhile["transfer"]["state"], meanwhile["replayed"]) == ("PENDING", True)
    assert await balance(scene.ask, scene.ann) == ((600, 600) if way == "in" else (600, 100))
    assert await wallets.ask_rails(scene.ask(None)) == 0
    for seconds in (10, 3 * 3_600):
        sweepers = (wallets.ask_rails(later(scene.ask, seconds)(None)) for _ in range(4))
        replays = (scene.again(way) for _ in range(10))
        await asyncio.gather(*sweepers, *replays)

    settled = await scene.again(way)
    assert (settled["transfer"]["state"], settled["replayed"]) == ("POSTED", True)
    posted = 1_100 if way == "in" else 100
    assert await balance(scene.ask, scene.ann) == (posted, posted)
    assert await scene.database.count("sandbox_rail", {"account": "silent"}) == 1
    assert await scene.database.count("entries", {"pending_id": line["_id"]}) == 1
    assert (await verify(scene.database)).problems == []


@pytest.mark.parametrize("way", ["in", "out"])
async def test_it_is_given_back_once_the_rail_refuses(scene: Scene, way: str) -> None:
    line = await scene.killed(way)
    refused = {"refused": True, "answers_at": line["settles_at"]}
    await scene.database.update_one("sandbox_rail", {"_id": line["_id"]}, {"$set": refused})

    await asyncio.gather(*(wallets.ask_rails(later(scene.ask, 10)(None)) for _ in range(4)))

    assert await balance(scene.ask, scene.ann) == (600, 600)
    assert await scene.database.count("entries", {"pending_id": line["_id"], "kind": "VOID"}) == 1
    assert (await verify(scene.database)).problems == []


async def test_the_day_says_what_still_hangs(scene: Scene) -> None:
    line = await scene.killed("out")
    day = line["settles_at"].date()
    now = line["settles_at"] + timedelta(hours=2)
    rails = store.connected_rails({"sandbox"}, scene.database, lambda: now)

    report = await store.reconcile(scene.database, "sandbox", rails["sandbox"], day, lambda: now)

    assert report["counts"] == {"STILL_PENDING": 1}
    assert report["findings"][0]["id"] == line["_id"]
