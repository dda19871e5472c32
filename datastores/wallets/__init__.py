"""Wallets: payment requests between people, rails through which money enters and leaves, and rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import IndexModel

from . import instructions, requests, sandbox
from .adapters import connected_rails, rail_account
from .instructions import (
    InstructionDocument,
    ReserveThroughRail,
    ResolveInstruction,
    due_instructions,
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
from .requests import (
    AcceptPaymentRequest,
    ClosePaymentRequest,
    PaymentRequestDirection,
    PaymentRequestDocument,
    PaymentRequestState,
    RequestPayment,
    close_command,
    overdue_requests,
    requests_by_ids,
    requests_of,
    state_at,
)

INDEXES: Mapping[str, Sequence[IndexModel]] = {**requests.INDEXES, **instructions.INDEXES, **sandbox.INDEXES}

__all__ = [
    "INDEXES",
    "AcceptPaymentRequest",
    "ClosePaymentRequest",
    "Instruction",
    "InstructionDocument",
    "LineKind",
    "PaymentRequestDirection",
    "PaymentRequestDocument",
    "PaymentRequestState",
    "Rail",
    "RailAnswer",
    "RailDirection",
    "RailSilentError",
    "RailState",
    "RateSource",
    "RequestPayment",
    "ReserveThroughRail",
    "ResolveInstruction",
    "SandboxRates",
    "StatementLine",
    "close_command",
    "connected_rails",
    "due_instructions",
    "instruction_of",
    "instructions_by_ids",
    "overdue_requests",
    "rail_account",
    "requests_by_ids",
    "requests_of",
    "state_at",
    "take_turn",
]
