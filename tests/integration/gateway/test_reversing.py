"""`agora ledger reverse`: which entry is meant, what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from datastores import ledger
from datastores.errors import ConflictError, InsufficientFundsError
from datastores.mongo import Database
from gateway.cli.errors import CommandError
from gateway.cli.reversals import reverse
from gateway.settings import Settings
from tests.integration.datastores.ledger import town


@pytest.fixture
def settings(mongodb_uri: str, shared_database_name: str, tmp_path: Path) -> Settings:
    return Settings(mongodb_uri=mongodb_uri, database=shared_database_name, data_dir=tmp_path)


async def paid(database: Database) -> ledger.Entry:
    commits = town.loop(database)
    await town.fill(commits, "ann", 1_000)
    return (await town.pay(commits, "ann", "ben", 250)).accepted()


@pytest.mark.parametrize("prefix", ["ent", "trf", "leg"])
async def test_an_entry_is_named_by_its_id_its_transfer_or_a_leg(
    database: Database, settings: Settings, prefix: str
) -> None:
    entry = await paid(database)
    named = ledger.leg_id(entry["_id"], 1) if prefix == "leg" else ledger.sibling_id(entry["_id"], prefix)

    first = await reverse(settings, named, " Paid twice ")
    again = await reverse(settings, named, "Again")

    (newest,) = (await town.entries(database))[-1:]
    assert first == f"reversed: 2.50 EUR of {entry['_id']} by {newest['_id']} (entry {newest['seq']})"
    assert again == first.replace("reversed", "was reversed before", 1)
    assert newest["details"] == {"reason": "Paid twice"}
    assert (await town.account(database, ledger.wallet_id("ann", "EUR")))["posted"] == 1_000


async def test_what_is_named_must_be_there_and_have_a_reason(database: Database, settings: Settings) -> None:
    entry = await paid(database)

    for named in ("", "nonsense", "usr_01JD0000000000000000000000", "ent_01JD0000000000000000000000"):
        with pytest.raises(CommandError, match="there is no entry"):
            await reverse(settings, named, "A mistake")
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(CommandError, match="a reason has 1 to 500 characters"):
            await reverse(settings, entry["_id"], reason)

    assert (await town.entries(database))[-1]["_id"] == entry["_id"]


async def test_a_refusal_is_said_and_may_be_tried_again(database: Database, settings: Settings) -> None:
    entry = await paid(database)
    commits = town.loop(database)
    (await town.pay(commits, "ben", "cid", 100)).accepted()

    with pytest.raises(InsufficientFundsError, match="The money is gone"):
        await reverse(settings, entry["_id"], "A mistake")
    await town.fill(commits, "ben", 100)
    await reverse(settings, entry["_id"], "A mistake")
    (reversal,) = (await town.entries(database))[-1:]

    with pytest.raises(ConflictError):
        await reverse(settings, reversal["_id"], "A mistake")
