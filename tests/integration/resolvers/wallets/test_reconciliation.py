"""A day of the sandbox on three sides: clean days agree, and what is tampered with on one side is found and named."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores import wallets as store
from datastores.commit import CommitLoops
from datastores.errors import ConflictError, InsufficientFundsError, TransferRefusedError, ValidationError
from datastores.indexes import create_indexes
from datastores.ledger import AccountKind, EntryKind, Party, Transfer, verify
from datastores.mongo import Database, Document
from datastores.wallets import RailSilentError, Reconciliation, StatementError, StatementLine
from datastores.wallets.reconciliation import runs
from datastores.wallets.sandbox import SandboxRail
from resolvers import wallets
from resolvers.chores import CHORES
from resolvers.context import Context
from tests.integration.plans import plans_of
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, key

# Lines are kept for 100 days of real time, so a day that is to be played through must not be long over.
DAY = date(2096, 3, 14)
NOON = datetime(2096, 3, 14, 12)
STRANGER = "ent_01JD0000000000000000000000"


class Town:
    """Ann and her wallet, on a clock that the test sets: of requests, of the ledger and of the rail."""

    def __init__(self, database: Database, ask: Ask, ann: str) -> None:
        self.database = database
        self.ask = ask
        self.ann = ann
        self.now = NOON
        self.wallet = ""

    def context(self, user_id: str | None = None) -> Context:
        ctx = replace(self.ask(user_id), now=lambda: self.now)
        # The ledger's time is that of its loop.
        ctx.commits["ledger"].now = lambda: self.now
        return ctx

    async def move(self, account: str, text: str = "5", *, out: bool = False, **more: Any) -> str:
        """Top up (or withdraw) through this account of the sandbox; the id of the entry."""
        given = {"idempotency_key": key(), "wallet_id": self.wallet, "amount": amount(text), **more}
        ctx = self.context(self.ann)
        before = {each["_id"] for each in await self.database.find("rail_instructions", {}, limit=10_000)}
        with suppress(TransferRefusedError):
            if out:
                await wallets.withdraw_from_wallet(ctx, destination=f"sandbox:{account}", **given)
            else:
                await wallets.top_up_wallet(ctx, source=f"sandbox:{account}", **given)
        (made,) = await self.database.find("rail_instructions", {"_id": {"$nin": list(before)}}, limit=2)
        return str(made["_id"])

    async def ask_rails(self) -> int:
        return await wallets.ask_rails(self.context())

    async def reconcile(self, day: date = DAY, now: datetime | None = None) -> Reconciliation:
        """The report of a day, by default looked at the morning after."""
        at = now or datetime(2096, 3, 15, 1) if day == DAY else now or datetime.combine(day, NOON.time()) + timedelta(1)
        rails = store.connected_rails({"sandbox"}, self.database, lambda: at)
        return await store.reconcile(self.database, "sandbox", rails["sandbox"], day, lambda: at)

    async def book(self, id: str, **changes: Any) -> None:
        """Tamper with the sandbox's book."""
        result = await self.database.update_one("sandbox_rail", {"_id": id}, {"$set": changes})
        assert result.matched_count == 1


@pytest.fixture
async def town(database: Database, ask: Ask) -> Town:
    (ann,) = await people(database, "ann")
    town = Town(database, ask, ann)
    town.wallet = (await wallets.open_wallet(town.context(ann), currency="EUR"))["_id"]
    return town


def sums(report: Reconciliation, currency: str = "EUR") -> dict[str, tuple[int, int]]:
    """What came in and what went out on each side."""
    return {
        side: (int(parts["in"]["minor_units"]), int(parts["out"]["minor_units"]))
        for side, parts in report["totals"][currency].items()
    }


def equal(came: int, went: int) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(("ledger", "ours", "rail"), (came, went))


class TestADayThatAgrees:
    async def test_nothing_happened(self, town: Town) -> None:
        report = await town.reconcile()

        assert (report["counts"], report["totals"], report["agreed"]) == ({}, {}, 0)
        assert report["is_final"]

    async def test_every_honest_behaviour(self, town: Town) -> None:
        for account in ("ok", "refuse", "slow", "slow-refuse", "lost", "missed", "late"):
            await town.move(account)
        for account in ("ok", "refuse", "slow", "late"):
            await town.move(account, "0.10", out=True)
        for minutes in (1, 2, 20):
            town.now = NOON + timedelta(minutes=minutes)
            await town.ask_rails()

        report = await town.reconcile()

        assert report["counts"] == {}
        assert report["note_counts"] == {}
        assert sums(report) == equal(2_500, 30)
        assert report["agreed"] == 8
        assert (await verify(town.database)).problems == []

    async def test_in_several_currencies_each_by_itself(self, town: Town) -> None:
        yen = (await wallets.open_wallet(town.context(town.ann), currency="JPY"))["_id"]
        await town.move("ok", "5")
        await town.move("ok", "700", wallet_id=yen, amount=amount("700", "JPY"))

        report = await town.reconcile()

        assert report["counts"] == {}
        assert (sums(report, "EUR"), sums(report, "JPY")) == (equal(500, 0), equal(700, 0))

    async def test_only_that_day(self, town: Town) -> None:
        for day in range(12, 17):
            town.now = datetime(2096, 3, day, 23, 59, 59, 999_000)
            await town.move("ok")
            town.now = datetime(2096, 3, day + 1)
            await town.move("ok", "1")

        report = await town.reconcile(DAY, datetime(2096, 3, 20))

        assert sums(report) == equal(600, 0)
        assert (report["agreed"], report["counts"], report["note_counts"]) == (2, {}, {})

    async def test_more_than_a_page(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runs, "PAGE", 3)
        for _ in range(10):
            await town.move("ok")
        pending = [await town.move("slow") for _ in range(4)]
        town.now = NOON + timedelta(hours=12, seconds=10)
        await town.database.update_many("sandbox_rail", {"_id": {"$in": pending}}, {"$set": {"settles_at": NOON}})
        await town.ask_rails()
        steps: list[tuple[str, int, int | None]] = []
        at = datetime(2096, 3, 15, 1)
        rails = store.connected_rails({"sandbox"}, town.database, lambda: at)

        report = await store.reconcile(
            town.database, "sandbox", rails["sandbox"], DAY, lambda: at, lambda *step: steps.append(step)
        )

        assert report["counts"] == {}
        assert report["note_counts"] == {"TIMING": 4}
        assert report["agreed"] == 10
        assert sums(report) == {"ledger": (5_000, 0), "ours": (7_000, 0), "rail": (7_000, 0)}
        assert steps[-1] == ("comparing", 38, 38)
        assert [done for what, done, _ in steps if what == "comparing"] == sorted(
            done for what, done, _ in steps if what == "comparing"
        )


class TestAcrossMidnight:
    async def test_settled_before_and_heard_after(self, town: Town) -> None:
        town.now = datetime(2096, 3, 14, 23, 59, 50)
        await town.move("slow")
        await town.move("lost", "1")
        town.now = datetime(2096, 3, 15, 0, 0, 5)
        assert await town.ask_rails() == 2

        before, after = await town.reconcile(), await town.reconcile(date(2096, 3, 15))

        assert (before["counts"], before["note_counts"]) == ({}, {"TIMING": 2})
        assert sums(before) == {"ledger": (0, 0), "ours": (600, 0), "rail": (600, 0)}
        assert (after["counts"], after["note_counts"]) == ({}, {"TIMING": 2})
        assert sums(after) == {"ledger": (600, 0), "ours": (0, 0), "rail": (0, 0)}

    async def test_the_later_day_first(self, town: Town) -> None:
        town.now = datetime(2096, 3, 14, 23, 59, 50)
        await town.move("slow")
        town.now = datetime(2096, 3, 15, 0, 0, 5)
        await town.ask_rails()

        after, before = await town.reconcile(date(2096, 3, 15)), await town.reconcile()

        assert (after["counts"], after["note_counts"]) == ({}, {"TIMING": 1})
        assert (before["counts"], before["note_counts"]) == ({}, {"TIMING": 1})

    async def test_asked_before_settled_after(self, town: Town) -> None:
        town.now = datetime(2096, 3, 14, 23, 59, 59)
        await town.move("slow")
        town.now = datetime(2096, 3, 15, 0, 0, 5)
        await town.ask_rails()

        assert (await town.reconcile())["totals"] == {}
        assert sums(await town.reconcile(date(2096, 3, 15))) == equal(500, 0)

    async def test_settled_there_and_still_to_be_asked_here(self, town: Town) -> None:
        town.now = datetime(2096, 3, 14, 23, 59, 50)
        id = await town.move("slow")

        report = await town.reconcile(now=datetime(2096, 3, 15, 0, 10))

        assert (report["counts"], report["note_counts"]) == ({}, {"IN_TRANSIT": 1})
        assert report["notes"][0]["id"] == id
        assert sums(report) == {"ledger": (0, 0), "ours": (0, 0), "rail": (500, 0)}

    async def test_settled_long_after_we_began_to_ask_rarely(self, town: Town) -> None:
        id = await town.move("late")
        await town.book(id, settles_at=datetime(2096, 3, 17, 3))
        for hour in range(1, 72):
            town.now = NOON + timedelta(hours=hour)
            await town.ask_rails()

        waiting = await town.reconcile(date(2096, 3, 16), datetime(2096, 3, 17, 1))
        settled = await town.reconcile(date(2096, 3, 17))

        # It was pending that night, but what was heard since is not forgotten when a day is looked at again.
        assert waiting["counts"] == {}
        assert settled["counts"] == {}
        assert sums(settled) == equal(500, 0)


@dataclass(frozen=True)
class Tampering:
    """What is done to one of three movements (the second, of 5 EUR in, unless said), and what must come of it."""

    kind: str
    act: Callable[[Town, str], Awaitable[None]]
    sides: Mapping[str, tuple[int, int]]
    account: str = "ok"
    out: bool = False


async def released(town: Town, id: str) -> None:
    """The rail refuses at first, and then it has settled it after all."""
    town.now = NOON + timedelta(minutes=1)
    await town.book(id, refused=True)
    assert await town.ask_rails() == 1
    await town.book(id, refused=False)


async def nothing(town: Town, id: str) -> None:
    """The rail does what it should not by itself."""


async def refused_there(town: Town, id: str) -> None:
    await town.book(id, refused=True)


async def gone_there(town: Town, id: str) -> None:
    await town.database.delete_one("sandbox_rail", {"_id": id})


async def elsewhere_there(town: Town, id: str) -> None:
    await town.book(id, settles_at=NOON - timedelta(days=40))
    await town.reconcile(DAY - timedelta(days=40), datetime(2096, 3, 15, 1))
    await town.database.delete_many("rail_lines", {})


async def gone_here(town: Town, id: str) -> None:
    await town.database.delete_many("entries", {"$or": [{"_id": id}, {"pending_id": id}]})


async def another_amount(town: Town, id: str) -> None:
    await town.book(id, amount={"minor_units": 499, "currency": "EUR"})


async def another_currency(town: Town, id: str) -> None:
    await town.book(id, amount={"minor_units": 500, "currency": "USD"})


async def another_direction(town: Town, id: str) -> None:
    await town.book(id, direction="OUT")


async def stranger(town: Town, id: str) -> None:
    document = await town.database.find_one("sandbox_rail", {"_id": id})
    await town.database.insert_one("sandbox_rail", {**(document or {}), "_id": STRANGER})


async def nameless(town: Town, id: str) -> None:
    document = await town.database.find_one("sandbox_rail", {"_id": id})
    await town.database.insert_one("sandbox_rail", {**(document or {}), "_id": "cash", "instruction_id": None})


async def record_gone(town: Town, id: str) -> None:
    await town.database.delete_one("rail_instructions", {"_id": id})


async def record_refused(town: Town, id: str) -> None:
    changes = {"state": "REFUSED", "value_at": None}
    await town.database.update_one("rail_instructions", {"_id": id}, {"$set": changes})


async def record_gone_while_pending(town: Town, id: str) -> None:
    await record_gone(town, id)
    await town.database.delete_one("sandbox_rail", {"_id": id})


async def record_refused_while_pending(town: Town, id: str) -> None:
    await record_refused(town, id)
    await town.database.delete_one("sandbox_rail", {"_id": id})


async def record_of_another_amount(town: Town, id: str) -> None:
    await town.database.update_one("rail_instructions", {"_id": id}, {"$set": {"amount.minor_units": 7}})


async def sent_back_later(town: Town, id: str) -> None:
    await town.book(id, settles_at=NOON - timedelta(days=40), returns_at=NOON)


TAMPERINGS = [
    Tampering("SETTLED_BUT_RELEASED", released, {"ledger": (600, 0), "ours": (600, 0), "rail": (1_100, 0)}, "slow"),
    Tampering(
        "SETTLED_BUT_RELEASED", released, {"ledger": (600, 0), "ours": (600, 0), "rail": (600, 500)}, "slow", out=True
    ),
    Tampering("SETTLED_TWICE", nothing, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (1_600, 0)}, "twice"),
    Tampering("REFUSED_BUT_SETTLED", refused_there, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (600, 0)}),
    Tampering("MISSING_AT_RAIL", gone_there, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (600, 0)}),
    Tampering("MISSING_AT_RAIL", elsewhere_there, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (600, 0)}),
    Tampering("MISSING_IN_LEDGER", gone_here, {"ledger": (600, 0), "ours": (1_100, 0), "rail": (1_100, 0)}),
    Tampering("UNKNOWN_TO_US", stranger, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (1_600, 0)}),
    Tampering("UNKNOWN_TO_US", nameless, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (1_600, 0)}),
    Tampering("NOT_ASKED", record_gone, {"ledger": (1_100, 0), "ours": (600, 0), "rail": (1_100, 0)}),
    Tampering("NOT_ASKED", record_gone_while_pending, equal(600, 0), "late"),
    Tampering("RECORD_DIFFERS", record_refused_while_pending, equal(600, 0), "late"),
    Tampering("DIRECTION_DIFFERS", another_direction, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (600, 500)}),
    Tampering("AMOUNT_DIFFERS", another_amount, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (1_099, 0)}),
    Tampering("AMOUNT_DIFFERS", another_currency, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (600, 0)}),
    Tampering(
        "RETURNED_NOT_REVERSED", nothing, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (1_100, 500)}, "returned"
    ),
    Tampering("RETURNED_NOT_REVERSED", sent_back_later, {"ledger": (1_100, 0), "ours": (1_100, 0), "rail": (600, 500)}),
    Tampering("STILL_PENDING", nothing, {"ledger": (600, 0), "ours": (600, 0), "rail": (1_100, 0)}, "silent"),
    Tampering("RECORD_DIFFERS", record_refused, {"ledger": (1_100, 0), "ours": (600, 0), "rail": (1_100, 0)}),
    Tampering("RECORD_DIFFERS", record_of_another_amount, {"ledger": (1_100, 0), "ours": (607, 0), "rail": (1_100, 0)}),
]


class Losing(SandboxRail):
    """A sandbox whose lines are lost from our database once they were taken."""

    async def statement(self, day: date) -> AsyncIterator[Sequence[StatementLine]]:
        async for page in super().statement(day):
            yield page
        await self.database.delete_many("rail_lines", {})


class TestFindings:
    @pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: f"{one.kind}-{one.act.__name__}")
    async def test_one_thing_is_wrong_and_that_is_found(self, town: Town, tampering: Tampering) -> None:
        await town.move("ok")
        id = await town.move(tampering.account, out=tampering.out)
        await town.move("ok", "1")
        await tampering.act(town, id)

        report = await town.reconcile()

        assert report["counts"] == {tampering.kind: 1}
        assert report["note_counts"] == {}
        (finding,) = report["findings"]
        assert finding["kind"] == tampering.kind
        assert finding["text"]
        wrong = {"stranger": STRANGER, "nameless": "?sandbox/cash/1"}.get(tampering.act.__name__, id)
        assert finding["id"] == wrong
        assert sums(report) == tampering.sides
        assert store.digest_holds(report)

    async def test_all_of_them_at_once(self, town: Town) -> None:
        await town.move("ok", "100")
        for tampering in TAMPERINGS:
            id = await town.move(tampering.account, out=tampering.out)
            if tampering.act not in (released, elsewhere_there, stranger, nameless):
                await tampering.act(town, id)

        report = await town.reconcile()

        wanted = [one.kind for one in TAMPERINGS if one.act not in (released, elsewhere_there, stranger, nameless)]
        found = {kind: count for kind, count in report["counts"].items() if kind != "STILL_PENDING"}
        assert found == {kind: wanted.count(kind) for kind in wanted if kind != "STILL_PENDING"}
        assert "UNEXPLAINED" not in report["counts"]

    async def test_the_most_dangerous_come_first(self, town: Town) -> None:
        await another_amount(town, await town.move("ok"))
        await town.move("twice")
        await released(town, await town.move("slow"))

        report = await town.reconcile()

        assert [one["kind"] for one in report["findings"]] == [
            "SETTLED_BUT_RELEASED", "SETTLED_TWICE", "AMOUNT_DIFFERS",
        ]  # fmt: skip

    async def test_what_is_pending_is_a_finding_once_the_rail_should_have_settled(self, town: Town) -> None:
        id = await town.move("late")
        await town.book(id, settles_at=NOON + timedelta(days=9))

        soon = await town.reconcile(now=NOON + timedelta(minutes=59))
        late = await town.reconcile(now=NOON + timedelta(minutes=60))
        next_day = await town.reconcile(date(2096, 3, 15))
        day_before = await town.reconcile(date(2096, 3, 13))

        assert (soon["counts"], soon["is_final"]) == ({}, False)
        assert late["counts"] == {"STILL_PENDING": 1}
        assert next_day["counts"] == {"STILL_PENDING": 1}
        assert day_before["counts"] == {}

    async def test_money_posted_past_the_rail(self, town: Town) -> None:
        rail = Party(ledger.rail_account_id("sandbox", "EUR"), AccountKind.RAIL)
        transfer = Transfer(rail, Party(town.wallet, owner_id=town.ann), 77, "EUR", kind=EntryKind.TOP_UP)
        command = ledger.command(town.ann, key(), "test", {})
        await town.context().commits["ledger"].submit(ledger.PostTransfer(command, transfer))

        report = await town.reconcile()

        assert report["counts"] == {"NOT_ASKED": 1}
        assert report["findings"][0]["id"] == command.entry_id
        assert sums(report) == {"ledger": (77, 0), "ours": (0, 0), "rail": (0, 0)}

    async def test_what_the_rail_sent_back_and_the_ledger_reversed_is_explained(self, town: Town) -> None:
        id = await town.move("returned")
        await self.reverse(town, id)

        report = await town.reconcile()

        assert (report["counts"], report["note_counts"]) == ({}, {"SENT_BACK": 1})
        assert sums(report) == {"ledger": (500, 500), "ours": (500, 0), "rail": (500, 500)}

    async def test_what_the_ledger_reversed_must_be_sent_back(self, town: Town) -> None:
        id = await town.move("ok")
        town.now = NOON + timedelta(days=1)
        await self.reverse(town, id)

        day, next_day = await town.reconcile(), await town.reconcile(date(2096, 3, 15))

        assert day["counts"] == {"REVERSED_NOT_RETURNED": 1}
        assert next_day["counts"] == {"REVERSED_NOT_RETURNED": 1}
        assert sums(next_day) == {"ledger": (0, 500), "ours": (0, 0), "rail": (0, 0)}

    async def test_what_is_lost_on_the_way_is_not_explained_away(self, town: Town) -> None:
        await town.move("ok")
        at = datetime(2096, 3, 15, 1)

        report = await store.reconcile(town.database, "sandbox", Losing(town.database, lambda: at), DAY, lambda: at)

        assert report["counts"] == {"MISSING_AT_RAIL": 1, "UNEXPLAINED": 1}

    async def reverse(self, town: Town, id: str) -> None:
        """Has an operator undo it."""
        end = await town.database.find_one("entries", {"pending_id": id})
        (settlement,) = await ledger.entries_by_ids(town.database, [str(end and end["_id"])])
        assert settlement is not None
        outcome = await town.context().commits["ledger"].submit(ledger.reversal(settlement, "The bank sent it back"))
        assert outcome.posted


HONEST = ("ok", "ok", "refuse", "slow", "slow-refuse", "lost", "missed", "late")


class TestWhateverHappens:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_an_honest_rail_is_never_accused_and_no_money_is_lost_between_the_days(
        self, town: Town, seed: int
    ) -> None:
        chance = random.Random(seed)
        town.now = datetime(2096, 3, 13, 23)
        await town.move("ok", "90")
        for _ in range(30):
            town.now += timedelta(seconds=chance.choice((1, 40, 3_000, 6_000)))
            for _ in range(chance.randrange(3)):
                with suppress(InsufficientFundsError):
                    await town.move(chance.choice(HONEST), f"{chance.randint(1, 90)}", out=chance.random() < 0.4)
            if chance.random() < 0.5:
                await town.ask_rails()
        town.now += timedelta(hours=2)
        while await town.ask_rails():
            continue

        days = [date(2096, 3, 13) + timedelta(days=n) for n in range((town.now.date() - date(2096, 3, 13)).days + 1)]
        reports = [await town.reconcile(day, town.now + timedelta(days=1)) for day in chance.sample(days, len(days))]

        assert [report["counts"] for report in reports] == [{}] * len(days)
        side_sums = [
            [sum(sums(report)[side][way] for report in reports if report["totals"]) for way in (0, 1)]
            for side in ("ledger", "ours", "rail")
        ]
        assert side_sums[0] == side_sums[1] == side_sums[2]
        assert side_sums[0][0] > 0
        assert await town.database.count("rail_instructions", {"state": "PENDING"}) == 0

    async def test_whatever_one_field_is_changed_it_is_found(self, town: Town) -> None:
        ids = [await town.move("ok", out=n == 2) for n in range(3)]
        settled = {"pending_id": ids[1]}
        changes: list[tuple[str, Document, Document]] = [
            ("sandbox_rail", {"_id": ids[1]}, {"amount.minor_units": 501}),
            ("sandbox_rail", {"_id": ids[1]}, {"amount.currency": "USD"}),
            ("sandbox_rail", {"_id": ids[1]}, {"direction": "OUT"}),
            ("sandbox_rail", {"_id": ids[1]}, {"refused": True}),
            ("sandbox_rail", {"_id": ids[1]}, {"times": 3}),
            ("sandbox_rail", {"_id": ids[1]}, {"instruction_id": STRANGER}),
            ("sandbox_rail", {"_id": ids[1]}, {"instruction_id": ids[0]}),
            ("sandbox_rail", {"_id": ids[1]}, {"returns_at": NOON}),
            ("sandbox_rail", {"_id": ids[1]}, {"settles_at": NOON + timedelta(days=1)}),
            ("rail_instructions", {"_id": ids[1]}, {"amount.minor_units": 501}),
            ("rail_instructions", {"_id": ids[1]}, {"amount.currency": "USD"}),
            ("rail_instructions", {"_id": ids[1]}, {"direction": "OUT"}),
            ("rail_instructions", {"_id": ids[1]}, {"state": "REFUSED"}),
            ("rail_instructions", {"_id": ids[1]}, {"state": "PENDING"}),
            ("rail_instructions", {"_id": ids[1]}, {"rail": "another"}),
            ("rail_instructions", {"_id": ids[1]}, {"value_at": NOON + timedelta(days=1)}),
            ("entries", settled, {"legs.0.delta": -501}),
            ("entries", settled, {"legs.0.delta": 500}),
            ("entries", settled, {"legs.0.account_id": "acct_rail_other_EUR"}),
            ("entries", settled, {"kind": "VOID"}),
            ("entries", settled, {"pending_id": STRANGER}),
        ]
        assert (await town.reconcile())["counts"] == {}
        unseen = []

        for collection, which, change in changes:
            before = await town.database.find_one(collection, which)
            assert before is not None
            await town.database.update_one(collection, {"_id": before["_id"]}, {"$set": change})
            if not (await town.reconcile())["counts"]:
                unseen.append((collection, change))
            await town.database.delete_one(collection, {"_id": before["_id"]})
            await town.database.insert_one(collection, before)

        assert unseen == []
        assert (await town.reconcile())["counts"] == {}


class TestRuns:
    async def test_again_is_the_same_and_each_run_is_kept(self, town: Town) -> None:
        await another_amount(town, await town.move("ok"))
        await town.move("ok", "1")

        reports = [await town.reconcile() for _ in range(3)]

        for name in ("totals", "counts", "findings", "agreed", "newest_hash"):
            assert reports[0][name] == reports[1][name] == reports[2][name]
        assert len({report["_id"] for report in reports}) == 3
        assert await town.database.count("reconciliations", {"day": "2096-03-14"}) == 3
        assert await town.database.count("rail_lines", {}) == 2
        kept = await store.last_report(town.database, "sandbox", "2096-03-14")
        assert kept is not None
        assert store.digest_holds(kept)
        kept["counts"] = {}
        assert not store.digest_holds(kept)

    async def test_what_was_put_right_is_not_found_again(self, town: Town) -> None:
        id = await town.move("ok")
        await another_amount(town, id)
        assert (await town.reconcile())["counts"] == {"AMOUNT_DIFFERS": 1}

        await town.book(id, amount={"minor_units": 500, "currency": "EUR"})

        assert (await town.reconcile())["counts"] == {}

    async def test_of_two_at_once_one_is_refused_or_waits_its_turn(self, town: Town) -> None:
        for _ in range(5):
            await town.move("ok")

        answers = await asyncio.gather(*(town.reconcile() for _ in range(4)), return_exceptions=True)

        reports = [one for one in answers if not isinstance(one, BaseException)]
        assert reports
        assert all(isinstance(one, ConflictError) for one in answers if isinstance(one, BaseException))
        assert all(report["counts"] == {} and report["agreed"] == 5 for report in reports)

    async def test_while_money_moves_nothing_is_found(self, town: Town) -> None:
        async def keep_moving() -> None:
            for n in range(15):
                await town.move(("ok", "slow", "lost")[n % 3])
                town.now += timedelta(seconds=20)
                await town.ask_rails()

        moving = asyncio.create_task(keep_moving())
        reports = []
        while not moving.done():
            rails = store.connected_rails({"sandbox"}, town.database, lambda: town.now)
            reports.append(await store.reconcile(town.database, "sandbox", rails["sandbox"], DAY, lambda: town.now))
        await moving

        assert len(reports) > 2
        assert [report["counts"] for report in reports if report["counts"]] == []
        assert (await town.reconcile())["counts"] == {}

    async def test_a_day_to_come_cannot_be_reconciled(self, town: Town) -> None:
        with pytest.raises(ValidationError, match="has not begun"):
            await town.reconcile(now=datetime(2096, 3, 13, 23, 59))

    async def test_nothing_is_scanned(self, bare_database: Database, ask: Ask) -> None:
        await create_indexes(bare_database)
        (ann,) = await people(bare_database, "ann")
        commits = CommitLoops(bare_database)
        town = Town(bare_database, lambda user_id: replace(ask(user_id), database=bare_database, commits=commits), ann)
        town.wallet = (await wallets.open_wallet(town.context(ann), currency="EUR"))["_id"]
        for account in ("ok", "late", "silent", "returned"):
            await town.move(account)

        plans = await plans_of(bare_database, town.reconcile)

        assert plans
        assert [plan for plan in plans if plan.is_scan or plan.sorts_in_memory] == []
        await commits.drain()


class Failing(SandboxRail):
    """A sandbox whose statement fails after its first page."""

    error: BaseException = RailSilentError()

    async def statement(self, day: date) -> AsyncIterator[Sequence[StatementLine]]:
        async for page in super().statement(day):
            yield page
            raise self.error


class Wordy(SandboxRail):
    """A sandbox whose statement comes in one page, however long it is."""

    async def statement(self, day: date) -> AsyncIterator[Sequence[StatementLine]]:
        lines = [line async for page in super().statement(day) for line in page]
        yield [replace(line, reference=f"{line.reference}/{n}") for line in lines for n in range(1_001)]


class TestAdaptersThatFail:
    @pytest.mark.parametrize(
        ("rail", "error", "said"),
        [
            (Failing, RailSilentError(), RailSilentError),
            (Failing, ConnectionResetError("gone"), StatementError),
            (Wordy, None, StatementError),
        ],
    )
    async def test_there_is_no_report_and_the_next_try_is_as_if_it_were_the_first(
        self, town: Town, rail: type[SandboxRail], error: BaseException | None, said: type[BaseException]
    ) -> None:
        await town.move("ok")
        at = datetime(2096, 3, 15, 1)
        adapter = rail(town.database, lambda: at)
        if isinstance(adapter, Failing):
            object.__setattr__(adapter, "error", error)

        with pytest.raises(said):
            await store.reconcile(town.database, "sandbox", adapter, DAY, lambda: at)

        assert await town.database.count("reconciliations", {}) == 0
        report = await town.reconcile()
        assert (report["counts"], report["agreed"]) == ({}, 1)


class TestTheChore:
    async def reconcile_days(self, town: Town, at: datetime) -> int:
        town.now = at
        return await wallets.reconcile_days(town.context())

    async def test_each_day_once_from_the_first_that_has_anything(self, town: Town) -> None:
        await town.move("ok")

        assert await self.reconcile_days(town, datetime(2096, 3, 15, 0, 5)) == 0
        assert await self.reconcile_days(town, datetime(2096, 3, 15, 0, 11)) == 1
        assert await self.reconcile_days(town, datetime(2096, 3, 15, 9)) == 0
        assert await self.reconcile_days(town, datetime(2096, 3, 16, 0, 11)) == 1

        days = [report["day"] for report in await town.database.find("reconciliations", {}, limit=10)]
        assert days == ["2096-03-14", "2096-03-15"]

    async def test_days_that_were_missed_are_made_up_for_a_week_at_most(self, town: Town) -> None:
        await town.move("ok")
        done = 0

        while await self.reconcile_days(town, datetime(2096, 4, 1, 9)):
            done += 1

        days = sorted(report["day"] for report in await town.database.find("reconciliations", {}, limit=100))
        assert done == 7
        assert (days[0], days[-1]) == ("2096-03-25", "2096-03-31")

    async def test_a_day_that_was_looked_at_before_it_was_over_is_looked_at_again(self, town: Town) -> None:
        await town.move("ok")
        await town.reconcile(now=NOON + timedelta(hours=1))

        assert await self.reconcile_days(town, datetime(2096, 3, 15, 1)) == 1

    async def test_findings_are_a_warning_with_their_count(self, town: Town, caplog: pytest.LogCaptureFixture) -> None:
        await another_amount(town, await town.move("ok"))
        await town.move("twice")

        await self.reconcile_days(town, datetime(2096, 3, 15, 1))

        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "sandbox for 2096-03-14: 2 findings (SETTLED_TWICE 1, AMOUNT_DIFFERS 1)" in warning

    async def test_without_a_rail_there_is_nothing_to_do(self, town: Town) -> None:
        await town.move("ok")
        town.now = datetime(2096, 3, 16)

        assert await wallets.reconcile_days(replace(town.context(), rails=frozenset())) == 0

    async def test_a_statement_that_cannot_be_used_is_asked_for_again(
        self, town: Town, caplog: pytest.LogCaptureFixture
    ) -> None:
        await town.move("ok")
        await town.database.update_one("sandbox_rail", {}, {"$set": {"settles_at": NOON, "amount": {
            "minor_units": -5, "currency": "EUR"}}})  # fmt: skip

        assert await self.reconcile_days(town, datetime(2096, 3, 15, 1)) == 0
        assert "could not be reconciled" in caplog.text
        await town.database.update_one("sandbox_rail", {}, {"$set": {"amount.minor_units": 500}})

        assert await self.reconcile_days(town, datetime(2096, 3, 15, 1)) == 1

    async def test_the_sweeper_does_it(self) -> None:
        assert {"ask_rails", "reconcile_days"} <= {chore.name for chore in CHORES}
