"""Wallets in the graph: balances and their entries, transfers with receipts, payment requests, topping up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, cast

import strawberry
from strawberry import Info

import resolvers.wallets as use_cases
from datastores.ledger import EntryState, LegDocument, TransferDocument, TransferState, WalletDocument, WalletStatus
from datastores.mongo import Document
from datastores.wallets import PaymentRequestDirection, PaymentRequestDocument, PaymentRequestState

from .arguments import or_none
from .composition import Domain, batched, loads, plain, root
from .entities import Conversation, LedgerEntry, Order, PaymentRequest, Transfer, User, Viewer, Wallet
from .errors import (
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
from .scalars import BigInt, CurrencyCode, Cursor
from .values import Connection, Money, MoneyInput

strawberry.enum(WalletStatus, description="OPEN pays and is paid; FROZEN and CLOSED do neither.")
strawberry.enum(
    EntryState,
    description="Entries never change: a void is an entry of its own. REFUSED had no effect.",
)
strawberry.enum(TransferState, description="What has become of a transfer; REFUNDED: all of it was sent back.")
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


wallets = Domain("wallets")
wallets.owns(Wallet, use_cases.wallets_by_id, document=WalletDocument)
wallets.owns(LedgerEntry, use_cases.legs_by_id, document=LegDocument)
wallets.owns(Transfer, use_cases.transfers_by_id, document=TransferDocument)
wallets.owns(PaymentRequest, use_cases.payment_requests_by_id, document=PaymentRequestDocument)


@wallets.extends(Wallet)
class WalletFields:
    owner: User | None = loads(User, key="owner_id", description="Whose it is.")
    currency: CurrencyCode = plain(description="The one currency that it holds.")
    available: Money = plain(description="What can be spent now: `posted` less `pendingOut`.")
    posted: Money = plain(description="The sum of all posted entries.")
    pending_out: Money = plain(description="What is reserved and will leave.")
    pending_in: Money = plain(description="What is on its way here.")
    version: BigInt = plain(description="Rises by one with every entry that changes the wallet.")
    status: WalletStatus = plain(description="Whether it can pay and be paid.")
    entries: Connection[LedgerEntry] = batched(
        use_cases.entries,
        description="What happened to this wallet, newest first.",
        states="Only entries in these states",
        first="At most this many, 0–100; 20 if absent",
        after="Go on after this cursor",
        last="At most this many from the oldest end, 0–100",
        before="Go back before this cursor",
    )


@wallets.extends(LedgerEntry)
class LedgerEntryFields:
    wallet: Wallet | None = loads(Wallet, key="wallet_id", description="The wallet that this leg changes.")
    seq: BigInt = plain(description="The number of the entry in the ledger: no two share one, none is left out.")
    kind: EntryKind = plain(description="What it is.")
    state: EntryState = plain(description="Whether it reserved, moved, or was refused.")
    created_at: datetime = plain(description="When the ledger took it; never before an entry with a lower `seq`.")
    amount: Money = plain(description="What this wallet got, or gave where it is negative.")
    balance_after: Money = plain(description="The posted balance of the wallet after this entry.")
    counterparty: User | None = loads(
        User, key="counterparty_id", description="The other person; null for rails and the system."
    )
    transfer: Transfer | None = loads(Transfer, key="transfer_id", description="The transfer that it belongs to.")
    memo: str | None = batched(use_cases.memos, description="What the sender wrote, at most 280 characters.")
    hash: str = plain(description="SHA-256 over this entry and the hash of the one before it, in hex.")


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


@wallets.extends(Transfer)
class TransferFields:
    state: TransferState = plain(description="What has become of it.")
    amount: Money = plain(description="What was sent, without the fee.")
    fee: Money | None = plain(description="What the sender paid on top; null for none.")
    from_: Wallet | None = loads(
        Wallet, key="from_id", name="from", description="The wallet that paid, where it is the viewer's."
    )
    to: Wallet | None = loads(Wallet, key="to_id", description="The wallet that was paid, where it is the viewer's.")
    sender: User | None = loads(User, key="sender_id", description="Who paid; null for money from outside.")
    recipient: User | None = loads(User, key="recipient_id", description="Who was paid; null for money that left.")
    memo: str | None = plain(description="What the sender wrote, at most 280 characters.")
    created_at: datetime = plain(description="When the ledger took it.")
    refunded_amount: Money | None = plain(description="How much was sent back so far; null for nothing.")
    conversation: Conversation | None = loads(
        Conversation, key="conversation_id", description="The conversation in which it was made."
    )
    order: Order | None = loads(Order, key="order_id", description="The order that it pays or refunds.")
    receipt: Receipt | None = batched(
        use_cases.receipts, description="Proof for sender and recipient; of the entry that settled or ended it."
    )


@wallets.extends(PaymentRequest)
class PaymentRequestFields:
    state: PaymentRequestState = plain(description="What has become of it.")
    amount: Money = plain(description="What is asked for.")
    requester: User | None = loads(User, key="requester_id", description="Who asks.")
    payer: User | None = loads(User, key="payer_id", description="Who is asked.")
    memo: str | None = plain(description="What the requester wrote, at most 280 characters.")
    created_at: datetime = plain(description="When it was made.")
    expires_at: datetime | None = plain(description="Until when it can be accepted; null for no end.")
    transfer: Transfer | None = loads(Transfer, key="transfer_id", description="The transfer that paid it.")


@wallets.extends(Viewer)
class ViewerWallets:
    wallets: list[Wallet] | None = batched(use_cases.wallets, description="At most one a currency, first opened first.")
    wallet: Wallet | None = batched(
        use_cases.wallet, description="The wallet in one currency; null unless it is open.", currency="The currency"
    )
    payment_requests: Connection[PaymentRequest] | None = batched(
        use_cases.payment_requests,
        description="Requests that the viewer makes or gets, newest first.",
        direction="Only those that the viewer gets, or makes",
        state="Only those in this state",
        first="At most this many, 0–100; 20 if absent",
        after="Go on after this cursor",
    )


@strawberry.type(description="The money is on its way or there.")
class TransferFundsSuccess:
    transfer: Transfer = plain(description="The transfer; of `refundTransfer` the refund, a transfer of its own.")
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


@strawberry.type(description="A wallet has changed.")
class BalanceEvent:
    cursor: Cursor = plain(description="Where to go on; of this list alone.")
    wallet: Wallet = plain(description="The wallet as it stood after `entry`.")
    entry: LedgerEntry | None = plain(description="What changed it; null where only its status changed.")
    coalesced: int = plain(
        description="How many earlier events this one stands for: 0 unless the client was slow.",
    )


_KEY = "Yours to choose: the same key with the same input is the same act, however often it is sent; 1–255 characters."
_MEMO = "For the recipient, at most 280 characters."


@strawberry.input(description="A wallet to open; it stays one, however often it is opened.")
class OpenWalletInput:
    currency: CurrencyCode = strawberry.field(description="An active currency of ISO 4217.")


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
    idempotency_key: strawberry.ID = strawberry.field(description=_KEY)
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
    idempotency_key: strawberry.ID = strawberry.field(description=_KEY)
    transfer_id: strawberry.ID = strawberry.field(description="A transfer that a person made to the viewer.")
    amount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET, description="At most what is left of it; all that is left if absent."
    )
    memo: str | None = strawberry.field(default=strawberry.UNSET, description=_MEMO)


@strawberry.input(description="A request to make.")
class RequestPaymentInput:
    idempotency_key: strawberry.ID = strawberry.field(description=_KEY)
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
    idempotency_key: strawberry.ID = strawberry.field(description=_KEY)
    payment_request_id: strawberry.ID = strawberry.field(description="A request that the viewer got.")
    from_wallet_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The viewer's wallet in that currency if absent."
    )


@strawberry.input(description="A request to end.")
class PaymentRequestRefInput:
    payment_request_id: strawberry.ID = strawberry.field(description="The request.")


@strawberry.input(description="Money to bring in.")
class TopUpWalletInput:
    idempotency_key: strawberry.ID = strawberry.field(description=_KEY)
    wallet_id: strawberry.ID = strawberry.field(description="A wallet of the viewer, in the currency of the amount.")
    amount: MoneyInput = strawberry.field(description="More than zero.")
    source: str = strawberry.field(
        description="Where from: `sandbox:ok`, `sandbox:refuse`, `sandbox:slow`, `sandbox:lost`."
    )


@strawberry.input(description="Money to send out.")
class WithdrawFromWalletInput:
    idempotency_key: strawberry.ID = strawberry.field(description=_KEY)
    wallet_id: strawberry.ID = strawberry.field(description="A wallet of the viewer, in the currency of the amount.")
    amount: MoneyInput = strawberry.field(description="More than zero.")
    destination: str = strawberry.field(
        description="Where to: `sandbox:ok`, `sandbox:refuse`, `sandbox:slow`, `sandbox:lost`."
    )


def _amount(given: MoneyInput) -> use_cases.AmountInput:
    return {"amount": given.amount, "currency": given.currency}


def _moved(moved: Mapping[str, object]) -> Document:
    return {"__typename": "TransferFundsSuccess", **moved}


@wallets.root
class Query:
    @root(Wallet | None, description="A wallet of the viewer, or null.")
    async def wallet(self, info: Info, id: strawberry.ID) -> Document | None:
        return cast("Document | None", (await use_cases.wallets_by_id(info.context, [id]))[0])

    @root(Transfer | None, description="A transfer that the viewer takes part in or was shown, or null.")
    async def transfer(self, info: Info, id: strawberry.ID) -> Document | None:
        return (await use_cases.transfers_by_id(info.context, [id]))[0]

    @root(PaymentRequest | None, description="A payment request that the viewer makes, gets or was shown, or null.")
    async def payment_request(self, info: Info, id: strawberry.ID) -> Document | None:
        return (await use_cases.payment_requests_by_id(info.context, [id]))[0]


@wallets.root
class Mutation:
    @root(OpenWalletResult | None, description="Open a wallet, or find it open.")
    async def open_wallet(self, info: Info, input: OpenWalletInput) -> Document:
        wallet = await use_cases.open_wallet(info.context, currency=input.currency)
        return {"__typename": "OpenWalletSuccess", "wallet": wallet}

    @root(
        TransferFundsResult | None,
        description="Pay a person. Safe to repeat with the same key, refusals included.",
    )
    async def transfer_funds(self, info: Info, input: TransferFundsInput) -> Document:
        to = use_cases.Target(or_none(input.to.wallet_id), or_none(input.to.user_id), or_none(input.to.handle))
        return _moved(
            await use_cases.transfer_funds(
                info.context,
                idempotency_key=input.idempotency_key,
                amount=_amount(input.amount),
                to=to,
                from_wallet_id=or_none(input.from_wallet_id),
                memo=or_none(input.memo),
                conversation_id=or_none(input.conversation_id),
            )
        )

    @root(
        TransferFundsResult | None,
        description="Send back what a person paid to the viewer, in one or several parts, never more than was paid.",
    )
    async def refund_transfer(self, info: Info, input: RefundTransferInput) -> Document:
        amount = or_none(input.amount)
        return _moved(
            await use_cases.refund_transfer(
                info.context,
                idempotency_key=input.idempotency_key,
                transfer_id=input.transfer_id,
                amount=None if amount is None else _amount(amount),
                memo=or_none(input.memo),
            )
        )

    @root(RequestPaymentResult | None, description="Ask a person for money.")
    async def request_payment(self, info: Info, input: RequestPaymentInput) -> Document:
        requested = await use_cases.request_payment(
            info.context,
            idempotency_key=input.idempotency_key,
            payer_id=input.payer_id,
            amount=_amount(input.amount),
            memo=or_none(input.memo),
            conversation_id=or_none(input.conversation_id),
            expires_at=or_none(input.expires_at),
        )
        return {"__typename": "RequestPaymentSuccess", **requested}

    @root(TransferFundsResult | None, description="Pay what the viewer was asked for; only once, whoever repeats it.")
    async def accept_payment_request(self, info: Info, input: AcceptPaymentRequestInput) -> Document:
        return _moved(
            await use_cases.accept_payment_request(
                info.context,
                idempotency_key=input.idempotency_key,
                payment_request_id=input.payment_request_id,
                from_wallet_id=or_none(input.from_wallet_id),
            )
        )

    @root(PaymentRequestActionResult | None, description="Refuse to pay what the viewer was asked for.")
    async def decline_payment_request(self, info: Info, input: PaymentRequestRefInput) -> Document:
        id = input.payment_request_id
        closed = await use_cases.decline_payment_request(info.context, payment_request_id=id)
        return {"__typename": "PaymentRequestActionSuccess", "payment_request": closed}

    @root(PaymentRequestActionResult | None, description="Take back what the viewer asked for.")
    async def cancel_payment_request(self, info: Info, input: PaymentRequestRefInput) -> Document:
        id = input.payment_request_id
        closed = await use_cases.cancel_payment_request(info.context, payment_request_id=id)
        return {"__typename": "PaymentRequestActionSuccess", "payment_request": closed}

    @root(
        TransferFundsResult | None,
        description="Bring money into a wallet. The transfer is PENDING until the rail has settled it.",
    )
    async def top_up_wallet(self, info: Info, input: TopUpWalletInput) -> Document:
        return _moved(
            await use_cases.top_up_wallet(
                info.context,
                idempotency_key=input.idempotency_key,
                wallet_id=input.wallet_id,
                amount=_amount(input.amount),
                source=input.source,
            )
        )

    @root(
        TransferFundsResult | None,
        description="Send money out of a wallet. The transfer is PENDING until the rail has settled it.",
    )
    async def withdraw_from_wallet(self, info: Info, input: WithdrawFromWalletInput) -> Document:
        return _moved(
            await use_cases.withdraw_from_wallet(
                info.context,
                idempotency_key=input.idempotency_key,
                wallet_id=input.wallet_id,
                amount=_amount(input.amount),
                destination=input.destination,
            )
        )


@wallets.root
class Subscription:
    @root(
        BalanceEvent,
        subscription=True,
        description="Every change of a wallet of the viewer, or of all of them. Slow clients get the newest only.",
    )
    async def balance_changed(
        self, info: Info, wallet_id: strawberry.ID | None = strawberry.UNSET, after: Cursor | None = strawberry.UNSET
    ) -> AsyncGenerator[Document, None]:
        events = use_cases.balance_changed(info.context, wallet_id=or_none(wallet_id), after=or_none(after))
        async for event in events:
            yield event
