"""Holds: promising money to a person, who captures it in parts or gives it back; in the end it goes back by itself."""

from __future__ import annotations

import asyncio
from datetime import datetime

from datastores import ledger
from datastores.commit import Act
from datastores.errors import ExpectedError, ForbiddenError, NotFoundError
from datastores.ids import is_id
from datastores.ledger import Entry, Outcome, TransferRecord
from resolvers.context import Context
from resolvers.notifications import Kind, notify

from .acting import (
    AmountInput,
    MoneyMoved,
    amount_of,
    balance_cursor,
    check_currency,
    command,
    decided,
    fingerprint,
    memo_of,
    memo_text,
    record_of,
    submit,
)
from .follow_ups import message_follow_up, tell_conversation
from .reading import transfers_by_id, wallets_by_id
from .transfers import Target, check_target, moved, transfer_to


async def hold_funds(
    ctx: Context,
    *,
    idempotency_key: str,
    amount: AmountInput,
    to: Target,
    expires_at: datetime | None = None,
    from_wallet_id: str | None = None,
    memo: str | None = None,
    conversation_id: str | None = None,
) -> MoneyMoved:
    """Promise a person money until `expires_at` (7 days if None, at most 30), from the viewer's wallet.

    Raises what `transfer_funds` raises, in the same order; a time that is not acceptable is the last ValidationError.
    """
    viewer_id = ctx.viewer.person()
    money, text = amount_of(amount), memo_text(memo)
    check_target(to)
    written = await memo_of(ctx, viewer_id, text)
    request = command(
        viewer_id,
        idempotency_key,
        "holdFunds",
        amount=money,
        to={"wallet_id": to.wallet_id, "user_id": to.user_id, "handle": to.handle},
        expires_at=expires_at,
        from_wallet_id=from_wallet_id,
        memo=fingerprint(written),
        conversation_id=conversation_id,
    )

    async def prepare() -> Act[Outcome]:
        transfer = await transfer_to(ctx, to, money, from_wallet_id, written, conversation_id)
        follow_up = conversation_id and message_follow_up(viewer_id, conversation_id, transfer_id=request.id("trf"))
        return ledger.PlaceHold(request, transfer, expires_at, follow_up or None)

    outcome = await decided(ctx, request, prepare)
    entry = outcome.accepted()
    if conversation_id is not None:
        await tell_conversation(ctx, entry["_id"], idempotency_key)
    await _tell(ctx, entry["recipient_id"], "hold", entry)
    record: TransferRecord = {**record_of(written, conversation_id), "captured": 0}
    return await moved(ctx, outcome, viewer_id, record)


async def capture_hold(
    ctx: Context, *, idempotency_key: str, transfer_id: str, amount: AmountInput | None = None, final: bool = False
) -> MoneyMoved:
    """Take `amount` of what a person holds for the viewer, or all that is left; `final` gives the rest back at once.

    Raises, in this order: ValidationError; IdempotencyKeyReusedError; NotFoundError for a hold that the viewer does not
    take part in; ForbiddenError for its payer; TransferRefusedError with CURRENCY_MISMATCH; and, kept under the key,
    TransferRefusedError with HOLD_EXPIRED, HOLD_RESOLVED, AMOUNT_EXCEEDS_HOLD, ACCOUNT_FROZEN (the payer's, then the
    viewer's); OutcomeUnknownError.
    """
    viewer_id = ctx.viewer.person()
    money = amount_of(amount) if amount else None
    request = command(viewer_id, idempotency_key, "captureHold", transfer_id=transfer_id, amount=money, final=final)

    async def prepare() -> Act[Outcome]:
        hold = await _hold_for(ctx, transfer_id, viewer_id)
        if money is not None:
            check_currency(hold["currency"] or "", money["currency"])
        return ledger.CaptureHold(request, hold, money["minor_units"] if money else None, final)

    outcome = await decided(ctx, request, prepare)
    return await _ended(ctx, outcome, viewer_id, "hold_captured")


async def void_hold(ctx: Context, *, idempotency_key: str, transfer_id: str) -> MoneyMoved:
    """Give back what is left of a hold for the viewer.

    Raises, in this order: ValidationError; IdempotencyKeyReusedError; NotFoundError for a hold that the viewer does not
    take part in; ForbiddenError for its payer; and, kept under the key, TransferRefusedError with HOLD_EXPIRED or
    HOLD_RESOLVED; OutcomeUnknownError.
    """
    viewer_id = ctx.viewer.person()
    request = command(viewer_id, idempotency_key, "voidHold", transfer_id=transfer_id)

    async def prepare() -> Act[Outcome]:
        return ledger.VoidHold(request, await _hold_for(ctx, transfer_id, viewer_id))

    outcome = await decided(ctx, request, prepare)
    return await _ended(ctx, outcome, viewer_id, "hold_voided")


async def expire_holds(ctx: Context) -> int:
    """Give back what is left of holds whose time is over, at most 100 holds; returns how many. For a sweeper."""
    overdue = await ledger.overdue_holds(ctx.database, ctx.now())
    return sum(await asyncio.gather(*(_expire(ctx, hold) for hold in overdue)))


async def _expire(ctx: Context, hold: Entry) -> bool:
    act = ledger.expiry(hold)
    try:
        await submit(ctx, act, act.command.key)
    except ExpectedError:
        return False
    return True


async def _hold_for(ctx: Context, transfer_id: str, viewer_id: str) -> Entry:
    entry_id = ledger.sibling_id(transfer_id, "ent") if is_id("trf", transfer_id) else ""
    (hold,) = await ledger.entries_by_ids(ctx.database, [entry_id])
    if hold is None or not ledger.is_hold(hold) or not ledger.takes_part(hold, viewer_id):
        raise NotFoundError("There is no such hold of yours")
    if hold["recipient_id"] != viewer_id:
        raise ForbiddenError("Only the person for whom the money is held can capture it or give it back")
    return hold


async def _ended(ctx: Context, outcome: Outcome, viewer_id: str, kind: Kind) -> MoneyMoved:
    """The hold as it is now, and the viewer's wallet as the act left it, or as it is now at a replay."""
    entry = outcome.accepted()
    await _tell(ctx, entry["sender_id"], kind, entry)
    (rest,) = await ledger.entries_by_ids(ctx.database, [ledger.given_back_by(entry)])
    last = rest or entry
    wallet_id = next(leg["account_id"] for leg in last["legs"] if leg["owner_id"] == viewer_id)
    (transfer,) = await transfers_by_id(ctx, [_transfer_id(entry)])
    if transfer is None:
        raise NotFoundError("There is no such transfer")
    wallet = ledger.wallet_after(last, wallet_id)
    if outcome.replayed:
        (now,) = await wallets_by_id(ctx, [wallet_id])
        wallet = now or wallet
    cursor = balance_cursor(viewer_id, last["seq"])
    return {"transfer": transfer, "wallet": wallet, "replayed": outcome.replayed, "cursor": cursor}


async def _tell(ctx: Context, user_id: str | None, kind: Kind, entry: Entry) -> None:
    if user_id is not None:
        await notify(ctx, user_id=user_id, kind=kind, actor_id=ctx.viewer.person(), subject_id=_transfer_id(entry))


def _transfer_id(entry: Entry) -> str:
    return ledger.sibling_id(entry["pending_id"] or entry["_id"], "trf")
