"""What operators do to wallets from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.ledger import Tier, WalletStatus
from datastores.mongo import Database, Driver
from gateway.cli.errors import CommandError
from gateway.cli.wallets import set_status, set_tier
from gateway.settings import MongoDriver, Settings
from tests.integration.datastores.ledger import town
from tests.integration.resolvers.people import people


@pytest.fixture
def settings(database: Database, mongodb_uri: str, mongo_driver: Driver, tmp_path: Path) -> Settings:
    """Settings of the database under test."""
    driver = MongoDriver(mongo_driver)
    return Settings(mongodb_uri=mongodb_uri, database=database.name, mongo_driver=driver, data_dir=tmp_path)


@pytest.fixture
async def bob(database: Database) -> str:
    """The id of Bob, who has money in two currencies."""
    (bob,) = await people(database, "bob")
    for currency in ("EUR", "JPY"):
        await town.fill(town.loop(database), bob, 100_00, currency)
    return bob


async def statuses(database: Database, owner: str) -> dict[str, str]:
    return {wallet["currency"]: wallet["status"] for wallet in await ledger.wallets_of(database, [owner])}


async def tiers(database: Database, owner: str) -> dict[str, str | None]:
    return {wallet["currency"]: wallet["tier"] for wallet in await ledger.wallets_of(database, [owner])}


async def test_a_wallet_is_frozen_by_its_id_and_all_of_a_persons_by_their_handle(
    database: Database, settings: Settings, bob: str
) -> None:
    euros = ledger.wallet_id(bob, "EUR")

    assert await set_status(settings, euros, None, WalletStatus.FROZEN, "asked to") == [euros]
    assert await statuses(database, bob) == {"EUR": "FROZEN", "JPY": "OPEN"}
    assert len(await set_status(settings, "@bob", None, WalletStatus.FROZEN, "asked to")) == 1
    assert await statuses(database, bob) == {"EUR": "FROZEN", "JPY": "FROZEN"}
    assert await set_status(settings, "bob", "eur", WalletStatus.OPEN, "a mistake") == [euros]
    assert await statuses(database, bob) == {"EUR": "OPEN", "JPY": "FROZEN"}

    kept = [entry["details"] for entry in await town.entries(database) if entry["kind"] == "STATUS"]
    assert kept == [{"reason": "asked to"}, {"reason": "asked to"}, {"reason": "a mistake"}]
    assert (await ledger.verify(database)).problems == []


@pytest.mark.parametrize(
    ("named", "currency", "status", "reason"),
    [
        ("nobody", None, WalletStatus.FROZEN, "x"),
        ("", None, WalletStatus.FROZEN, "x"),
        ("wal_01JD0000000000000000000000", None, WalletStatus.FROZEN, "x"),
        ("bob", "CHF", WalletStatus.FROZEN, "x"),
        ("bob", "XXQ", WalletStatus.FROZEN, "x"),
        ("bob", None, WalletStatus.FROZEN, "  "),
        ("bob", None, WalletStatus.FROZEN, "x" * 501),
        ("bob", None, WalletStatus.OPEN, "x"),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    database: Database,
    settings: Settings,
    bob: str,
    named: str,
    currency: str | None,
    status: WalletStatus,
    reason: str,
) -> None:
    with pytest.raises(CommandError):
        await set_status(settings, named, currency, status, reason)

    assert await statuses(database, bob) == {"EUR": "OPEN", "JPY": "OPEN"}


async def test_a_person_gets_a_tier_for_all_wallets_and_those_to_come(
    database: Database, settings: Settings, bob: str
) -> None:
    assert len(await set_tier(settings, "bob", "Verified", "CHF", "seen the passport")) == 3
    await CommitLoop(database, ledger.COMMIT_LOOP).submit(ledger.OpenWallet(bob, "SEK"))

    assert await tiers(database, bob) == dict.fromkeys(("EUR", "JPY", "CHF", "SEK"), Tier.VERIFIED)
    await set_tier(settings, "bob", "default", None, None)
    assert set((await tiers(database, bob)).values()) == {None}
    assert (await ledger.verify(database)).problems == []


async def test_a_person_without_a_wallet_needs_one_for_a_tier(database: Database, settings: Settings) -> None:
    (carl,) = await people(database, "carl")

    with pytest.raises(CommandError, match="--currency"):
        await set_tier(settings, "carl", "basic", None, None)
    await set_tier(settings, "carl", "basic", "eur", None)

    assert await tiers(database, carl) == {"EUR": "BASIC"}
    with pytest.raises(CommandError, match="a tier is one of unverified, basic, verified, business, default"):
        await set_tier(settings, "carl", "gold", None, None)
