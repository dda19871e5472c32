"""Limits decided with the transfers themselves: what counts, what gives back, and what the journal proves of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.errors import LimitExceededError, TransferRefusedError
from datastores.ledger import EntryKind, Outcome, Tier
from datastores.mongo import Database

from . import town

NIGHT = datetime(2026, 3, 31, 23, 59, 59, 999_000)
MIDNIGHT = datetime(2026, 4, 1)


class Clock:
    """A time that only the test moves."""

    def __init__(self, now: datetime = NIGHT) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


async def pay(commits: CommitLoop, amount: int, *, key: str | None = None, **more: Any) -> Outcome:
    """Ann, who has no tier of her own, pays Ben in a deployment whose default is BASIC."""
    asked = town.command("ann", key, amount=amount)
    moved = dataclasses.replace(town.transfer("ann", "ben", amount), default_tier=Tier.BASIC, **more)
    return await commits.submit(ledger.PostTransfer(asked, moved))


async def give_tier(commits: CommitLoop, owner: str, tier: Tier | None) -> None:
    wallet = ledger.wallet_id(owner, "EUR")
    await commits.submit(ledger.SetTier(town.command("system"), wallet, tier, "seen their papers"))


def why(outcome: Outcome) -> tuple[str, datetime | None]:
    with pytest.raises(LimitExceededError) as caught:
        outcome.accepted()
    return caught.value.details["window"], caught.value.details["frees_at"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def commits(database: Database, clock: Callable[[], datetime]) -> CommitLoop:
    """A loop at one millisecond before midnight; Ann has 100,000 EUR."""
    loop = CommitLoop(database, ledger.COMMIT_LOOP, clock)
    await town.fill(loop, "ann", 100_000_00)
    await town.fill(loop, "ben", 0 + 1)
    await give_tier(loop, "ben", Tier.VERIFIED)
    return loop


async def whole(database: Database) -> None:
    report = await ledger.verify(database)
    assert report.problems == []


async def test_a_day_is_full_until_midnight_and_the_answer_stays(
    database: Database, commits: CommitLoop, clock: Clock
) -> None:
    assert why(await pay(commits, 1_000_01)) == ("transaction", None)
    assert [(await pay(commits, 1_000_00)).posted for _ in range(2)] == [True, True]
    assert why(await pay(commits, 1, key="late")) == ("day", MIDNIGHT)

    clock.now = MIDNIGHT

    assert why(await pay(commits, 1, key="late")) == ("day", MIDNIGHT)
    assert (await pay(commits, 1)).posted
    account = await town.account(database, ledger.wallet_id("ann", "EUR"))
    assert account["spent"] == {"2026-03-31": 2_000_00, "2026-04-01": 1}
    await whole(database)


async def test_30_days_fill_up_and_free_the_first_day_that_leaves_them(
    database: Database, commits: CommitLoop, clock: Clock
) -> None:
    for amount in (1_000_00, 1_000_00):
        assert (await pay(commits, amount)).posted
    clock.now += timedelta(days=10)
    for amount in (1_000_00, 1_000_00):
        assert (await pay(commits, amount)).posted
    clock.now += timedelta(days=10)
    assert (await pay(commits, 1_000_00)).posted

    assert why(await pay(commits, 1)) == ("30 days", datetime(2026, 4, 30))
    clock.now = datetime(2026, 4, 29, 23, 59, 59)
    assert why(await pay(commits, 1)) == ("30 days", datetime(2026, 4, 30))
    clock.now = datetime(2026, 4, 30)

    assert (await pay(commits, 1_000_00)).posted
    assert list((await town.account(database, ledger.wallet_id("ann", "EUR")))["spent"]) == [
        "2026-04-10",
        "2026-04-20",
        "2026-04-30",
    ]
    await whole(database)


async def test_the_time_that_counts_is_the_ledgers(commits: CommitLoop, clock: Clock) -> None:
    clock.now = MIDNIGHT
    await pay(commits, 1_000_00)

    clock.now = NIGHT

    await pay(commits, 1_000_00)
    assert why(await pay(commits, 1)) == ("day", MIDNIGHT + timedelta(days=1))


async def test_refunds_neither_count_nor_are_limited(database: Database, commits: CommitLoop) -> None:
    await give_tier(commits, "ann", Tier.BUSINESS)
    await give_tier(commits, "ben", Tier.BUSINESS)
    paid = (await pay(commits, 50_000_00)).accepted()
    await give_tier(commits, "ben", Tier.UNVERIFIED)
    await give_tier(commits, "ann", Tier.UNVERIFIED)

    refunded = await commits.submit(ledger.RefundTransfer(town.command("ben"), paid))

    assert refunded.posted
    assert (await town.account(database, ledger.wallet_id("ben", "EUR")))["spent"] == {}
    await whole(database)


async def test_a_reserve_counts_and_gives_back_to_the_day_on_which_it_was_made(
    database: Database, commits: CommitLoop, clock: Clock
) -> None:
    moved = dataclasses.replace(town.transfer("ann", "ben", 700_00), default_tier=Tier.BASIC, kind=EntryKind.WITHDRAWAL)
    first = (await commits.submit(ledger.ReserveTransfer(town.command("ann"), moved))).accepted()
    second = (await commits.submit(ledger.ReserveTransfer(town.command("ann"), moved))).accepted()
    assert why(await pay(commits, 600_01))[0] == "day"
    clock.now = MIDNIGHT
    await pay(commits, 5)

    error = TransferRefusedError("The rail refused")
    await commits.submit(ledger.ResolveReserve(ledger.system_command("release", first["_id"]), first, error))
    await commits.submit(ledger.ResolveReserve(ledger.system_command("settle", second["_id"]), second))

    account = await town.account(database, ledger.wallet_id("ann", "EUR"))
    assert account["spent"] == {"2026-03-31": 700_00, "2026-04-01": 5}
    await whole(database)


async def test_what_a_capture_leaves_is_taken_off_again(database: Database, commits: CommitLoop, clock: Clock) -> None:
    asked = dataclasses.replace(town.transfer("ann", "ben", 900_00), default_tier=Tier.BASIC)
    hold = (await commits.submit(ledger.PlaceHold(town.command("ann"), asked))).accepted()
    clock.now += timedelta(days=2)

    await commits.submit(ledger.CaptureHold(town.command("ben"), hold, 250_00, final=True))

    account = await town.account(database, ledger.wallet_id("ann", "EUR"))
    assert account["spent"] == {"2026-03-31": 250_00}
    await whole(database)


async def test_a_payees_balance_is_bounded_and_not_told(database: Database, commits: CommitLoop) -> None:
    await give_tier(commits, "ben", Tier.UNVERIFIED)

    refused = await pay(commits, 150_00)

    assert why(refused) == ("balance", None)
    details = refused.entry["details"] or {}
    assert details["limit"] == {"minor_units": 150_00, "currency": "EUR"}
    assert [leg["owner_id"] for leg in refused.entry["legs"]] == ["ann"]
    assert (await pay(commits, 149_99)).posted
    await whole(database)


async def test_a_tier_is_an_entry_that_moves_nothing(database: Database, commits: CommitLoop) -> None:
    wallet = ledger.wallet_id("ann", "EUR")
    before = await town.account(database, wallet)

    await give_tier(commits, "ann", Tier.VERIFIED)

    after = await town.account(database, wallet)
    assert after == {**before, "tier": "VERIFIED", "version": before["version"] + 1}
    entry = (await town.entries(database))[-1]
    assert (entry["kind"], entry["legs"][0]["delta"], entry["details"]["tier"]) == ("STATUS", 0, "VERIFIED")
    assert (await pay(commits, 15_000_00)).posted
    await give_tier(commits, "ann", None)
    assert why(await pay(commits, 1_000_01))[0] == "transaction"
    await whole(database)


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"tier": "BUSINESS"}},
        {"$set": {"spent": {}}},
        {"$inc": {"spent.2026-03-31": -1}},
        {"$set": {"spent.2026-03-30": 1}},
        {"$unset": {"spent": 1}},
    ],
    ids=str,
)
async def test_a_counter_or_tier_that_was_changed_behind_the_ledgers_back_is_found(
    database: Database, commits: CommitLoop, change: dict[str, Any]
) -> None:
    await pay(commits, 10_00)
    await whole(database)

    await database.update_one("accounts", {"owner_id": "ann"}, change)

    assert [problem.subject for problem in (await ledger.verify(database)).problems] == [ledger.wallet_id("ann", "EUR")]


async def test_64_at_once_against_a_day_are_exactly_as_many_as_fit(database: Database, clock: Clock) -> None:
    loops = [CommitLoop(database, ledger.COMMIT_LOOP, clock) for _ in range(4)]
    await town.fill(loops[0], "ann", 100_000_00)

    outcomes = await asyncio.gather(*(pay(loops[n % 4], 90_00) for n in range(64)))

    posted = [outcome for outcome in outcomes if outcome.posted]
    assert len(posted) == 2_000_00 // 90_00
    assert {why(outcome) for outcome in outcomes if not outcome.posted} == {("day", MIDNIGHT)}
    account = await town.account(database, ledger.wallet_id("ann", "EUR"))
    assert (account["posted"], account["spent"]) == (100_000_00 - 22 * 90_00, {"2026-03-31": 22 * 90_00})
    await whole(database)


async def test_a_day_is_bounded_by_64_bits_where_nothing_else_bounds_it(
    database: Database, commits: CommitLoop
) -> None:
    most = ledger.MAX_MINOR_UNITS - 200_000_00
    await town.fill(commits, "ann", most)
    await commits.submit(ledger.PostTransfer(town.command("ann"), town.transfer("ann", "carl", most)))
    back = town.transfer("carl", "ann", most)
    await commits.submit(ledger.PostTransfer(town.command("carl"), back))

    again = await commits.submit(ledger.PostTransfer(town.command("ann"), town.transfer("ann", "carl", most)))

    assert why(again) == ("day", MIDNIGHT)
    await whole(database)
