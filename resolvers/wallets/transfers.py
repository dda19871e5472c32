"""Transfers between people, and refunds by those who were paid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datastores import ledger
from datastores.accounts import is_there
from datastores.commit import Act
from datastores.errors import ForbiddenError, NotFoundError, ValidationError
from datastores.ids import is_id
from datastores.ledger import Entry, EntryKind, Memo, Money, Outcome, Party, Transfer, TransferRecord, WalletDocument
from datastores.mongo import Document
from resolvers import accounts, conversations
from resolvers.context import Context
from resolvers.notifications import notify

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
    merchants_of,
    paying_wallet,
    record_of,
)
from .follow_ups import message_follow_up, tell_conversation
from .reading import read_memos_of, shown_transfer, transfers_by_id, wallets_by_id


@dataclass(frozen=True, slots=True)
class Target:
    """Who is to be paid: exactly one of the three."""

    wallet_id: str | None = None
    user_id: str | None = None
    handle: str | None = None


async def transfer_funds(
    ctx: Context,
    *,
    idempotency_key: str,
    amount: AmountInput,
    to: Target,
    from_wallet_id: str | None = None,
    memo: str | None = None,
    conversation_id: str | None = None,
) -> MoneyMoved:
    """Pay a person, from the wallet that is named or from the viewer's in that currency; opens the payee's wallet.

    The first of these that holds is raised; those marked * are kept under the key and raised at every replay:
    ValidationError (key, amount, currency, memo, target); IdempotencyKeyReusedError; NotFoundError (own wallet, then
    who is to be paid, then the conversation); ValidationError for paying oneself; TransferRefusedError with
    CURRENCY_MISMATCH; TransferRefusedError* with ACCOUNT_FROZEN (own wallet, then theirs); InsufficientFundsError*;
    LimitExceededError*; OutcomeUnknownError.
    """
    viewer_id = ctx.viewer.person()
    money, text = amount_of(amount), memo_text(memo)
    check_target(to)
    written = await memo_of(ctx, viewer_id, text)
    request = command(
        viewer_id,
        idempotency_key,
        "transferFunds",
        amount=money,
        to={"wallet_id": to.wallet_id, "user_id": to.user_id, "handle": to.handle},
        from_wallet_id=from_wallet_id,
        memo=fingerprint(written),
        conversation_id=conversation_id,
    )

    async def prepare() -> Act[Outcome]:
        transfer = await transfer_to(ctx, to, money, from_wallet_id, written, conversation_id)
        follow_up = conversation_id and message_follow_up(viewer_id, conversation_id, transfer_id=request.id("trf"))
        return ledger.PostTransfer(request, transfer, follow_up or None)

    outcome = await decided(ctx, request, prepare)
    entry = outcome.accepted()
    if conversation_id is not None:
        await tell_conversation(ctx, entry["_id"], idempotency_key)
    await _notify_payee(ctx, entry, "transfer")
    return await moved(ctx, outcome, viewer_id, record_of(written, conversation_id))


async def refund_transfer(
    ctx: Context, *, idempotency_key: str, transfer_id: str, amount: AmountInput | None = None, memo: str | None = None
) -> MoneyMoved:
    """Send back a transfer, or what was captured of a hold, that the viewer received: `amount`, or all that is left.

    Answers with the refund. Raises, in this order: ValidationError; IdempotencyKeyReusedError; NotFoundError for a
    transfer that the viewer does not take part in; ForbiddenError unless it was paid to the viewer by a person;
    TransferRefusedError with CURRENCY_MISMATCH; and, kept under the key, ConflictError where less is left, then as
    `transfer_funds`.
    """
    viewer_id = ctx.viewer.person()
    money, text = amount_of(amount) if amount else None, memo_text(memo)
    written = await memo_of(ctx, viewer_id, text)
    mark = fingerprint(written)
    request = command(viewer_id, idempotency_key, "refundTransfer", transfer_id=transfer_id, amount=money, memo=mark)

    async def prepare() -> Act[Outcome]:
        original = await _refundable(ctx, transfer_id, viewer_id, money)
        return ledger.RefundTransfer(request, original, money["minor_units"] if money else None, written)

    outcome = await decided(ctx, request, prepare)
    await _notify_payee(ctx, outcome.accepted(), "refund")
    return await moved(ctx, outcome, viewer_id, record_of(written))


async def transfer_to(
    ctx: Context,
    to: Target,
    money: Money,
    from_wallet_id: str | None,
    memo: Memo | None,
    conversation_id: str | None,
) -> Transfer:
    """The movement from the viewer to a person that was asked for; raises what speaks against it for ever.

    That is, in this order: NotFoundError (own wallet, who is to be paid, the conversation), ValidationError for paying
    oneself, TransferRefusedError with CURRENCY_MISMATCH.
    """
    viewer_id = ctx.viewer.person()
    source = await paying_wallet(ctx, from_wallet_id, money["currency"])
    payee_id, target, currency = await _payee(ctx, to, money["currency"])
    if conversation_id is not None:
        await conversations.conversation_of_viewer(ctx, conversation_id)
    if payee_id == viewer_id:
        raise ValidationError("You cannot pay yourself", "to")
    check_currency(currency, money["currency"])
    return Transfer(
        Party(source, owner_id=viewer_id),
        Party(target, owner_id=payee_id),
        money["minor_units"],
        money["currency"],
        sender_id=viewer_id,
        recipient_id=payee_id,
        merchants=await merchants_of(ctx, [viewer_id, payee_id]),
        memo=memo,
        conversation_id=conversation_id,
        default_tier=ctx.default_tier,
    )


async def moved(ctx: Context, outcome: Outcome, viewer_id: str, record: TransferRecord) -> MoneyMoved:
    """The answer of a mutation: the viewer's wallet as the entry left it, or as it is now at a replay.

    `record` is what is known beside the entry of a transfer that was just made; at a replay it is read anew.
    """
    entry = outcome.entry
    transfer_id = ledger.sibling_id(entry["_id"], "trf")
    wallet_id = next(leg["account_id"] for leg in entry["legs"] if leg["owner_id"] == viewer_id)
    transfer: Document | None
    wallet: WalletDocument | None
    if not outcome.replayed:
        transfer = shown_transfer(ctx, ledger.transfer_document(entry, record), set())
        await read_memos_of(ctx, [transfer])
        wallet = ledger.wallet_after(entry, wallet_id)
    else:
        (transfer,) = await transfers_by_id(ctx, [transfer_id])
        (wallet,) = await wallets_by_id(ctx, [wallet_id])
    if transfer is None:
        raise NotFoundError("There is no such transfer")
    return {
        "transfer": transfer,
        "wallet": wallet,
        "replayed": outcome.replayed,
        "cursor": balance_cursor(viewer_id, transfer["seq"]),
    }


async def _payee(ctx: Context, to: Target, currency: str) -> tuple[str, str, str]:
    """Who is paid, into which wallet, and that wallet's currency."""
    if to.wallet_id is not None:
        id = to.wallet_id if ledger.is_wallet_id(to.wallet_id) else ""
        (account,) = await ledger.accounts_by_ids(ctx.database, [id])
        if account is None or account["owner_id"] is None:
            raise NotFoundError("There is no such wallet")
        return account["owner_id"], account["_id"], account["currency"]
    user = await accounts.user(ctx, id=to.user_id, handle=to.handle)
    if user is None or not is_there(user):
        raise NotFoundError("There is no such person")
    return user["_id"], ledger.wallet_id(user["_id"], currency), currency


def check_target(to: Target) -> None:
    """Raise ValidationError unless exactly one is named."""
    given = [value for value in (to.wallet_id, to.user_id, to.handle) if value is not None]
    if len(given) != 1:
        raise ValidationError("Pass exactly one of walletId, userId and handle", "to")


async def _refundable(ctx: Context, transfer_id: str, viewer_id: str, money: Money | None) -> Entry:
    entry_id = ledger.sibling_id(transfer_id, "ent") if is_id("trf", transfer_id) else ""
    (entry,) = await ledger.entries_by_ids(ctx.database, [entry_id])
    if entry is None or not ledger.is_transfer(entry) or not ledger.takes_part(entry, viewer_id):
        raise NotFoundError("There is no such transfer of yours")
    legs = entry["legs"]
    by_person = entry["kind"] in (EntryKind.TRANSFER, EntryKind.HOLD)
    is_paid = by_person and len(legs) > 1 and legs[1]["owner_id"] == viewer_id
    if not is_paid or legs[0]["owner_id"] is None:
        raise ForbiddenError("Only the person who was paid can refund a transfer")
    if money is not None:
        check_currency(entry["currency"] or "", money["currency"])
    return entry


async def _notify_payee(ctx: Context, entry: Entry, kind: Literal["transfer", "refund"]) -> None:
    if entry["recipient_id"] is not None:
        subject_id = ledger.sibling_id(entry["_id"], "trf")
        await notify(ctx, user_id=entry["recipient_id"], kind=kind, actor_id=entry["sender_id"], subject_id=subject_id)
