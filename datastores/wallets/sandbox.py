"""The sandbox: a rail for trying out, which behaves as the account that it is given is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, cast

from pymongo import ASCENDING, IndexModel

from datastores.mongo import Database, Document

from .rails import (
    MAX_STATEMENT_PAGE,
    Instruction,
    LineKind,
    RailAnswer,
    RailDirection,
    RailSilentError,
    RailState,
    StatementLine,
)

SANDBOX: Final = "sandbox_rail"
SLOW_S: Final = 3.0
LATE_S: Final = 600.0
SILENT_S: Final = 7_200.0
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    SANDBOX: [
        IndexModel([("settles_at", ASCENDING), ("_id", ASCENDING)], name="settles_at"),
        IndexModel([("returns_at", ASCENDING), ("_id", ASCENDING)], name="returns_at"),
    ]
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What an account of the sandbox does with an instruction.

    It is decided `after_s`; nothing is answered for `silent_s`; it is sent back `returned_after_s`; it is carried out
    so many `times`, which is wrong where it is more than once.
    """

    refuses: bool = False
    after_s: float = 0.0
    is_missed: bool = False
    reply_is_lost: bool = False
    silent_s: float = 0.0
    returned_after_s: float | None = None
    times: int = 1


BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    "ok": Behaviour(),
    "refuse": Behaviour(refuses=True),
    "slow": Behaviour(after_s=SLOW_S),
    "slow-refuse": Behaviour(refuses=True, after_s=SLOW_S),
    "late": Behaviour(after_s=LATE_S),
    "lost": Behaviour(reply_is_lost=True),
    "missed": Behaviour(is_missed=True),
    "silent": Behaviour(silent_s=SILENT_S),
    "returned": Behaviour(returned_after_s=SLOW_S),
    "twice": Behaviour(times=2),
}


@dataclass(frozen=True, slots=True)
class SandboxRail:
    """A rail whose accounts are the names of `BEHAVIOURS`, and whose book is a collection.

    `ok` settles at once, `refuse` refuses, `slow` and `slow-refuse` do so after 3 s, `late` settles after 10 minutes,
    `lost` settles at once but is not heard, `missed` does not get the first instruction, `silent` settles at once and
    says nothing for two hours, `returned` sends it back 3 s later, `twice` carries it out twice.
    """

    database: Database
    now: Callable[[], datetime]

    @property
    def settles_within(self) -> timedelta:
        return timedelta(hours=1)

    def problem(self, account: str) -> str | None:
        if account in BEHAVIOURS:
            return None
        return f"Known are {', '.join(f'sandbox:{name}' for name in BEHAVIOURS)}"

    async def submit(self, instruction: Instruction) -> RailAnswer:
        behaviour = BEHAVIOURS[instruction.account]
        if behaviour.is_missed and await self._is_first(instruction.id):
            raise RailSilentError
        line = _line(instruction, behaviour, self.now())
        await self.database.update_one(SANDBOX, {"_id": instruction.id}, {"$setOnInsert": line}, upsert=True)
        if behaviour.reply_is_lost:
            raise RailSilentError
        return await self.ask(instruction.id) or RailAnswer(RailState.PENDING)

    async def ask(self, id: str) -> RailAnswer | None:
        line = await self.database.find_one(SANDBOX, {"_id": id})
        if line is None:
            return None
        now = self.now()
        if cast(datetime, line["answers_at"]) > now:
            # A connection that hangs: whoever asks must know how long to wait.
            await asyncio.Event().wait()
        if cast(datetime, line["settles_at"]) > now:
            return RailAnswer(RailState.PENDING)
        if line["refused"]:
            return RailAnswer(RailState.REFUSED)
        return RailAnswer(RailState.SETTLED, _reference(line, 1), line["settles_at"])

    async def statement(self, day: date) -> AsyncIterator[Sequence[StatementLine]]:
        for field, kind in (("settles_at", LineKind.SETTLED), ("returns_at", LineKind.RETURNED)):
            async for page in self._lines(day, field, kind):
                yield page

    async def _is_first(self, id: str) -> bool:
        marked = await self.database.update_one(SANDBOX, {"_id": f"missed/{id}"}, {"$set": {}}, upsert=True)
        return marked.upserted_id is not None

    async def _lines(self, day: date, field: str, kind: LineKind) -> AsyncIterator[Sequence[StatementLine]]:
        start = datetime.combine(day, time.min)
        # Twice as many lines as documents at most.
        limit = MAX_STATEMENT_PAGE // 2
        last: tuple[datetime, str] = (start, "")
        while True:
            until = min(start + timedelta(days=1), self.now() + timedelta(milliseconds=1))
            filter = {
                field: {"$gte": last[0], "$lt": until},
                "refused": False,
                "$or": [{field: {"$gt": last[0]}}, {"_id": {"$gt": last[1]}}],
            }
            found = await self.database.find(SANDBOX, filter, sort=[(field, 1), ("_id", 1)], limit=limit)
            yield [line for document in found for line in _statement_lines(document, field, kind)]
            if len(found) < limit:
                return
            last = (found[-1][field], found[-1]["_id"])


def _line(instruction: Instruction, behaviour: Behaviour, now: datetime) -> Document:
    settles_at = now + timedelta(seconds=behaviour.after_s)
    returned_s = behaviour.returned_after_s
    return {
        "direction": instruction.direction.value,
        "account": instruction.account,
        "amount": dict(instruction.amount),
        "refused": behaviour.refuses,
        "settles_at": settles_at,
        "answers_at": now + timedelta(seconds=behaviour.silent_s),
        "returns_at": None if returned_s is None else settles_at + timedelta(seconds=returned_s),
        "times": behaviour.times,
    }


def _reference(line: Document, nth: int) -> str:
    return f"sandbox/{line['_id']}/{nth}"


def _statement_lines(line: Document, field: str, kind: LineKind) -> list[StatementLine]:
    times = line["times"] if kind is LineKind.SETTLED else 1
    return [
        StatementLine(
            _reference(line, nth) + ("" if kind is LineKind.SETTLED else "/returned"),
            line.get("instruction_id", line["_id"]),
            kind,
            RailDirection(line["direction"]),
            line["amount"],
            line[field],
        )
        for nth in range(1, times + 1)
    ]
