"""Wallets: what people may do with their money, what they see of it, and what the system finishes for them."""

from datastores.ledger import EntryState

from .acting import AmountInput, MoneyMoved, balance_cursor, decided, merchants_of, paying_wallet, submit
from .balances import balance_changed
from .exchanges import exchange_funds, quote_exchange
from .follow_ups import expire_payment_requests, finish_follow_ups
from .holds import capture_hold, expire_holds, hold_funds, void_hold
from .limits import limits
from .opening import close_wallet, open_wallet
from .rails import ask_rails, top_up_wallet, withdraw_from_wallet
from .reading import (
    entries,
    entry_receipts,
    legs_by_id,
    may_attach_payment_request,
    may_attach_transfer,
    memos,
    payment_requests,
    payment_requests_by_id,
    receipts,
    transfers_by_id,
    wallet,
    wallets,
    wallets_by_id,
)
from .reconciliation import reconcile_days
from .requests import accept_payment_request, cancel_payment_request, decline_payment_request, request_payment
from .transfers import Target, moved, refund_transfer, transfer_funds

__all__ = [
    "AmountInput",
    "EntryState",
    "MoneyMoved",
    "Target",
    "accept_payment_request",
    "ask_rails",
    "balance_changed",
    "balance_cursor",
    "cancel_payment_request",
    "capture_hold",
    "close_wallet",
    "decided",
    "decline_payment_request",
    "entries",
    "entry_receipts",
    "exchange_funds",
    "expire_holds",
    "expire_payment_requests",
    "finish_follow_ups",
    "hold_funds",
    "legs_by_id",
    "limits",
    "may_attach_payment_request",
    "may_attach_transfer",
    "memos",
    "merchants_of",
    "moved",
    "open_wallet",
    "paying_wallet",
    "payment_requests",
    "payment_requests_by_id",
    "quote_exchange",
    "receipts",
    "reconcile_days",
    "refund_transfer",
    "request_payment",
    "submit",
    "top_up_wallet",
    "transfer_funds",
    "transfers_by_id",
    "void_hold",
    "wallet",
    "wallets",
    "wallets_by_id",
    "withdraw_from_wallet",
]
