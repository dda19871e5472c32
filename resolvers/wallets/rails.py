"""Topping up and withdrawing: reserve, ask the rail under our id, then settle or give back."""

from __future__ import annotations

from typing import Final, cast

from datastores import ledger
from datastores import wallets as store
from datastores.commit import Act
from datastores.errors import NotFoundError, TransferRefusedError
from datastores.ledger import AccountKind, Entry, EntryKind, FollowUp, Money, Outcome, Party, Transfer, TransferState
from datastores.mongo import Document
from datastores.wallets import Instruction, RailDirection, RailSilentError, RailState
from resolvers.context import Context

from .acting import (
    AmountInput,
    MoneyMoved,
    amount_of,
    balance_cursor,
    command,
    decided,
    merchants_of,
    own_wallet,
    submit,
)
from .reading import transfers_by_id, wallets_by_id

FOLLOW_UP: Final = "rail"


async def top_up_wallet(
    ctx: Context, *, idempotency_key: str, wallet_id: str, amount: AmountInput, source: str
) -> MoneyMoved:
    """Bring money in through a rail; PENDING until the rail has settled it.

    Raises ValidationError (also for an unknown source), IdempotencyKeyReusedError, NotFoundError for a wallet that is
    not the viewer's, TransferRefusedError with CURRENCY_MISMATCH, with ACCOUNT_FROZEN (kept), or where the rail refuses
    (kept), LimitExceededError (kept), OutcomeUnknownError.
    """
    return await _through_rail(ctx, RailDirection.IN, idempotency_key, wallet_id, amount, source)


async def withdraw_from_wallet(
    ctx: Context, *, idempotency_key: str, wallet_id: str, amount: AmountInput, destination: str
) -> MoneyMoved:
    """Send money out through a rail; reserved until the rail has settled it. Raises as `top_up_wallet`, and
    InsufficientFundsError (kept).
    """
    return await _through_rail(ctx, RailDirection.OUT, idempotency_key, wallet_id, amount, destination)


async def drive(ctx: Context, follow_up: Document) -> bool:
    """Bring the rail's word on a reserve into the ledger; whether it has given its word."""
    content = follow_up["content"]
    (pending,) = await ledger.entries_by_ids(ctx.database, [follow_up["entry_id"]])
    if pending is None:
        raise NotFoundError("Nothing is reserved under this id")
    instruction = Instruction(
        pending["_id"], RailDirection(content["direction"]), content["account"], cast(Money, content["amount"])
    )
    rail = store.rail(content["rail"], ctx.database, ctx.now())
    try:
        state = await rail.ask(pending["_id"]) or await rail.submit(instruction)
    except RailSilentError:
        return False
    if state is RailState.PENDING:
        return False
    await _resolve(ctx, pending, state)
    await ledger.finish_follow_up(ctx.database, follow_up["_id"])
    return True


async def _through_rail(
    ctx: Context, direction: RailDirection, key: str, wallet_id: str, amount: AmountInput, account: str
) -> MoneyMoved:
    viewer_id = ctx.viewer.person()
    money = amount_of(amount)
    inward = direction is RailDirection.IN
    rail, place = store.rail_account(account, "source" if inward else "destination", rails=ctx.rails)
    name = "topUpWallet" if inward else "withdrawFromWallet"
    request = command(viewer_id, key, name, wallet_id=wallet_id, amount=money, account=account)

    async def prepare() -> Act[Outcome]:
        wallet = Party(await own_wallet(ctx, wallet_id, money["currency"]), owner_id=viewer_id)
        outside = Party(ledger.rail_account_id(rail, money["currency"]), AccountKind.RAIL)
        transfer = Transfer(
            outside if inward else wallet,
            wallet if inward else outside,
            money["minor_units"],
            money["currency"],
            sender_id=None if inward else viewer_id,
            recipient_id=viewer_id if inward else None,
            kind=EntryKind.TOP_UP if inward else EntryKind.WITHDRAWAL,
            merchants=await merchants_of(ctx, [viewer_id]),
        )
        content = {"rail": rail, "direction": direction.value, "account": place, "amount": dict(money)}
        return ledger.ReserveTransfer(request, transfer, FollowUp(FOLLOW_UP, request.id("trf"), content))

    outcome = await decided(ctx, request, prepare)
    entry = outcome.accepted()
    if not outcome.replayed:
        await _ask_at_once(ctx, entry)
    return await _answer(ctx, entry, viewer_id, wallet_id, replayed=outcome.replayed)


async def _ask_at_once(ctx: Context, entry: Entry) -> None:
    follow_up = await ledger.follow_up(ctx.database, ledger.follow_up_id(FOLLOW_UP, entry["_id"]))
    if follow_up is not None:
        await drive(ctx, follow_up)


async def _answer(ctx: Context, entry: Entry, viewer_id: str, wallet_id: str, *, replayed: bool) -> MoneyMoved:
    (transfer,) = await transfers_by_id(ctx, [ledger.sibling_id(entry["_id"], "trf")])
    (wallet,) = await wallets_by_id(ctx, [wallet_id])
    if transfer is None:
        raise NotFoundError("There is no such transfer")
    if transfer["state"] == TransferState.VOIDED:
        raise TransferRefusedError(transfer["message"], code=transfer["code"])
    cursor = balance_cursor(viewer_id, transfer["seq"])
    return {"transfer": transfer, "wallet": wallet, "replayed": replayed, "cursor": cursor}


async def _resolve(ctx: Context, pending: Entry, state: RailState) -> None:
    error = TransferRefusedError("The bank refused: nothing was moved") if state is RailState.REFUSED else None
    request = ledger.system_command("settle" if error is None else "release", pending["_id"])
    await submit(ctx, ledger.ResolveReserve(request, pending, error), request.key)
