"""Wallets: payment requests between people, and the rails through which money enters and leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import IndexModel

from . import rails, requests
from .rails import (
    Instruction,
    Rail,
    RailDirection,
    RailSilentError,
    RailState,
    SandboxRail,
    rail,
    rail_account,
)
from .requests import (
    AcceptPaymentRequest,
    ClosePaymentRequest,
    PaymentRequestDirection,
    PaymentRequestDocument,
    PaymentRequestState,
    RequestPayment,
    close_command,
    overdue_requests,
    payment_memo,
    requests_by_ids,
    requests_of,
    state_at,
)

INDEXES: Mapping[str, Sequence[IndexModel]] = {**requests.INDEXES, **rails.INDEXES}

__all__ = [
    "INDEXES",
    "AcceptPaymentRequest",
    "ClosePaymentRequest",
    "Instruction",
    "PaymentRequestDirection",
    "PaymentRequestDocument",
    "PaymentRequestState",
    "Rail",
    "RailDirection",
    "RailSilentError",
    "RailState",
    "RequestPayment",
    "SandboxRail",
    "close_command",
    "overdue_requests",
    "payment_memo",
    "rail",
    "rail_account",
    "requests_by_ids",
    "requests_of",
    "state_at",
]
