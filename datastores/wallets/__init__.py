"""Wallets: payment requests between people, rails through which money enters and leaves, and rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import IndexModel

from . import instructions, reconciliation, requests, sandbox
from .adapters import connected_rails, rail_account
from .instructions import (
    InstructionDocument,
    ReserveThroughRail,
    ResolveInstruction,
    due_instructions,
    first_asked_at,
    instruction_of,
    instructions_by_ids,
    take_turn,
)
from .rails import (
    Instruction,
    LineKind,
    Rail,
    RailAnswer,
    RailDirection,
    RailSilentError,
    RailState,
    StatementLine,
)
from .rates import RateSource, SandboxRates
from .reconciliation import (
    MEANINGS,
    FindingKind,
    NoteKind,
    OnProgress,
    Reconciliation,
    Remark,
    StatementError,
    digest_holds,
    final_days,
    last_report,
    reconcile,
    report_json,
)
from .requests import (
    AcceptPaymentRequest,
    ClosePaymentRequest,
    PaymentRequestDirection,
    PaymentRequestDocument,
    PaymentRequestState,
    RequestPayment,
    close_command,
    open_requests,
    overdue_requests,
    requests_by_ids,
    requests_of,
    state_at,
)

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    **requests.INDEXES,
    **instructions.INDEXES,
    **sandbox.INDEXES,
    **reconciliation.INDEXES,
}

__all__ = [
    "INDEXES",
    "MEANINGS",
    "AcceptPaymentRequest",
    "ClosePaymentRequest",
    "FindingKind",
    "Instruction",
    "InstructionDocument",
    "LineKind",
    "NoteKind",
    "OnProgress",
    "PaymentRequestDirection",
    "PaymentRequestDocument",
    "PaymentRequestState",
    "Rail",
    "RailAnswer",
    "RailDirection",
    "RailSilentError",
    "RailState",
    "RateSource",
    "Reconciliation",
    "Remark",
    "RequestPayment",
    "ReserveThroughRail",
    "ResolveInstruction",
    "SandboxRates",
    "StatementError",
    "StatementLine",
    "close_command",
    "connected_rails",
    "digest_holds",
    "due_instructions",
    "final_days",
    "first_asked_at",
    "instruction_of",
    "instructions_by_ids",
    "last_report",
    "open_requests",
    "overdue_requests",
    "rail_account",
    "reconcile",
    "report_json",
    "requests_by_ids",
    "requests_of",
    "state_at",
    "take_turn",
]
