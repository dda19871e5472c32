"""What is passed to the mutations of wallets."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema.arguments import KEY
from schema.scalars import CurrencyCode
from schema.values import MoneyInput

_MEMO = "For the recipient, at most 280 characters."


@strawberry.input(description="A wallet to open; it stays one, however often it is opened.")
class OpenWalletInput:
    currency: CurrencyCode = strawberry.field(description="An active currency of ISO 4217.")


@strawberry.input(description="A wallet to close.")
class CloseWalletInput:
    wallet_id: strawberry.ID = strawberry.field(description="A wallet of the viewer with nothing in it.")


@strawberry.input(one_of=True, description="Who is to be paid: exactly one of these.")
class TransferTargetInput:
    wallet_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="A wallet, in the currency of the amount."
    )
    user_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="A person; their wallet is opened where they have none."
    )
    handle: str | None = strawberry.field(default=strawberry.UNSET, description="A person by their handle.")


@strawberry.input(description="A transfer to make.")
class TransferFundsInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    amount: MoneyInput = strawberry.field(description="More than zero.")
    to: TransferTargetInput = strawberry.field(description="Who is to be paid; not oneself.")
    from_wallet_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The viewer's wallet in that currency if absent."
    )
    memo: str | None = strawberry.field(default=strawberry.UNSET, description=_MEMO)
    conversation_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="Posts one message that shows the transfer there."
    )


@strawberry.input(description="A transfer to send back, whole or in part.")
class RefundTransferInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    transfer_id: strawberry.ID = strawberry.field(
        description="A transfer that a person made to the viewer; of a hold, what was captured."
    )
    amount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET, description="At most what is left of it; all that is left if absent."
    )
    memo: str | None = strawberry.field(default=strawberry.UNSET, description=_MEMO)


@strawberry.input(description="Money to hold for a person.")
class HoldFundsInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    amount: MoneyInput = strawberry.field(description="More than zero: the most that can be captured.")
    to: TransferTargetInput = strawberry.field(description="Who may capture it; not oneself.")
    expires_at: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="When what was not captured goes back: at most 30 days ahead, in 7 days if absent.",
    )
    from_wallet_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The viewer's wallet in that currency if absent."
    )
    memo: str | None = strawberry.field(default=strawberry.UNSET, description=_MEMO)
    conversation_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="Posts one message that shows the hold there."
    )


@strawberry.input(description="A hold to capture, whole or in part.")
class CaptureHoldInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    transfer_id: strawberry.ID = strawberry.field(description="A hold for the viewer.")
    amount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET, description="At most what is left of it; all that is left if absent."
    )
    final: bool = strawberry.field(
        default=False, description="Whether the rest goes back at once; else it can be captured later."
    )


@strawberry.input(description="A hold to give back.")
class VoidHoldInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    transfer_id: strawberry.ID = strawberry.field(description="A hold for the viewer.")


@strawberry.input(description="A request to make.")
class RequestPaymentInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    payer_id: strawberry.ID = strawberry.field(description="Who is asked; not oneself.")
    amount: MoneyInput = strawberry.field(description="More than zero.")
    memo: str | None = strawberry.field(default=strawberry.UNSET, description="For the payer, at most 280 characters.")
    conversation_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="Posts one message that shows the request there."
    )
    expires_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="At most 366 days ahead; no end if absent."
    )


@strawberry.input(description="A request to pay.")
class AcceptPaymentRequestInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    payment_request_id: strawberry.ID = strawberry.field(description="A request that the viewer got.")
    from_wallet_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The viewer's wallet in that currency if absent."
    )


@strawberry.input(description="A request to end.")
class PaymentRequestRefInput:
    payment_request_id: strawberry.ID = strawberry.field(description="The request.")


@strawberry.input(description="Money to bring in.")
class TopUpWalletInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    wallet_id: strawberry.ID = strawberry.field(description="A wallet of the viewer, in the currency of the amount.")
    amount: MoneyInput = strawberry.field(description="More than zero.")
    source: str = strawberry.field(
        description="Where from, such as `sandbox:ok`: a rail that is connected, and an account there. The sandbox has "
        "`ok`, `refuse`, `slow`, `slow-refuse`, `late`, `lost`, `missed`, `silent`, `returned` and `twice`."
    )


@strawberry.input(description="Money to send out.")
class WithdrawFromWalletInput:
    idempotency_key: strawberry.ID = strawberry.field(description=KEY)
    wallet_id: strawberry.ID = strawberry.field(description="A wallet of the viewer, in the currency of the amount.")
    amount: MoneyInput = strawberry.field(description="More than zero.")
    destination: str = strawberry.field(
        description="Where to, such as `sandbox:ok`: a rail that is connected, and an account there. The sandbox has "
        "`ok`, `refuse`, `slow`, `slow-refuse`, `late`, `lost`, `missed`, `silent`, `returned` and `twice`."
    )
