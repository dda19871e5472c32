"""Holds on a real replica set: captured in parts, given back once, over at their time, stronger than nothing frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.errors import ConflictError, ExpectedError, TransferRefusedError, ValidationError
from datastores.ledger import CaptureHold, Entry, Outcome, PlaceHold, TransferDocument, VoidHold, WalletStatus
from datastores.mongo import Database

from . import town

NOON = datetime(2026, 1, 1, 12)
ANN, BEN = ledger.wallet_id("ann", "EUR"), ledger.wallet_id("ben", "EUR")


class Clock:
    """A time that a test moves; all processes have the same."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


def processes(database: Database, count: int = 1) -> tuple[Clock, list[CommitLoop]]:
    clock = Clock()
    return clock, [CommitLoop(database, ledger.COMMIT_LOOP, clock) for _ in range(count)]


async def held(commits: CommitLoop, amount: int = 100, **more: Any) -> Entry:
    """Ann, who has 100, promises Ben this much."""
    await town.fill(commits, "ann", 100)
    act = PlaceHold(town.command("ann"), town.transfer("ann", "ben", amount), **more)
    return (await commits.submit(act)).accepted()


async def capture(
    commits: CommitLoop, hold: Entry, amount: int | None = None, *, final: bool = False, key: str | None = None
) -> Outcome:
    command = town.command("ben", key, amount=amount, final=final)
    return await commits.submit(CaptureHold(command, hold, amount, final))


async def void(commits: CommitLoop, hold: Entry) -> Outcome:
    return await commits.submit(VoidHold(town.command("ben"), hold))


async def expire(commits: CommitLoop, hold: Entry) -> Outcome:
    return await commits.submit(ledger.expiry(hold))


async def freeze(commits: CommitLoop, wallet: str, status: WalletStatus = WalletStatus.FROZEN) -> None:
    await commits.submit(ledger.SetStatus(town.command("operator"), wallet, status))


async def shown(database: Database, hold: Entry) -> TransferDocument:
    (transfer,) = await ledger.transfers_by_ids(database, [ledger.sibling_id(hold["_id"], "trf")])
    assert transfer is not None
    return transfer


async def balances(database: Database) -> dict[str, tuple[int, int, int]]:
    """Of Ann and Ben: posted, on its way out, on its way in."""
    accounts = [await town.account(database, id) for id in (ANN, BEN)]
    return {a["owner_id"]: (a["posted"], a["pending_out"], a["pending_in"]) for a in accounts}


async def assert_holds(database: Database) -> None:
    assert (await ledger.verify(database)).problems == []


def code_of(outcome: Outcome) -> str | None:
    return outcome.entry["code"]


async def test_a_hold_reserves_and_moves_nothing(database: Database) -> None:
    _, (commits,) = processes(database)

    hold = await held(commits, 60)

    assert (hold["kind"], hold["state"], hold["event_type"]) == ("HOLD", "PENDING", "payment.held")
    assert hold["expires_at"] == NOON + timedelta(days=7)
    assert await balances(database) == {"ann": (100, 60, 0), "ben": (0, 0, 60)}
    transfer = await shown(database, hold)
    assert (transfer["state"], transfer["captured_amount"]) == ("PENDING", ledger.money(0, "EUR"))
    assert transfer["expires_at"] == NOON + timedelta(days=7)
    assert code_of(await town.pay(commits, "ann", "cat", 41)) == "INSUFFICIENT_FUNDS"
    await assert_holds(database)


async def test_captured_in_parts_to_the_last_cent(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)

    first = (await capture(commits, hold, 20)).accepted()
    half_way = await shown(database, hold)
    last = (await capture(commits, hold, 40)).accepted()

    assert [(e["kind"], e["amount"], e["final"]) for e in (first, last)] == [
        ("CAPTURE", 20, False),
        ("CAPTURE", 40, True),
    ]
    assert (half_way["state"], half_way["captured_amount"]) == ("PENDING", ledger.money(20, "EUR"))
    assert (half_way["seq"], half_way["moved_by"]) == (first["seq"], first["_id"])
    assert await balances(database) == {"ann": (40, 0, 0), "ben": (60, 0, 0)}
    transfer = await shown(database, hold)
    assert (transfer["state"], transfer["captured_amount"]) == ("POSTED", ledger.money(60, "EUR"))
    assert (transfer["seq"], transfer["moved_by"]) == (last["seq"], last["_id"])
    await assert_holds(database)


async def test_without_an_amount_all_that_is_left_is_captured(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)
    await capture(commits, hold, 25)

    rest = (await capture(commits, hold)).accepted()

    assert (rest["amount"], rest["final"]) == (35, True)
    assert await balances(database) == {"ann": (40, 0, 0), "ben": (60, 0, 0)}


async def test_a_final_capture_gives_back_the_rest_in_the_same_commit(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)
    batches = commits.statistics.batches

    captured = (await capture(commits, hold, 20, final=True)).accepted()

    assert commits.statistics.batches == batches + 1
    journal = await town.entries(database)
    assert [(e["kind"], e["amount"], e["final"]) for e in journal[-2:]] == [("CAPTURE", 20, False), ("VOID", 40, True)]
    assert [journal[-1][name] for name in ("caller", "pending_id")] == ["system", hold["_id"]]
    assert await balances(database) == {"ann": (80, 0, 0), "ben": (20, 0, 0)}
    transfer = await shown(database, hold)
    assert (transfer["state"], transfer["captured_amount"]) == ("POSTED", ledger.money(20, "EUR"))
    assert (transfer["seq"], transfer["moved_by"]) == (captured["seq"] + 1, captured["_id"])
    await assert_holds(database)


async def test_a_void_gives_back_what_was_not_captured(database: Database) -> None:
    _, (commits,) = processes(database)
    whole, part = await held(commits, 40), await held(commits, 60)
    await capture(commits, part, 15)

    for hold in (whole, part):
        (await void(commits, hold)).accepted()

    assert await balances(database) == {"ann": (185, 0, 0), "ben": (15, 0, 0)}
    assert [(await shown(database, hold))["state"] for hold in (whole, part)] == ["VOIDED", "POSTED"]
    assert [e["amount"] for e in await town.entries(database) if e["kind"] == "VOID"] == [40, 45]
    await assert_holds(database)


async def test_an_expiry_waits_for_the_ledgers_time(database: Database) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60, expires_at=NOON + timedelta(minutes=1))
    clock.time = NOON + timedelta(seconds=59)

    assert await ledger.overdue_holds(database, clock()) == []
    with pytest.raises(ConflictError):
        await expire(commits, hold)
    clock.time = NOON + timedelta(minutes=1)
    overdue = await ledger.overdue_holds(database, clock())
    entry = (await expire(commits, overdue[0])).accepted()
    again = await expire(commits, hold)

    assert [each["_id"] for each in overdue] == [hold["_id"]]
    assert (entry["kind"], entry["caller"], entry["key"]) == ("VOID", "system", f"expire:{hold['_id']}")
    assert again.replayed
    assert await balances(database) == {"ann": (100, 0, 0), "ben": (0, 0, 0)}
    assert (await shown(database, hold))["state"] == "VOIDED"
    assert await ledger.overdue_holds(database, clock()) == []
    await assert_holds(database)


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("captured", [0, 10])
async def test_what_comes_too_late_is_told_so_whether_or_not_the_sweeper_came_by(
    database: Database, swept: bool, captured: int
) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60, expires_at=NOON + timedelta(minutes=1))
    if captured:
        await capture(commits, hold, captured)
    clock.time = NOON + timedelta(minutes=1)
    if swept:
        await expire(commits, hold)

    outcomes = [await capture(commits, hold, 5), await void(commits, hold)]

    assert [code_of(outcome) for outcome in outcomes] == ["HOLD_EXPIRED"] * 2
    assert (await shown(database, hold))["captured_amount"] == ledger.money(captured, "EUR")
    await assert_holds(database)


async def test_the_time_of_the_ledger_counts_and_not_that_of_a_slow_clock(database: Database) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60, expires_at=NOON + timedelta(minutes=1))
    clock.time = NOON + timedelta(minutes=2)
    await town.fill(commits, "cat", 1)
    clock.time = NOON

    assert code_of(await capture(commits, hold, 5)) == "HOLD_EXPIRED"


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=30, milliseconds=1)])
async def test_a_hold_ends_within_thirty_days_of_now(database: Database, lifetime: timedelta) -> None:
    _, (commits,) = processes(database)

    with pytest.raises(ValidationError) as caught:
        await held(commits, 60, expires_at=NOON + lifetime)

    assert caught.value.details == {"path": ["expiresAt"]}
    assert await database.count("entries", {}) == 1
    assert (await held(commits, 60, expires_at=NOON + timedelta(days=30)))["state"] == "PENDING"


async def test_more_than_is_held_cannot_be_captured_nor_held(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)
    await capture(commits, hold, 50)

    refused = [await capture(commits, hold, amount) for amount in (11, 60, 0, -1, 2**63 - 1)]
    poor = await commits.submit(PlaceHold(town.command("ann"), town.transfer("ann", "ben", 41)))

    assert {code_of(outcome) for outcome in refused} == {"AMOUNT_EXCEEDS_HOLD"}
    assert code_of(poor) == "INSUFFICIENT_FUNDS"
    assert await balances(database) == {"ann": (50, 10, 0), "ben": (50, 0, 10)}
    await assert_holds(database)


async def test_what_has_ended_stays_ended(database: Database) -> None:
    _, (commits,) = processes(database)
    captured, voided = await held(commits, 60), await held(commits, 60)
    await capture(commits, captured)
    await void(commits, voided)

    for hold in (captured, voided):
        for late in (await capture(commits, hold, 1), await capture(commits, hold), await void(commits, hold)):
            assert code_of(late) == "HOLD_RESOLVED"
    await assert_holds(database)


async def test_the_first_refusal_of_several_is_told(database: Database) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60, expires_at=NOON + timedelta(minutes=1))
    for wallet in (ANN, BEN):
        await freeze(commits, wallet)

    too_much = await capture(commits, hold, 61)
    frozen = await capture(commits, hold, 60)
    clock.time = NOON + timedelta(minutes=1)
    too_late = await capture(commits, hold, 61)

    assert [code_of(each) for each in (too_much, frozen, too_late)] == [
        "AMOUNT_EXCEEDS_HOLD",
        "ACCOUNT_FROZEN",
        "HOLD_EXPIRED",
    ]


@pytest.mark.parametrize("wallet", [ANN, BEN])
@pytest.mark.parametrize("status", [WalletStatus.FROZEN, WalletStatus.CLOSED])
@pytest.mark.parametrize("end", ["void", "expire"])
async def test_a_frozen_wallet_stops_a_capture_and_never_what_gives_back(
    database: Database, wallet: str, status: WalletStatus, end: str
) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60)
    await freeze(commits, wallet, status)

    with pytest.raises(TransferRefusedError) as caught:
        (await capture(commits, hold, 10)).accepted()
    clock.time += timedelta(days=7 if end == "expire" else 0)
    ended = await (void if end == "void" else expire)(commits, hold)

    assert caught.value.code == "ACCOUNT_FROZEN"
    assert ended.posted
    assert await balances(database) == {"ann": (100, 0, 0), "ben": (0, 0, 0)}
    await assert_holds(database)


async def test_the_system_gives_back_whatever_the_time(database: Database) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60)
    clock.time += timedelta(days=8)

    outcome = await commits.submit(VoidHold(ledger.system_command("close", hold["_id"]), hold))

    assert outcome.posted
    assert (await shown(database, hold))["state"] == "VOIDED"


async def test_a_capture_is_replayed_also_when_the_hold_has_ended(database: Database) -> None:
    clock, (commits,) = processes(database)
    hold = await held(commits, 60)
    first = await capture(commits, hold, 20, final=True, key="dinner")
    refused = await capture(commits, hold, 30, key="wine")
    clock.time += timedelta(days=40)

    again = await capture(commits, hold, 20, final=True, key="dinner")
    refused_again = await capture(commits, hold, 30, key="wine")

    assert (again.replayed, again.entry["_id"]) == (True, first.entry["_id"])
    assert (refused_again.replayed, code_of(refused_again)) == (True, code_of(refused))
    assert len(await town.entries(database)) == 5
    assert (await balances(database))["ben"] == (20, 0, 0)


async def test_a_refused_capture_shows_the_callers_leg_and_is_nobodys_event(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)

    refused = (await capture(commits, hold, 70)).entry

    assert [(leg["account_id"], leg["delta"]) for leg in refused["legs"]] == [(BEN, 70)]
    assert (refused["event_type"], refused["merchants"], refused["final"]) == (None, [], False)
    assert ledger.leg_documents(refused)[0]["transfer_id"] == ledger.sibling_id(hold["_id"], "trf")
    assert await ledger.transfers_by_ids(database, [ledger.sibling_id(refused["_id"], "trf")]) == [None]


async def test_what_was_captured_can_be_refunded_and_no_more(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)
    refund = ledger.RefundTransfer

    too_early = await commits.submit(refund(town.command("ben"), hold))
    await capture(commits, hold, 20)
    too_much = await commits.submit(refund(town.command("ben"), hold, 21))
    (await commits.submit(refund(town.command("ben"), hold, 5))).accepted()
    part = await shown(database, hold)
    await capture(commits, hold, 10, final=True)
    (await commits.submit(refund(town.command("ben"), hold))).accepted()

    assert [code_of(each) for each in (too_early, too_much)] == ["CONFLICT", "CONFLICT"]
    assert (part["state"], part["refunded_amount"]) == ("PENDING", ledger.money(5, "EUR"))
    whole = await shown(database, hold)
    assert (whole["state"], whole["refunded_amount"]) == ("REFUNDED", ledger.money(30, "EUR"))
    assert await balances(database) == {"ann": (100, 0, 0), "ben": (0, 0, 0)}
    await assert_holds(database)


async def test_a_hold_is_no_reserve_of_a_rail(database: Database) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)

    with pytest.raises(ExpectedError, match="Nothing is reserved"):
        await commits.submit(ledger.ResolveReserve(ledger.system_command("settle", hold["_id"]), hold))


async def test_sixty_four_captures_of_a_hold_for_forty(database: Database) -> None:
    _, loops = processes(database, 3)
    hold = await held(loops[0], 40)

    outcomes = await asyncio.gather(*(capture(loops[n % 3], hold, 1) for n in range(64)))

    assert sum(outcome.posted for outcome in outcomes) == 40
    assert {code_of(outcome) for outcome in outcomes if not outcome.posted} == {"HOLD_RESOLVED"}
    assert await balances(database) == {"ann": (60, 0, 0), "ben": (40, 0, 0)}
    assert sum(e["final"] for e in await town.entries(database)) == 1
    await assert_holds(database)


Change = Callable[[Entry], tuple[str, dict[str, Any], dict[str, Any]]]
CHANGES: dict[str, Change] = {
    "the record says that less was captured": lambda hold: (
        "transfers",
        {"_id": ledger.sibling_id(hold["_id"], "trf")},
        {"$set": {"captured": 5}},
    ),
    "the record says that it has ended": lambda hold: (
        "transfers",
        {"_id": ledger.sibling_id(hold["_id"], "trf")},
        {"$set": {"state": "POSTED"}},
    ),
    "the wallet reserves more": lambda hold: ("accounts", {"_id": ANN}, {"$inc": {"pending_out": 1}}),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_behind_the_ledgers_back_is_found(database: Database, name: str) -> None:
    _, (commits,) = processes(database)
    hold = await held(commits, 60)
    await capture(commits, hold, 20)
    await assert_holds(database)
    collection, filter, update = CHANGES[name](hold)

    await database.update_one(collection, filter, update)

    assert not (await ledger.verify(database)).holds
