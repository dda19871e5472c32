"""The enums of wallets, receipts, and what mutations and the subscription answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import strawberry

from datastores.ledger import EntryState, Tier, TransferState, WalletStatus
from datastores.wallets import PaymentRequestDirection, PaymentRequestState
from schema.composition import plain
from schema.entities import LedgerEntry, PaymentRequest, Transfer, Wallet
from schema.errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyKeyReused,
    InsufficientFunds,
    LimitExceeded,
    NotFoundError,
    OutcomeUnknown,
    TransferRefused,
    ValidationError,
)
from schema.scalars import BigInt, Cursor
from schema.values import Money

strawberry.enum(
    Tier,
    name="WalletTier",
    description="How well a wallet's owner is known: the better, the more may leave it. BUSINESS has no limits.",
)
strawberry.enum(WalletStatus, description="OPEN pays and is paid; FROZEN and CLOSED do neither.")
strawberry.enum(
    EntryState,
    description="Entries never change: a void is an entry of its own. REFUSED had no effect.",
)
strawberry.enum(
    TransferState,
    description=(
        "What has become of a transfer; REFUNDED: all that was paid was sent back. A hold is PENDING until it has "
        "ended, then POSTED where anything was captured, else VOIDED."
    ),
)
strawberry.enum(PaymentRequestState, description="OPEN waits for its payer; the others are final.")
strawberry.enum(PaymentRequestDirection, description="INCOMING: the viewer is asked to pay; OUTGOING: the viewer asks.")


@strawberry.enum(description="What an entry of the ledger is.")
class EntryKind(StrEnum):
    TRANSFER = "TRANSFER"
    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    TOP_UP = "TOP_UP"
    WITHDRAWAL = "WITHDRAWAL"
    FEE = "FEE"
    REFUND = "REFUND"
    REVERSAL = "REVERSAL"
    EXCHANGE = "EXCHANGE"


@strawberry.type(
    description=(
        "Enough to verify offline: `body` is canonical JSON with the reader's legs open and the others as salted "
        "digests; `entryHash` covers body and previousHash; the signature (Ed25519) covers seq, entryHash, headSeq and "
        "headHash."
    )
)
class Receipt:
    seq: BigInt = plain(description="The number of the entry.")
    body: str = plain(description="The entry as canonical JSON.")
    entry_hash: str = plain(description="The hash of the entry, in hex.")
    previous_hash: str = plain(description="The hash of the entry before it, in hex.")
    head_seq: BigInt = plain(description="The number of the last entry when the receipt was made.")
    head_hash: str = plain(description="The hash of that entry, in hex.")
    key_id: str = plain(description="Which published key signed it.")
    signature: str = plain(description="Ed25519, base64.")


@strawberry.type(description="The money is on its way or there.")
class TransferFundsSuccess:
    transfer: Transfer = plain(
        description=(
            "The transfer; of `refundTransfer` the refund, a transfer of its own; of `captureHold` and `voidHold` the "
            "hold."
        )
    )
    wallet: Wallet | None = plain(description="The viewer's wallet as the transfer left it; at a replay as it is now.")
    replayed: bool = plain(description="Whether an earlier try with the same key had done it.")
    cursor: Cursor = plain(description="Pass it to `balanceChanged` to hear of all that comes after.")


TransferFundsResult = Annotated[
    TransferFundsSuccess
    | InsufficientFunds
    | LimitExceeded
    | TransferRefused
    | IdempotencyKeyReused
    | OutcomeUnknown
    | ConflictError
    | NotFoundError
    | ForbiddenError
    | ValidationError,
    strawberry.union("TransferFundsResult", description="What became of a mutation that moves money."),
]


@strawberry.type(description="The request is made.")
class RequestPaymentSuccess:
    payment_request: PaymentRequest = plain(description="The request.")
    replayed: bool = plain(description="Whether an earlier try with the same key had made it.")


RequestPaymentResult = Annotated[
    RequestPaymentSuccess | IdempotencyKeyReused | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("RequestPaymentResult", description="What became of `requestPayment`."),
]


@strawberry.type(description="The request has ended.")
class PaymentRequestActionSuccess:
    payment_request: PaymentRequest = plain(description="The request.")


PaymentRequestActionResult = Annotated[
    PaymentRequestActionSuccess | NotFoundError | ForbiddenError | ConflictError,
    strawberry.union("PaymentRequestActionResult", description="What became of a request."),
]


@strawberry.type(description="The wallet is open.")
class OpenWalletSuccess:
    wallet: Wallet = plain(description="The wallet.")


OpenWalletResult = Annotated[
    OpenWalletSuccess | ForbiddenError | ValidationError,
    strawberry.union("OpenWalletResult", description="What became of `openWallet`."),
]


@strawberry.type(
    description=(
        "What may leave a wallet and what it may hold; null for no limit. Transfers, holds, withdrawals, exchanges and "
        "fees count when they are posted or reserved; refunds and reversals do not, and a hold that is given back is "
        "taken off again. Days are UTC days."
    )
)
class WalletLimits:
    tier: Tier = plain(description="The tier of the wallet, on which the limits depend.")
    per_transaction: Money | None = plain(description="The most that may leave at once.")
    per_day: Money | None = plain(description="The most that may leave in one UTC day.")
    per_30_days: Money | None = plain(description="The most that may leave in 30 days: today and the 29 before it.")
    max_balance: Money | None = plain(description="The most that the wallet may hold or await.")
    left_today: Money | None = plain(description="How much of `perDay` is left today.")
    left_in_30_days: Money | None = plain(description="How much of `per30Days` is left today.")


@strawberry.type(description="The wallet is closed: it neither pays nor is paid until `openWallet` opens it again.")
class CloseWalletSuccess:
    wallet: Wallet = plain(description="The wallet.")


CloseWalletResult = Annotated[
    CloseWalletSuccess | NotFoundError | ForbiddenError | ConflictError,
    strawberry.union("CloseWalletResult", description="What became of `closeWallet`."),
]


@strawberry.type(description="A wallet has changed.")
class BalanceEvent:
    cursor: Cursor = plain(description="Where to go on; of this list alone.")
    wallet: Wallet = plain(description="The wallet as it stood after `entry`.")
    entry: LedgerEntry | None = plain(description="What changed it; null where only its status changed.")
    coalesced: int = plain(
        description="How many earlier events this one stands for: 0 unless the client was slow.",
    )
