"""The domain of wallets: what it owns, how amounts reach its use cases, and how a movement of money is answered."""

from __future__ import annotations

from collections.abc import Mapping

from datastores.ledger import LegDocument, TransferDocument, WalletDocument
from datastores.mongo import Document
from datastores.wallets import PaymentRequestDocument
from resolvers import wallets as use_cases
from schema.arguments import or_none
from schema.composition import Domain
from schema.entities import LedgerEntry, PaymentRequest, Transfer, Wallet
from schema.values import MoneyInput

from .inputs import TransferTargetInput

wallets = Domain("wallets")
wallets.owns(Wallet, use_cases.wallets_by_id, document=WalletDocument)
wallets.owns(LedgerEntry, use_cases.legs_by_id, document=LegDocument)
wallets.owns(Transfer, use_cases.transfers_by_id, document=TransferDocument)
wallets.owns(PaymentRequest, use_cases.payment_requests_by_id, document=PaymentRequestDocument)


def amount_of(given: MoneyInput) -> use_cases.AmountInput:
    """An amount as use cases take it."""
    return {"amount": given.amount, "currency": given.currency}


def target_of(given: TransferTargetInput) -> use_cases.Target:
    """Who is to be paid, as use cases take it."""
    return use_cases.Target(or_none(given.wallet_id), or_none(given.user_id), or_none(given.handle))


def moved(answer: Mapping[str, object]) -> Document:
    """The answer of a mutation that moved money."""
    return {"__typename": "TransferFundsSuccess", **answer}
