"""Reconciliation: one day of a rail on three sides, the ledger, our instructions and the rail's statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import IndexModel

from . import reports, statements
from .findings import MEANINGS, FindingKind, NoteKind
from .reports import Reconciliation, Remark, digest_holds, final_days, last_report, report_json
from .runs import OnProgress, reconcile
from .statements import StatementError

INDEXES: Mapping[str, Sequence[IndexModel]] = {**reports.INDEXES, **statements.INDEXES}

__all__ = [
    "INDEXES",
    "MEANINGS",
    "FindingKind",
    "NoteKind",
    "OnProgress",
    "Reconciliation",
    "Remark",
    "StatementError",
    "digest_holds",
    "final_days",
    "last_report",
    "reconcile",
    "report_json",
]
