"""Asking for money, and answering those who ask."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypedDict

from datastores import ledger
from datastores import wallets as store
from datastores.accounts import is_there
from datastores.commit import Act
from datastores.errors import ForbiddenError, NotFoundError, ValidationError
from datastores.ids import is_id
from datastores.ledger import Memo, Outcome, Party, Transfer
from datastores.mongo import Document
from datastores.wallets import PaymentRequestDocument, PaymentRequestState
from resolvers import accounts, conversations
from resolvers.context import Context
from resolvers.notifications import Kind, notify

from .acting import (
    AmountInput,
    MoneyMoved,
    amount_of,
    command,
    decided,
    fingerprint,
    memo_of,
    memo_text,
    merchants_of,
    paying_wallet,
    read_memos,
    record_of,
    submit,
)
from .follow_ups import message_follow_up, tell_conversation
from .reading import request_documents
from .transfers import moved

MAX_EXPIRY: Final = timedelta(days=366)


class PaymentRequested(TypedDict):
    """What `requestPayment` answers."""

    payment_request: Document
    replayed: bool


async def request_payment(
    ctx: Context,
    *,
    idempotency_key: str,
    payer_id: str,
    amount: AmountInput,
    memo: str | None = None,
    conversation_id: str | None = None,
    expires_at: datetime | None = None,
) -> PaymentRequested:
    """Ask a person for money; open until they answer, it is cancelled, or `expires_at` (at most 366 days ahead).

    Raises ValidationError, IdempotencyKeyReusedError, and NotFoundError for the payer, then for the conversation.
    """
    viewer_id = ctx.viewer.person()
    money, text = amount_of(amount), memo_text(memo)
    written = await memo_of(ctx, viewer_id, text)
    request = command(
        viewer_id,
        idempotency_key,
        "requestPayment",
        payer_id=payer_id,
        amount=money,
        memo=fingerprint(written),
        conversation_id=conversation_id,
        expires_at=expires_at,
    )
    request_id = request.id("preq")

    async def prepare() -> Act[Outcome]:
        _check_expiry(expires_at, ctx.now())
        if not is_there(await accounts.user(ctx, id=payer_id)):
            raise NotFoundError("There is no such person")
        if payer_id == viewer_id:
            raise ValidationError("You cannot ask yourself", "payerId")
        if conversation_id is not None:
            await conversations.conversation_of_viewer(ctx, conversation_id)
        follow_up = conversation_id and message_follow_up(viewer_id, conversation_id, payment_request_id=request_id)
        merchants = await merchants_of(ctx, [viewer_id, payer_id])
        return store.RequestPayment(
            request, viewer_id, payer_id, money, written, conversation_id, expires_at, merchants, follow_up or None
        )

    outcome = await decided(ctx, request, prepare)
    entry = outcome.accepted()
    if conversation_id is not None:
        await tell_conversation(ctx, entry["_id"], idempotency_key)
    await _notify(ctx, payer_id, "payment_request", request_id)
    (made,) = await store.requests_by_ids(ctx.database, [request_id])
    if made is None:
        raise NotFoundError("There is no such payment request")
    (document,) = await request_documents(ctx, [made])
    return {"payment_request": document, "replayed": outcome.replayed}


async def accept_payment_request(
    ctx: Context, *, idempotency_key: str, payment_request_id: str, from_wallet_id: str | None = None
) -> MoneyMoved:
    """Pay what the viewer was asked for, by exactly one transfer, from the wallet that is named or theirs.

    Raises, in this order: ValidationError; IdempotencyKeyReusedError; NotFoundError (request); ForbiddenError for its
    requester; NotFoundError (wallet); TransferRefusedError with CURRENCY_MISMATCH; and, kept under the key,
    ConflictError for a request that is not open, then as `transfer_funds`.
    """
    viewer_id = ctx.viewer.person()
    request = command(
        viewer_id,
        idempotency_key,
        "acceptPaymentRequest",
        payment_request_id=payment_request_id,
        from_wallet_id=from_wallet_id,
    )
    written: Memo | None = None

    async def prepare() -> Act[Outcome]:
        nonlocal written
        asked = await _request_of(ctx, payment_request_id, viewer_id)
        if asked["payer_id"] != viewer_id:
            raise ForbiddenError("Only the person who was asked can accept")
        currency, requester_id = asked["amount"]["currency"], asked["requester_id"]
        source = await paying_wallet(ctx, from_wallet_id, currency)
        (asked_memo,) = await read_memos(ctx, [asked["memo"]])
        written = await memo_of(ctx, requester_id, asked_memo.text) if asked_memo else None
        transfer = Transfer(
            Party(source, owner_id=viewer_id),
            Party(ledger.wallet_id(requester_id, currency), owner_id=requester_id),
            asked["amount"]["minor_units"],
            currency,
            sender_id=viewer_id,
            recipient_id=requester_id,
            event_type="payment.completed",
            merchants=tuple(asked["merchants"]),
            payment_request_id=payment_request_id,
            memo=written,
            default_tier=ctx.default_tier,
        )
        return store.AcceptPaymentRequest(request, payment_request_id, transfer)

    outcome = await decided(ctx, request, prepare)
    requester_id = outcome.accepted()["recipient_id"]
    if requester_id is not None:
        await _notify(ctx, requester_id, "payment_request_accepted", payment_request_id)
    return await moved(ctx, outcome, viewer_id, record_of(written))


async def decline_payment_request(ctx: Context, *, payment_request_id: str) -> Document:
    """The request, declined by the person who was asked; raises NotFoundError, ForbiddenError or ConflictError."""
    viewer_id = ctx.viewer.person()
    asked = await _request_of(ctx, payment_request_id, viewer_id)
    if asked["payer_id"] != viewer_id:
        raise ForbiddenError("Only the person who was asked can decline")
    closed = await _close(ctx, payment_request_id, PaymentRequestState.DECLINED)
    await _notify(ctx, asked["requester_id"], "payment_request_declined", payment_request_id)
    return closed


async def cancel_payment_request(ctx: Context, *, payment_request_id: str) -> Document:
    """The request, taken back by the person who asked; raises NotFoundError, ForbiddenError or ConflictError."""
    viewer_id = ctx.viewer.person()
    asked = await _request_of(ctx, payment_request_id, viewer_id)
    if asked["requester_id"] != viewer_id:
        raise ForbiddenError("Only the person who asked can cancel")
    closed = await _close(ctx, payment_request_id, PaymentRequestState.CANCELLED)
    await _notify(ctx, asked["payer_id"], "payment_request_cancelled", payment_request_id)
    return closed


async def _close(ctx: Context, id: str, state: PaymentRequestState) -> Document:
    closed = await submit(ctx, store.ClosePaymentRequest(id, state, store.close_command(id, state)), id)
    (document,) = await request_documents(ctx, [closed])
    return document


async def _notify(ctx: Context, user_id: str, kind: Kind, request_id: str) -> None:
    await notify(ctx, user_id=user_id, kind=kind, actor_id=ctx.viewer.person(), subject_id=request_id)


async def _request_of(ctx: Context, id: str, viewer_id: str) -> PaymentRequestDocument:
    (found,) = await store.requests_by_ids(ctx.database, [id if is_id("preq", id) else ""])
    if found is None or viewer_id not in found["people"]:
        raise NotFoundError("There is no such payment request of yours")
    return found


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and not now < expires_at <= now + MAX_EXPIRY:
        raise ValidationError(f"The request must expire within the next {MAX_EXPIRY.days} days", "expiresAt")
