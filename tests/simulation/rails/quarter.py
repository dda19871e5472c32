"""The quarter of rails: money that comes in and goes out, whatever dies between the reserve, the rail and the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any, Final

from datastores import wallets as store
from datastores.commit import Act
from datastores.mongo import Document
from datastores.wallets import FindingKind, RailDirection, RailState, ReserveThroughRail, ResolveInstruction
from datastores.wallets.instructions import INSTRUCTIONS
from datastores.wallets.reconciliation.reports import RECONCILIATIONS
from datastores.wallets.reconciliation.runs import LEASE_S
from datastores.wallets.sandbox import SANDBOX, SandboxRail
from resolvers.wallets.rails import ask_rails
from tests.simulation.ledger.book import POSTED, Book, Expected
from tests.simulation.processes import Process
from tests.simulation.quarters import Asked
from tests.simulation.storage import Changes
from tests.simulation.usecases import ResidentsQuarter, context, days_of, requested

from .wishes import RAIL, Kind, Wish

ACCOUNTS: Final = {
    "ok": 4,
    "refuse": 2,
    "slow": 2,
    "slow-refuse": 2,
    "late": 1,
    "lost": 3,
    "missed": 3,
    "silent": 1,
    "returned": 1,
}
MOST: Final = 60
HOUR_S: Final = 3_600.0
# The longest silence of the sandbox is two hours, and whoever is not heard is asked again after an hour at most.
MAX_HOURS: Final = 8
MAX_DAYS: Final = 3
# What a look in the midst of faults may find: what is still on its way, and what the rail has sent back.
_MAY_BE_FOUND: Final = {FindingKind.RETURNED_NOT_REVERSED, FindingKind.STILL_PENDING}


@dataclass(eq=False)
class RailsQuarter(ResidentsQuarter):
    """Residents top up and withdraw; the rail's book, the ledger's and our instructions must agree in the end."""

    _wishes: dict[Wish, None] = field(default_factory=dict)
    _reserves: dict[str, Wish] = field(default_factory=dict)
    _reports: list[Any] = field(default_factory=list)

    def plant(self) -> None:
        self._residents.plant(self._storage)

    def next(self) -> Wish:
        wish = replace(self._next(list(self._wishes)), on_act=self._submitted)
        self._wishes.setdefault(wish)
        return wish

    def _next(self, wishes: list[Wish]) -> Wish:
        random, chance = self._random, self._random.random()
        key = f"rail{len(wishes)}"
        if chance < 0.2 and len(wishes) > len(self._residents.users):
            return Wish(Kind.RECONCILE if random.random() < 0.2 else Kind.ASK, key)
        moves = [wish for wish in wishes if wish.caller]
        if moves and chance < 0.3:
            return random.choice(moves)
        caller = random.choice(self._residents.ids)
        is_first = len(wishes) < len(self._residents.users)
        kind = Kind.TOP_UP if is_first or random.random() < 0.5 else Kind.WITHDRAW
        amount = random.randint(1, MOST if kind is Kind.TOP_UP else MOST // 3)
        (account,) = random.choices(list(ACCOUNTS), list(ACCOUNTS.values()))
        wish = Wish(kind, key, caller, self._residents.name(caller), amount, account=account)
        if moves and chance < 0.36:
            # The same key for another amount, another account or another way.
            earlier = random.choice(moves)
            return replace(wish, caller=earlier.caller, name=earlier.name, key=earlier.key)
        return wish

    def _submitted(self, wish: Wish, act: Act[Any]) -> None:
        if isinstance(act, ReserveThroughRail):
            self._told.submitted(wish, act.command)
            self._money.expect(requested(act.command), str(wish), partial(self._reserved, wish))
        elif isinstance(act, ResolveInstruction):
            does = "settles" if act.error is None else "releases"
            name = f"{does} {act.pending['_id'][-6:]}"
            decide = partial(self._resolved, act.pending["_id"], act.error is None)
            self._money.expect(requested(act.command), name, decide)

    def _reserved(self, wish: Wish, book: Book, entry: Document) -> Expected:
        if (code := book.refusal(wish.source, wish.target, wish.amount)) is not None:
            return "REFUSED", code
        book.purse(wish.source).out += wish.amount
        book.purse(wish.target).into += wish.amount
        self._reserves[entry["_id"]] = wish
        if not wish.is_inward:
            book.spend(wish.source, entry, wish.amount)
        return "PENDING", None

    def _resolved(self, id: str, settles: bool, book: Book, entry: Document) -> Expected:
        """Nothing is moved or given back but by the word of the rail."""
        line = self._storage.get(SANDBOX, id)
        if line is None or line["refused"] is settles:
            return "the rail has not said so", None
        if (wish := self._reserves.pop(id, None)) is None:
            return "nothing is reserved", None
        source, target = book.purse(wish.source), book.purse(wish.target)
        source.out -= wish.amount
        target.into -= wish.amount
        if settles:
            source.posted -= wish.amount
            target.posted += wish.amount
        else:
            source.spending.give_back(id, wish.amount)
        return POSTED

    def audit(self, changes: Changes) -> None:
        for (name, id), document in changes.items():
            if name == INSTRUCTIONS and (document is None or self._storage.get("entries", id) is None):
                self._problems.append(f"an instruction without its reserve: {id}")
            if name == SANDBOX and not id.startswith("missed/") and self._storage.get(INSTRUCTIONS, id) is None:
                self._problems.append(f"the rail was asked for what nobody has noted: {id}")

    def answered(self, wish: Wish, outcome: Any, asked: Asked) -> str:
        return self._told.take(wish, outcome) if wish.caller else f"{outcome} done"

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        if not wish.caller or not self._told.refused(wish, error, asked):
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        if wish.caller:
            self._told.unanswered(wish, error, alone)

    async def finish(self, process: Process) -> None:
        wish = Wish(Kind.ASK, "in the calm")
        for _ in range(MAX_HOURS):
            await ask_rails(context(process, partial(self._submitted, wish)))
            if not self._pending():
                break
            await asyncio.sleep(HOUR_S / self._shape.time_scale)

    async def _reconcile(self, process: Process) -> None:
        # What is sent back is sent back after some seconds, and whoever died in the midst of a day has it for a while.
        await asyncio.sleep(max(HOUR_S / self._shape.time_scale, LEASE_S))
        rail = SandboxRail(process.database, process.now)
        for day in self._days():
            report = await store.reconcile(process.database, RAIL, rail, date.fromisoformat(day), process.now)
            self._reports.append(report)

    def _pending(self) -> list[str]:
        found = self._storage.committed(INSTRUCTIONS).items()
        return [id for id, instruction in found if instruction["state"] == RailState.PENDING]

    def _days(self) -> list[str]:
        """The last days on which the rail has moved something."""
        moved = [line for line in self._lines().values() if not line["refused"]]
        return days_of([line[name] for line in moved for name in ("settles_at", "returns_at")])[-MAX_DAYS:]

    def _lines(self) -> dict[str, Document]:
        return {id: line for id, line in self._storage.committed(SANDBOX).items() if not id.startswith("missed/")}

    async def check(self, process: Process) -> None:
        self._told.check()
        self._problems.extend(f"pending for ever: {id}" for id in self._pending())
        self._problems.extend(f"reserved for ever: {id} by {wish}" for id, wish in self._reserves.items())
        instructions, lines = self._storage.committed(INSTRUCTIONS), self._lines()
        for id, line in lines.items():
            instruction = instructions.get(id)
            if instruction is None:
                self._problems.append(f"the rail has what nobody here asked for: {id}")
            elif any(instruction[name] != line[name] for name in ("direction", "amount")):
                self._problems.append(f"the rail was asked for another: {id}")
            elif instruction["state"] != (RailState.REFUSED if line["refused"] else RailState.SETTLED):
                self._problems.append(f"{id} is {instruction['state']}, and the rail has it otherwise")
        if missing := instructions.keys() - lines.keys():
            self._problems.append(f"the rail was never asked: {sorted(missing)}")
        self._check_sums(lines)
        await self._reconcile(process)
        self._check_reports(lines)

    def _check_sums(self, lines: dict[str, Document]) -> None:
        """What the rail has moved is what the ledger says that it holds for us, in each currency."""
        sums: Counter[str] = Counter()
        for line in lines.values():
            if not line["refused"]:
                sign = -1 if line["direction"] == RailDirection.IN else 1
                sums[line["amount"]["currency"]] += sign * line["amount"]["minor_units"]
        for account in self._storage.committed("accounts").values():
            is_ours = account["_id"] == _account(account["currency"])
            if is_ours and account["posted"] != sums.pop(account["currency"], 0):
                self._problems.append(f"{account['_id']} has {account['posted']}, and the rail has moved otherwise")
        if any(sums.values()):
            self._problems.append(f"the rail has moved {sums}, and the ledger has nothing of it")

    def _check_reports(self, lines: dict[str, Document]) -> None:
        for report in self._storage.committed(RECONCILIATIONS).values():
            if report["counts"].keys() - _MAY_BE_FOUND:
                self._problems.append(f"the look at {report['day']} found {report['findings'][:2]}")
        returned = {id for id, line in lines.items() if line["returns_at"] is not None}
        days = {report["day"] for report in self._reports}
        expected = {id for id in returned if lines[id]["returns_at"].date().isoformat() in days}
        found = {finding["id"] for report in self._reports for finding in report["findings"]}
        if not expected <= found <= returned:
            self._problems.append(f"sent back are {sorted(returned)}, and found {sorted(found)}")
        if not all(store.digest_holds(report) for report in self._reports):
            self._problems.append("a report is not as it was made")

    def counts(self) -> dict[str, int]:
        states = Counter(f"instructions {each['state']}" for each in self._storage.committed(INSTRUCTIONS).values())
        reports = len(self._storage.committed(RECONCILIATIONS))
        return {**dict(sorted(states.items())), "reconciliations": reports}


def _account(currency: str) -> str:
    return Wish(Kind.TOP_UP, "", currency=currency).source
