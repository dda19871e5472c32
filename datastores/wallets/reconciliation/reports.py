"""Reports: what a reconciliation of one rail and one day found, as it is kept and printed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, TypedDict, cast

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.ids import new_id
from datastores.mongo import Database, Document

from .cases import Case, Scope
from .findings import MEANINGS, FindingKind, NoteKind
from .movements import Totals

RECONCILIATIONS: Final = "reconciliations"
MAX_FINDINGS: Final = 1_000
MAX_NOTES: Final = 1_000
MAX_REFERENCES: Final = 10
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    RECONCILIATIONS: [
        IndexModel([("rail", ASCENDING), ("day", ASCENDING), ("started_at", DESCENDING)], name="rail_day"),
    ]
}


class Remark(TypedDict):
    """One finding or note: of which id, in which way, and what each side has of it."""

    kind: str
    id: str
    text: str
    references: list[str]
    ledger: list[Document]
    ours: list[Document]
    rail: list[Document]


class Reconciliation(TypedDict):
    """A report. Amounts are minor units as text, since sums may pass 64 bits.

    `is_final` says that the day was over; `newest_seq` and `newest_hash` are of the ledger's last entry when it began.
    `totals` are by currency, then by side (`ledger`, `ours`, `rail`), then by direction. `counts` has all findings by
    kind, `findings` and `notes` the first 1,000 of each. `digest` is SHA-256 over all the rest.
    """

    _id: str
    rail: str
    day: str
    started_at: datetime
    ended_at: datetime
    is_final: bool
    newest_seq: int
    newest_hash: str | None
    agreed: int
    totals: dict[str, dict[str, Document]]
    counts: dict[str, int]
    note_counts: dict[str, int]
    findings: list[Remark]
    notes: list[Remark]
    digest: str


class Findings:
    """What was found so far: all of it counted, the first 1,000 kept, and what is accounted for on each side."""

    def __init__(self) -> None:
        self.agreed = 0
        self.counts: Counter[FindingKind] = Counter()
        self.note_counts: Counter[NoteKind] = Counter()
        self.findings: list[Remark] = []
        self.notes: list[Remark] = []
        self.accounted = {"ledger": Totals(), "ours": Totals(), "rail": Totals()}

    def add(self, case: Case, verdict: FindingKind | NoteKind | None) -> None:
        """Take up a case, with what was said of it."""
        self.accounted["ledger"].add_movements(case.in_ledger)
        self.accounted["ours"].add_movements(case.ours)
        self.accounted["rail"].add_movements(case.at_rail)
        if verdict is None:
            self.agreed += any(each.counts for each in (*case.in_ledger, *case.at_rail))
        elif isinstance(verdict, FindingKind):
            self._find(verdict, _remark(case, verdict, MEANINGS[verdict]))
        else:
            self.note_counts[verdict] += 1
            if len(self.notes) < MAX_NOTES:
                self.notes.append(_remark(case, verdict, ""))

    def check(self, sums: Mapping[str, Totals]) -> None:
        """Once all cases are in: whether they are all that the sums of each side have."""
        for side, totals in sums.items():
            for currency in sorted(totals.currencies | self.accounted[side].currencies):
                has, cases = totals.as_document(currency), self.accounted[side].as_document(currency)
                if has != cases:
                    text = f"{MEANINGS[FindingKind.UNEXPLAINED]}: {side} has {_said(has)}, its cases {_said(cases)}"
                    self._find(FindingKind.UNEXPLAINED, _unexplained(currency, side, text))

    def _find(self, kind: FindingKind, remark: Remark) -> None:
        self.counts[kind] += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(remark)


def report(
    scope: Scope, started_at: datetime, ended_at: datetime, sums: Mapping[str, Totals], found: Findings
) -> Reconciliation:
    """The report of what was found, the most dangerous findings first."""
    order = list(FindingKind)
    currencies = sorted(set().union(*(totals.currencies for totals in sums.values())))
    made: dict[str, Any] = {
        "_id": new_id("rcn"),
        "rail": scope.rail,
        "day": scope.day,
        "started_at": started_at,
        "ended_at": ended_at,
        "is_final": started_at.date() > date.fromisoformat(scope.day),
        "newest_seq": scope.newest,
        "newest_hash": scope.newest_hash,
        "agreed": found.agreed,
        "totals": {code: {side: totals.as_document(code) for side, totals in sums.items()} for code in currencies},
        "counts": {kind.value: found.counts[kind] for kind in order if found.counts[kind]},
        "note_counts": {kind.value: count for kind, count in sorted(found.note_counts.items())},
        "findings": sorted(found.findings, key=lambda remark: order.index(FindingKind(remark["kind"]))),
        "notes": found.notes,
    }
    return cast(Reconciliation, {**made, "digest": hashlib.sha256(_json(made)).hexdigest()})


def report_json(made: Reconciliation) -> bytes:
    """The report as JSON for people and programs; its `digest` is over the same without it, compact, keys sorted."""
    return orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


def digest_holds(made: Reconciliation) -> bool:
    """Whether the report is as it was made."""
    return hashlib.sha256(_json({k: v for k, v in made.items() if k != "digest"})).hexdigest() == made["digest"]


async def keep_report(database: Database, made: Reconciliation) -> None:
    """Keep the report beside those that were made of the same day before."""
    await database.insert_one(RECONCILIATIONS, cast(Document, made))


async def last_report(database: Database, rail: str, day: str) -> Reconciliation | None:
    """The newest report of a rail and a day, or None where there is none."""
    found = await database.find_one(RECONCILIATIONS, {"rail": rail, "day": day}, sort=[("started_at", DESCENDING)])
    return cast("Reconciliation | None", found)


async def final_days(database: Database, rail: str, days: Sequence[str]) -> set[str]:
    """Those of the days that have a report which was made after the day was over."""
    filter = {"rail": rail, "day": {"$in": list(days)}, "is_final": True}
    shown: list[Document] = [{"$match": filter}, {"$group": {"_id": "$day"}}]
    return {row["_id"] for row in await database.aggregate(RECONCILIATIONS, shown)}


def _remark(case: Case, kind: FindingKind | NoteKind, text: str) -> Remark:
    return {
        "kind": kind.value,
        "id": case.id,
        "text": text,
        "references": list(case.references[:MAX_REFERENCES]),
        "ledger": [each.as_document() for each in case.in_ledger[:MAX_REFERENCES]],
        "ours": [each.as_document() for each in case.ours[:MAX_REFERENCES]],
        "rail": [each.as_document() for each in case.at_rail[:MAX_REFERENCES]],
    }


def _unexplained(currency: str, side: str, text: str) -> Remark:
    return {
        "kind": FindingKind.UNEXPLAINED.value,
        "id": f"{side} {currency}",
        "text": text,
        "references": [],
        "ledger": [],
        "ours": [],
        "rail": [],
    }


def _said(part: Document) -> str:
    return ", ".join(f"{name} {each['count']} × {each['minor_units']}" for name, each in part.items())


def _json(made: Mapping[str, Any]) -> bytes:
    return orjson.dumps(made, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
