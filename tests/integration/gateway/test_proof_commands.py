"""Proofs as people check them: `agora receipt` and `agora ledger`, processes of their own, over real receipts."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Router

from datastores import ledger
from datastores.clock import utc_now
from datastores.indexes import create_indexes
from datastores.mongo import Database, Driver
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.proofs import CHECKPOINT_PATH, KEYS_PATH, proof_routes
from tests.integration.datastores.ledger import town
from tests.integration.gateway.test_command_line import run

MASTER = SealingKey(b"m" * 32)
DOCS = Path(__file__).parents[3] / "docs" / "proofs.md"


@dataclass(frozen=True)
class Office:
    """A ledger with a few entries, and the commands that look into its database."""

    database: Database
    folder: Path
    environment: dict[str, str]

    async def agora(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        return await run(self.folder, *arguments, **{**self.environment, **more})

    async def receipt(self, reader: str = "ann") -> dict[str, Any]:
        """A receipt as the graph returns it."""
        person_keys, commits = PersonKeys(MASTER), town.loop(self.database)
        memo = ledger.written_memo('for "lunch"', "ann", await person_keys.key(self.database, "ann", utc_now()))
        paid = town.transfer("ann", "ben", 250)
        transfer = ledger.Transfer(paid.source, paid.target, 250, "EUR", sender_id="ann", recipient_id="ben", memo=memo)
        entry = (await commits.submit(ledger.PostTransfer(town.command("ann"), transfer))).accepted()
        head = await ledger.head(self.database)
        assert head is not None
        key = await ledger.signing_key(self.database, MASTER, utc_now())
        made = ledger.receipt(entry, reader, head, key, memo=memo.text, memo_salt=memo.salt)
        camel = {re.sub(r"_(.)", lambda match: match[1].upper(), name): value for name, value in made.items()}
        return {**camel, "seq": str(made["seq"]), "headSeq": str(made["head_seq"])}

    def file(self, name: str, content: object) -> str:
        path = self.folder / name
        path.write_text(json.dumps(content))
        return str(path)


def read(path: Path | str) -> Any:
    return json.loads(Path(path).read_text())


@pytest.fixture
async def office(mongodb_uri: str, mongo_driver: Driver, tmp_path: Path) -> AsyncIterator[Office]:
    name = f"agora_test_{os.getpid()}_{time.monotonic_ns() % 10**9}"
    database = await Database.connect(mongodb_uri, name=name, driver=mongo_driver)
    try:
        await create_indexes(database)
        await town.fill(town.loop(database), "ann", 1_000)
        environment = {
            "MONGODB_URI": mongodb_uri,
            "AGORA_DATABASE": name,
            "AGORA_MASTER_KEY": base64.b64encode(MASTER.raw).decode(),
        }
        yield Office(database, tmp_path, environment)
    finally:
        await database.drop()
        await database.close()


@asynccontextmanager
async def published(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Router(proof_routes(database, MASTER)))
    async with httpx.AsyncClient(transport=transport, base_url="http://agora") as http:
        yield http


async def test_a_receipt_is_checked_without_a_database(office: Office) -> None:
    receipt = office.file("receipt.json", {"data": {"transfer": {"receipt": await office.receipt()}}})
    (office.folder / "receipt-keys.json").write_text((await office.agora("receipt", "keys"))[1])

    nowhere = {"MONGODB_URI": "mongodb://127.0.0.1:1/"}
    code, out, error = await office.agora("receipt", "check", receipt, **nowhere)

    assert (code, error) == (0, "")
    lines = dict(re.findall(r"^(\S+(?: \S+)?) {2,}(.*)$", out, re.MULTILINE))
    assert out.splitlines()[0].split() == ["receipt", "holds"]
    assert lines["amount"] == "2.50 EUR"
    assert (lines["paid by"], lines["paid to"]) == ("ann", "ben")
    assert lines["memo"] == r'"for \"lunch\""'
    assert lines["own leg"].startswith("-2.50 EUR on wal_")
    assert lines["own leg"].endswith("balance then 7.50 EUR")
    assert lines["sealed"] == "1 of 2 legs with their balances"


async def test_who_was_paid_learns_nothing_of_the_payer(office: Office) -> None:
    receipt = office.file("receipt.json", await office.receipt("ben"))
    keys = office.file("keys.json", json.loads((await office.agora("receipt", "keys"))[1]))

    code, out, _ = await office.agora("receipt", "check", receipt, "--keys", keys)

    assert code == 0
    assert "7.50" not in out
    assert "sealed    1 of 2 legs with their balances, who asked, and under which key" in out


async def test_a_receipt_that_was_changed_is_one_line_and_exit_code_1(office: Office) -> None:
    receipt = await office.receipt()
    keys = office.file("keys.json", json.loads((await office.agora("receipt", "keys"))[1]))
    more = office.file("more.json", {**receipt, "body": receipt["body"].replace('"250"', '"999"')})
    other = office.file("other.json", {**receipt, "keyId": "key_unknown"})
    half = office.file("half.json", {"body": receipt["body"], "signature": receipt["signature"]})
    nothing = office.file("nothing.json", {"data": None})

    for file, text in ((more, "hash"), (other, "not published"), (half, "not complete"), (nothing, "no receipt")):
        code, out, error = await office.agora("receipt", "check", file, "--keys", keys)
        assert (code, out, error.count("\n")) == (1, "", 1), error
        assert text in error


async def test_files_that_cannot_be_read_are_one_line(office: Office) -> None:
    receipt = office.file("receipt.json", await office.receipt())
    (office.folder / "text.json").write_text("not JSON")

    missing = await office.agora("receipt", "check", receipt)
    text = await office.agora("receipt", "check", receipt, "--keys", str(office.folder / "text.json"))
    url = await office.agora("receipt", "check", receipt, "--keys", "http://127.0.0.1:1/keys")

    for code, out, error in (missing, text, url):
        assert (code, out) == (1, "")
        assert error.startswith("agora: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error


async def test_a_rotated_key_stays_published(office: Office) -> None:
    receipt = office.file("receipt.json", await office.receipt())
    code, out, _ = await office.agora("receipt", "rotate-key")

    keys = json.loads((await office.agora("receipt", "keys"))[1])["keys"]

    assert code == 0
    assert keys[0]["kid"] == out.strip()
    assert len(keys) == 2
    assert (await office.agora("receipt", "check", receipt, "--keys", office.file("k.json", {"keys": keys})))[0] == 0


async def test_another_master_key_rotates_nothing(office: Office) -> None:
    await office.receipt()
    await office.agora("receipt", "rotate-key")

    code, _, error = await office.agora("receipt", "rotate-key", AGORA_MASTER_KEY=base64.b64encode(b"o" * 32).decode())

    assert code == 1
    assert error.startswith("agora: AGORA_MASTER_KEY")
    assert len(await ledger.public_keys(office.database)) == 2


async def test_keys_and_checkpoint_are_published_for_caches(office: Office) -> None:
    await office.receipt()
    async with published(office.database) as http:
        keys, none = await http.get(KEYS_PATH), await http.get(CHECKPOINT_PATH)
    made = await ledger.make_checkpoint(office.database, MASTER, utc_now())
    async with published(office.database) as http:
        checkpoint = await http.get(CHECKPOINT_PATH)

    assert ledger.keys_of_set(keys.json()) == await ledger.public_keys(office.database)
    assert keys.headers["cache-control"] == "public, max-age=300"
    assert none.status_code == 404
    assert ledger.kept_checkpoint(checkpoint.json()) == made
    assert checkpoint.headers["cache-control"] == "public, max-age=60"


async def test_checkpoints_are_made_listed_kept_and_compared(office: Office) -> None:
    await office.receipt()
    kept = str(office.folder / "kept.json")
    report = office.folder / "report.json"

    made = await office.agora("ledger", "checkpoint", "--export", kept)
    listed = await office.agora("ledger", "checkpoint", "--list")
    verified = await office.agora("ledger", "verify", "--checkpoint", kept, "--output", str(report))
    await office.database.update_one("entries", {"seq": 2}, {"$set": {"recipient_id": "mallory"}})
    broken = await office.agora("ledger", "verify", "--checkpoint", kept, "--output", f"{report}2")

    assert json.loads(made[1]) == read(kept)
    assert listed[1].split()[:2] == ["1", "2"]
    assert verified[0] == 0, verified[2]
    assert read(report) | {"headHash": ""} == {
        "holds": True,
        "entries": 2,
        "accounts": 3,
        "checkpoints": 1,
        "headHash": "",
        "brokenAt": None,
        "problems": [],
    }
    assert broken[0] == 1
    assert "(entry 2)" in broken[2]
    found = read(f"{report}2")
    assert (found["holds"], found["brokenAt"]) == (False, 2)
    assert found["problems"][0]["seq"] == 2


async def test_a_file_that_is_no_checkpoint_is_one_line(office: Office) -> None:
    code, _, error = await office.agora("ledger", "verify", "--checkpoint", office.file("x.json", {"seq": 1}))

    assert code == 1
    assert error.splitlines()[-1].startswith("agora: ")
    assert "holds no checkpoint" in error


async def test_the_snippet_of_the_documentation_checks_a_receipt(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = await office.receipt()
    office.file("receipt.json", receipt)
    office.file("receipt-keys.json", json.loads((await office.agora("receipt", "keys"))[1]))
    (snippet,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(office.folder)

    exec(snippet, {})

    for change in ({"seq": "3"}, {"body": receipt["body"].replace('"250"', '"999"')}, {"headHash": "0" * 64}):
        office.file("receipt.json", {**receipt, **change})
        with pytest.raises(Exception):  # noqa: B017, PT011
            exec(snippet, {})
