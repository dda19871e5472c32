"""A receipt from the graph is checked with what the gateway publishes, by the command and by nothing else of ours."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from datastores import ledger
from gateway.cli.receipts import check
from gateway.proofs import CHECKPOINT_PATH, KEYS_PATH
from tests.contract.acts import done, eur, key, newcomer
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECEIPT = "receipt { seq body entryHash previousHash headSeq headHash keyId signature }"
# A chore makes the first checkpoint about 10 s after the gateway has started.
PATIENCE_S = 40.0


async def test_a_receipt_from_the_graph_is_checked_with_the_published_keys(town: Town, tmp_path: Path) -> None:
    payer, payee = await newcomer(town, funds="10"), await newcomer(town)
    to = {"userId": await town.id_of(payee)}
    paid = await done(
        town,
        payer,
        "transferFunds",
        f"transfer {{ id {RECEIPT} }}",
        idempotencyKey=key(),
        to=to,
        amount=eur("2.50"),
        memo="Für die Fähre",
    )
    file = tmp_path / "answer.json"
    file.write_text(json.dumps({"data": {"transferFunds": paid}}))
    published = town.origin + KEYS_PATH

    said = await asyncio.to_thread(check, file, published)

    lines = said.splitlines()
    assert lines[0].split() == ["receipt", "holds"]
    assert f"paid by   {await town.id_of(payer)}" in lines
    assert f"paid to   {to['userId']}" in lines
    assert 'memo      "Für die Fähre"' in lines
    assert any(line.startswith("own leg   -2.50 EUR on wal_") for line in lines)


async def test_the_newest_checkpoint_is_published_and_the_ledger_leads_through_it(town: Town) -> None:
    address = town.origin + CHECKPOINT_PATH
    await newcomer(town, funds="1")

    async with asyncio.timeout(PATIENCE_S):
        while (answer := await town.http.get(address)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.5)

    kept = ledger.kept_checkpoint(answer.json())
    ledger.check_checkpoint(kept, await ledger.public_keys(town.gateway.database))
    report = await ledger.verify(town.gateway.database, kept=[kept])
    assert ledger.problem_lines(report.problems) == []
    assert report.checkpoints >= kept["number"]
