"""`agora ledger reconcile` as an operator runs it: a process of its own, exit codes, a table, a report in a file."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from datastores.clock import utc_now
from datastores.commit import CommitLoops
from datastores.indexes import create_indexes
from datastores.mongo import Database, Driver
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers import wallets
from resolvers.context import Context, Viewer
from tests.integration.gateway.test_command_line import run
from tests.integration.resolvers.people import people
from tests.integration.resolvers.wallets.purses import amount, key

NEARLY_OVER = timedelta(seconds=60)


async def begun_day() -> str:
    """Today, which lasts a while yet."""
    while (utc_now() + NEARLY_OVER).date() != utc_now().date():  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    return utc_now().date().isoformat()


class Operator:
    """Who runs the command on a database in which 5 and 1 EUR came in today, and 2 EUR went out."""

    def __init__(self, folder: Path, uri: str, name: str, today: str) -> None:
        self.folder = folder
        self.today = today
        self.settings = {"MONGODB_URI": uri, "AGORA_DATABASE": name}

    async def reconcile(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        return await run(self.folder, "ledger", "reconcile", *arguments, **{**self.settings, **more})


@pytest.fixture
async def operator(bare_database: Database, mongodb_uri: str, mongo_driver: Driver, tmp_path: Path) -> Operator:
    await create_indexes(bare_database)
    today = await begun_day()
    (ann,) = await people(bare_database, "ann")
    commits = CommitLoops(bare_database)
    keys = PersonKeys(SealingKey.generate())
    ctx = Context(bare_database, commits, Hub(bare_database, {}), Viewer("person", ann), keys=keys)
    wallet = (await wallets.open_wallet(ctx, currency="EUR"))["_id"]
    for text in ("5", "1"):
        await wallets.top_up_wallet(
            ctx, idempotency_key=key(), wallet_id=wallet, amount=amount(text), source="sandbox:ok"
        )
    await wallets.withdraw_from_wallet(
        ctx, idempotency_key=key(), wallet_id=wallet, amount=amount("2"), destination="sandbox:ok"
    )
    await commits.drain()
    return Operator(tmp_path, mongodb_uri, bare_database.name, today)


async def test_a_day_that_agrees(operator: Operator, bare_database: Database) -> None:
    file = operator.folder / "report.json"

    code, out, error = await operator.reconcile("--day", operator.today, "--rail", "sandbox", "--output", str(file))

    report = json.loads(file.read_text())
    assert code == 0, error
    assert f"sandbox, {operator.today}, so far: 3 agree" in out
    assert out.count("6.00 (2)") == 3
    assert out.count("2.00 (1)") == 3
    assert "all agrees" in out
    assert report["totals"]["EUR"]["rail"] == {
        "in": {"count": 2, "minor_units": "600"}, "out": {"count": 1, "minor_units": "200"},
    }  # fmt: skip
    assert (report["findings"], report["is_final"], len(report["digest"])) == ([], False, 64)
    kept = await bare_database.find_one("reconciliations", {"_id": report["_id"]})
    assert kept is not None
    assert kept["digest"] == report["digest"]


async def test_whatever_differs_is_shown_and_the_exit_code_says_so(operator: Operator, bare_database: Database) -> None:
    line = await bare_database.find_one("sandbox_rail", {"direction": "OUT"})
    assert line is not None
    await bare_database.delete_one("sandbox_rail", {"_id": line["_id"]})
    file = operator.folder / "report.json"

    code, out, error = await operator.reconcile("--day", operator.today, "--output", str(file))

    assert code == 1
    assert "Traceback" not in error
    assert "MISSING_AT_RAIL" in out
    assert line["_id"] in out
    assert "1 differs" in out
    assert json.loads(file.read_text())["counts"] == {"MISSING_AT_RAIL": 1}


async def test_yesterday_is_meant_where_no_day_is_said(operator: Operator) -> None:
    code, out, error = await operator.reconcile()

    assert code == 0, error
    assert f"sandbox, {utc_now().date() - timedelta(days=1)}: 0 agree" in out


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        (("--day", "2096-01-01"), {}, "agora: 2096-01-01 has not begun"),
        (("--rail", "bank"), {}, "agora: the rail bank is not connected here; connected: sandbox"),
        ((), {"AGORA_SANDBOX_RAIL": "false"}, "agora: no rail is connected here: there is nothing to reconcile"),
    ],
)
async def test_what_cannot_be_done_is_one_clear_line(
    operator: Operator, arguments: tuple[str, ...], more: dict[str, str], said: str
) -> None:
    code, out, error = await operator.reconcile(*arguments, **more)

    assert (code, out) == (1, "")
    assert error.splitlines()[-1] == said
    assert "Traceback" not in error


async def test_a_day_that_is_none_is_refused(operator: Operator) -> None:
    code, _, error = await operator.reconcile("--day", "14.3.2026")

    assert code == 2
    assert "14.3.2026" in error
