"""Wallets in the graph: balances and their entries, transfers with receipts, payment requests, topping up."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Final, cast

import strawberry

from datastores.ledger import EntryState, TransferState, WalletStatus
from datastores.mongo import Document
from datastores.wallets import PaymentRequestState
from resolvers import wallets as use_cases
from schema.arguments import FIRST, Info, or_none
from schema.composition import batched, loads, plain, root
from schema.entities import Conversation, LedgerEntry, Order, PaymentRequest, Transfer, User, Viewer, Wallet
from schema.scalars import BigInt, CurrencyCode, Cursor
from schema.values import Connection, Money

from . import exchanges, holds
from .domain import amount_of, moved, target_of, wallets
from .exchanges import Exchange
from .inputs import (
    AcceptPaymentRequestInput,
    CloseWalletInput,
    OpenWalletInput,
    PaymentRequestRefInput,
    RefundTransferInput,
    RequestPaymentInput,
    TopUpWalletInput,
    TransferFundsInput,
    WithdrawFromWalletInput,
)
from .types import (
    BalanceEvent,
    CloseWalletResult,
    EntryKind,
    OpenWalletResult,
    PaymentRequestActionResult,
    Receipt,
    RequestPaymentResult,
    TransferFundsResult,
    WalletLimits,
)

__all__ = ["exchanges", "holds", "wallets"]

BALANCES_SINCE: Final = (
    "A cursor: everything since comes first, each wallet as of its entry, then what is live. From now on if absent."
)


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
    limits: WalletLimits | None = batched(
        use_cases.limits, description="What may leave the wallet and what it may hold, as of now."
    )
    entries: Connection[LedgerEntry] = batched(
        use_cases.entries,
        description="What happened to this wallet, newest first.",
        states="Only entries in these states",
        first=FIRST,
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
    receipt: Receipt | None = batched(
        use_cases.entry_receipts, description="Proof of this very entry, such as one of several captures."
    )


@wallets.extends(Transfer)
class TransferFields:
    state: TransferState = plain(description="What has become of it.")
    amount: Money = plain(description="What was sent, without the fee.")
    fee: Money | None = plain(description="What the sender paid on top; null for none.")
    exchange: Exchange | None = plain(description="What was swapped between two wallets; null unless something was.")
    from_: Wallet | None = loads(
        Wallet, key="from_id", name="from", description="The wallet that paid, where it is the viewer's."
    )
    to: Wallet | None = loads(Wallet, key="to_id", description="The wallet that was paid, where it is the viewer's.")
    sender: User | None = loads(User, key="sender_id", description="Who paid; null for money from outside.")
    recipient: User | None = loads(User, key="recipient_id", description="Who was paid; null for money that left.")
    memo: str | None = plain(description="What the sender wrote, at most 280 characters.")
    created_at: datetime = plain(description="When the ledger took it.")
    refunded_amount: Money | None = plain(description="How much was sent back so far; null for nothing.")
    captured_amount: Money | None = plain(
        description="How much of a hold was captured so far, from 0 up to `amount`; null for what is no hold."
    )
    expires_at: datetime | None = plain(
        description="When what was not captured of a hold goes back by itself; null for what is no hold."
    )
    conversation: Conversation | None = loads(
        Conversation, key="conversation_id", description="The conversation in which it was made."
    )
    order: Order | None = loads(Order, key="order_id", description="The order that it pays or refunds.")
    receipt: Receipt | None = batched(
        use_cases.receipts,
        description="Proof for sender and recipient: of its newest capture, or else the entry that ended it.",
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
        first=FIRST,
        after="Go on after this cursor",
    )


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
    @root(
        OpenWalletResult | None,
        description="Open a wallet, or one that was closed again, or find it open. A frozen one stays frozen.",
    )
    async def open_wallet(self, info: Info, input: OpenWalletInput) -> Document:
        wallet = await use_cases.open_wallet(info.context, currency=input.currency)
        return {"__typename": "OpenWalletSuccess", "wallet": wallet}

    @root(
        CloseWalletResult | None,
        description=(
            "Close a wallet of the viewer, or find it closed. `ConflictError` while it is frozen, holds money, or some "
            "is on its way from or to it."
        ),
    )
    async def close_wallet(self, info: Info, input: CloseWalletInput) -> Document:
        wallet = await use_cases.close_wallet(info.context, wallet_id=input.wallet_id)
        return {"__typename": "CloseWalletSuccess", "wallet": wallet}

    @root(
        TransferFundsResult | None,
        description="Pay a person. Safe to repeat with the same key, refusals included.",
    )
    async def transfer_funds(self, info: Info, input: TransferFundsInput) -> Document:
        return moved(
            await use_cases.transfer_funds(
                info.context,
                idempotency_key=input.idempotency_key,
                amount=amount_of(input.amount),
                to=target_of(input.to),
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
        return moved(
            await use_cases.refund_transfer(
                info.context,
                idempotency_key=input.idempotency_key,
                transfer_id=input.transfer_id,
                amount=None if amount is None else amount_of(amount),
                memo=or_none(input.memo),
            )
        )

    @root(RequestPaymentResult | None, description="Ask a person for money.")
    async def request_payment(self, info: Info, input: RequestPaymentInput) -> Document:
        requested = await use_cases.request_payment(
            info.context,
            idempotency_key=input.idempotency_key,
            payer_id=input.payer_id,
            amount=amount_of(input.amount),
            memo=or_none(input.memo),
            conversation_id=or_none(input.conversation_id),
            expires_at=or_none(input.expires_at),
        )
        return {"__typename": "RequestPaymentSuccess", **requested}

    @root(
        TransferFundsResult | None,
        description=(
            "Pay what the viewer was asked for, once: the same key is a replay, another is a `ConflictError` from then "
            "on. Its requester is `ForbiddenError`."
        ),
    )
    async def accept_payment_request(self, info: Info, input: AcceptPaymentRequestInput) -> Document:
        return moved(
            await use_cases.accept_payment_request(
                info.context,
                idempotency_key=input.idempotency_key,
                payment_request_id=input.payment_request_id,
                from_wallet_id=or_none(input.from_wallet_id),
            )
        )

    @root(
        PaymentRequestActionResult | None,
        description="Refuse to pay what the viewer was asked for; only who was asked can.",
    )
    async def decline_payment_request(self, info: Info, input: PaymentRequestRefInput) -> Document:
        id = input.payment_request_id
        closed = await use_cases.decline_payment_request(info.context, payment_request_id=id)
        return {"__typename": "PaymentRequestActionSuccess", "payment_request": closed}

    @root(PaymentRequestActionResult | None, description="Take back what the viewer asked for; only who asked can.")
    async def cancel_payment_request(self, info: Info, input: PaymentRequestRefInput) -> Document:
        id = input.payment_request_id
        closed = await use_cases.cancel_payment_request(info.context, payment_request_id=id)
        return {"__typename": "PaymentRequestActionSuccess", "payment_request": closed}

    @root(
        TransferFundsResult | None,
        description="Bring money into a wallet. The transfer is PENDING until the rail has settled it.",
    )
    async def top_up_wallet(self, info: Info, input: TopUpWalletInput) -> Document:
        return moved(
            await use_cases.top_up_wallet(
                info.context,
                idempotency_key=input.idempotency_key,
                wallet_id=input.wallet_id,
                amount=amount_of(input.amount),
                source=input.source,
            )
        )

    @root(
        TransferFundsResult | None,
        description="Send money out of a wallet. The transfer is PENDING until the rail has settled it.",
    )
    async def withdraw_from_wallet(self, info: Info, input: WithdrawFromWalletInput) -> Document:
        return moved(
            await use_cases.withdraw_from_wallet(
                info.context,
                idempotency_key=input.idempotency_key,
                wallet_id=input.wallet_id,
                amount=amount_of(input.amount),
                destination=input.destination,
            )
        )


@wallets.root
class Subscription:
    @root(
        BalanceEvent,
        subscription=True,
        # A slow client gets the newest balance only: which ones are left out is its own affair.
        hearers="one",
        description=(
            "Every change of a wallet of the viewer, or of all of them. Its cursors are those of the mutations that "
            "move money. Slow clients get the newest only, but what is caught up with is whole."
        ),
    )
    async def balance_changed(
        self,
        info: Info,
        wallet_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only this wallet; all of the viewer's if absent.")
        ] = strawberry.UNSET,
        after: Annotated[Cursor | None, strawberry.argument(description=BALANCES_SINCE)] = strawberry.UNSET,
    ) -> AsyncGenerator[Document, None]:
        events = use_cases.balance_changed(info.context, wallet_id=or_none(wallet_id), after=or_none(after))
        async for event in events:
            yield event
