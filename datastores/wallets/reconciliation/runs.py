"""Runs: going through one day of a rail, page by page, until every movement on each side is accounted for."""

from __future__ import annotations

import asyncio
import time as clock
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Final, cast

from datastores import leases, ledger
from datastores.errors import ConflictError, ValidationError
from datastores.ids import new_id
from datastores.mongo import Database
from datastores.wallets.instructions import INSTRUCTIONS
from datastores.wallets.rails import Rail, RailDirection, RailSilentError, RailState, StatementLine

from .cases import Case, Scope, cases
from .findings import FindingKind, NoteKind, Patience, judge
from .movements import Totals, day_of
from .reports import Findings, Reconciliation, keep_report, report
from .statements import StatementError, ids_after, ids_with_lines, take_statement, taken_days

PAGE: Final = 1_000
PAGE_TIMEOUT_S: Final = 60.0
ASK_TIMEOUT_S: Final = 3.0
MAX_ASKS: Final = 100
LEASE_S: Final = 300.0
_RENEW_S: Final = 60.0

OnProgress = Callable[[str, int, int | None], None]


async def reconcile(
    database: Database,
    name: str,
    rail: Rail,
    day: date,
    now: Callable[[], datetime],
    on_progress: OnProgress = lambda what, done, of: None,
) -> Reconciliation:
    """The report, which is kept, of one UTC day of the rail `name`: of a day that is not over, so far.

    Every movement of the day in the ledger, among our instructions and on the rail's statement is matched by our id.
    It may run while money moves. `on_progress` gets what is done, how much of it, of how much. Raises ValidationError
    for a day that has not begun, ConflictError while another does the same, RailSilentError, StatementError.
    """
    started_at = now()
    if day > started_at.date():
        raise ValidationError(f"{day} has not begun")
    lease = _Lease(database, f"reconciliation/{name}/{day}")
    await lease.renew()
    try:
        # What the ledger has is settled there, so its last entry must be known before the rail is asked for the day.
        scope = await _scope(database, name, day)
        run = _Run(database, rail, scope, Patience(started_at, rail.settles_within), lease, on_progress)
        sums = {"ledger": await _ledger_sums(database, scope), "ours": await _our_sums(database, scope)}
        sums["rail"] = await run.take_statement(day, started_at)
        await run.compare(sum(totals.count for totals in sums.values()))
        run.found.check(sums)
        made = report(scope, started_at, now(), sums, run.found)
        await keep_report(database, made)
    finally:
        await lease.release()
    return made


class _Lease:
    """Of two reconciliations of the same day the second is refused, since they would take each other's statement."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name, self._owner = database, name, new_id("rcn")
        self._renewed = float("-inf")

    async def renew(self) -> None:
        """Keep it. Raises ConflictError where another has it."""
        if clock.monotonic() - self._renewed < _RENEW_S:
            return
        if await leases.acquire(self._database, self._name, self._owner, LEASE_S) is None:
            raise ConflictError("This day is being reconciled by another: try again when it is done")
        self._renewed = clock.monotonic()

    async def release(self) -> None:
        await leases.release(self._database, self._name, self._owner)


class _Run:
    """Goes through the statement's lines, what else the ledger has, what else we noted, what is pending or reserved."""

    def __init__(
        self, database: Database, rail: Rail, scope: Scope, patience: Patience, lease: _Lease, on_progress: OnProgress
    ) -> None:
        self.found = Findings()
        self._database, self._rail, self._scope, self._patience = database, rail, scope, patience
        self._lease, self._on_progress = lease, on_progress
        self._taken_days: set[str] = set()
        self._asks_left = MAX_ASKS
        self._done = 0
        self._of = 0

    async def take_statement(self, day: date, now: datetime) -> Totals:
        """Take the rail's statement; what came and went by it."""

        async def on_page(lines: int) -> None:
            await self._lease.renew()
            self._on_progress("reading the statement", lines, None)

        pages = _in_time(self._rail.statement(day))
        totals = await take_statement(self._database, self._scope.rail, self._scope.day, pages, now, on_page)
        self._taken_days = await taken_days(self._database, self._scope.rail)
        return totals

    async def compare(self, of: int) -> None:
        """Look at every id that any side has on that day, once."""
        self._of = of
        await self._through_lines()
        await self._through_ledger()
        await self._through_instructions()
        await self._through_pending()
        await self._through_reserves()

    async def _through_lines(self) -> None:
        last = ""
        while True:
            ids, lines = await ids_after(self._database, self._scope.rail, self._scope.day, last, PAGE)
            await self._look(ids, lambda case: True)
            await self._advance(lines)
            if lines < PAGE:
                return
            last = ids[-1]

    async def _through_ledger(self) -> None:
        stretch, accounts = self._scope.day_entries, list(self._scope.accounts)
        while True:
            page = await ledger.movements_of(self._database, accounts, stretch, PAGE)
            if page:
                # A case with two entries of the day is looked at where the first of them is.
                ids = await self._without_lines(await self._case_ids(page))
                await self._look(ids, partial(_begins_at, page[0]["seq"]))
                stretch = ledger.Stretch(page[-1]["seq"], stretch.until)
            await self._advance(len(page))
            if len(page) < PAGE:
                return

    async def _through_instructions(self) -> None:
        start = datetime.combine(date.fromisoformat(self._scope.day), time.min)
        last: tuple[datetime, str] = (start, "")
        while True:
            filter = {
                "rail": self._scope.rail,
                "value_at": {"$gte": last[0], "$lt": start + timedelta(days=1)},
                "$or": [{"value_at": {"$gt": last[0]}}, {"_id": {"$gt": last[1]}}],
            }
            order = [("rail", 1), ("value_at", 1), ("_id", 1)]
            page = await self._database.find(INSTRUCTIONS, filter, sort=order, limit=PAGE, projection={"value_at": 1})
            ids = await self._without_lines([instruction["_id"] for instruction in page])
            await self._look(ids, lambda case: case.first_seq is None)
            await self._advance(len(page))
            if len(page) < PAGE:
                return
            last = (page[-1]["value_at"], page[-1]["_id"])

    async def _through_pending(self) -> None:
        end = datetime.combine(date.fromisoformat(self._scope.day), time.min) + timedelta(days=1)
        asked_before = min(end, self._patience.now - self._patience.settles_within + timedelta(milliseconds=1))
        last = ""
        while True:
            filter = {"rail": self._scope.rail, "state": RailState.PENDING.value, "_id": {"$gt": last}}
            shown = {"asked_at": 1}
            order = [("rail", 1), ("_id", 1)]
            page = await self._database.find(INSTRUCTIONS, filter, sort=order, limit=PAGE, projection=shown)
            late = [one["_id"] for one in page if cast(datetime, one["asked_at"]) < asked_before]
            await self._look(await self._without_lines(late), lambda case: case.first_seq is None and not case.ours)
            await self._advance(0)
            if len(page) < PAGE:
                return
            last = page[-1]["_id"]

    async def _through_reserves(self) -> None:
        stretch, accounts = self._scope.day_entries, list(self._scope.accounts)
        while True:
            page = await ledger.reserves_of(self._database, accounts, stretch, PAGE)
            ids = await self._without_lines([entry["_id"] for entry in page])
            await self._look(ids, partial(_is_not_looked_at_yet, self._patience))
            await self._advance(0)
            if len(page) < PAGE:
                return
            stretch = ledger.Stretch(page[-1]["seq"], stretch.until)

    async def _case_ids(self, page: Sequence[ledger.Entry]) -> list[str]:
        """The id of each entry's case: of a settlement what it settles, of a reversal what that reverses."""
        undone = [entry["reverses"] for entry in page if entry["reverses"] is not None]
        originals = zip(undone, await ledger.entries_by_ids(self._database, undone), strict=True)
        owners = {id: entry["pending_id"] if entry and entry["pending_id"] else id for id, entry in originals}
        ids = (owners.get(entry["reverses"] or "") or entry["pending_id"] or entry["_id"] for entry in page)
        return list(dict.fromkeys(ids))

    async def _without_lines(self, ids: Sequence[str]) -> list[str]:
        if not ids:
            return []
        seen = await ids_with_lines(self._database, self._scope.rail, self._scope.day, ids)
        return [id for id in ids if id not in seen]

    async def _look(self, ids: Sequence[str], is_wanted: Callable[[Case], bool]) -> None:
        if not ids:
            return
        for case in await cases(self._database, self._scope, ids):
            if is_wanted(case):
                verdict = judge(case, self._taken_days, self._patience)
                if verdict is FindingKind.MISSING_AT_RAIL:
                    verdict = await self._ask(case)
                self.found.add(case, verdict)

    async def _ask(self, case: Case) -> FindingKind | NoteKind:
        """What the rail says of a case that its statement lacks; one that does not answer is not asked again."""
        if self._asks_left == 0:
            return FindingKind.MISSING_AT_RAIL
        self._asks_left -= 1
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                answer = await self._rail.ask(case.id)
        except (RailSilentError, TimeoutError):
            self._asks_left = 0
            return FindingKind.MISSING_AT_RAIL
        if answer is not None and answer.state is RailState.REFUSED:
            return FindingKind.REFUSED_BUT_SETTLED
        value_day = day_of(answer.value_at) if answer and answer.value_at else self._scope.day
        is_elsewhere = value_day != self._scope.day and value_day not in self._taken_days
        return NoteKind.TIMING if is_elsewhere else FindingKind.MISSING_AT_RAIL

    async def _advance(self, count: int) -> None:
        await self._lease.renew()
        self._done = min(self._done + count, self._of)
        self._on_progress("comparing", self._done, self._of)


def _begins_at(seq: int, case: Case) -> bool:
    return case.first_seq is not None and case.first_seq >= seq


def _is_not_looked_at_yet(patience: Patience, case: Case) -> bool:
    if case.first_seq is not None or any(each.counts for each in case.ours):
        return False
    record = case.instruction
    return record is None or record["state"] != RailState.PENDING or not patience.is_over(record["asked_at"])


async def _scope(database: Database, rail: str, day: date) -> Scope:
    start = datetime.combine(day, time.min)
    newest, hash = await ledger.newest_entry(database)
    after = await ledger.last_seq_before(database, start)
    until = await ledger.last_seq_before(database, start + timedelta(days=1))
    accounts = await ledger.rail_accounts(database, rail)
    return Scope(rail, day.isoformat(), accounts, ledger.Stretch(after, min(until, newest)), newest, hash)


async def _ledger_sums(database: Database, scope: Scope) -> Totals:
    totals = Totals()
    for each in await ledger.movement_sums(database, list(scope.accounts), scope.day_entries):
        direction = RailDirection.OUT if each.came else RailDirection.IN
        totals.add(scope.accounts[each.account_id], direction, each.count, each.minor_units)
    return totals


async def _our_sums(database: Database, scope: Scope) -> Totals:
    start = datetime.combine(date.fromisoformat(scope.day), time.min)
    match = {
        "rail": scope.rail,
        "value_at": {"$gte": start, "$lt": start + timedelta(days=1)},
        "state": RailState.SETTLED.value,
        "resolved_seq": {"$not": {"$gt": scope.newest}},
    }
    group = {
        "_id": {"currency": "$amount.currency", "direction": "$direction"},
        "count": {"$sum": 1},
        "sum": {"$sum": {"$toDecimal": "$amount.minor_units"}},
    }
    totals = Totals()
    for row in await database.aggregate(INSTRUCTIONS, [{"$match": match}, {"$group": group}]):
        direction = RailDirection(row["_id"]["direction"])
        totals.add(row["_id"]["currency"], direction, row["count"], int(row["sum"].to_decimal()))
    return totals


async def _in_time(pages: AsyncIterator[Iterable[StatementLine]]) -> AsyncIterator[Sequence[StatementLine]]:
    """The pages; RailSilentError where one takes more than 60 s, StatementError where the adapter fails."""
    while True:
        try:
            async with asyncio.timeout(PAGE_TIMEOUT_S):
                page = await anext(pages)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RailSilentError from None
        except RailSilentError:
            raise
        except Exception as error:
            raise StatementError(f"the adapter failed: {error}") from error
        yield list(page)
