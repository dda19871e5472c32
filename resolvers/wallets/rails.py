"""Topping up and withdrawing: reserve, ask the rail under our id, then settle or give back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from datastores import ledger
from datastores import wallets as store
from datastores.commit import Act
from datastores.errors import ExpectedError, NotFoundError, TransferRefusedError
from datastores.ledger import AccountKind, Entry, EntryKind, Outcome, Party, Transfer, TransferState
from datastores.person_keys import sealed_text
from datastores.wallets import InstructionDocument, Rail, RailAnswer, RailDirection, RailSilentError, RailState
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

ANSWER_TIMEOUT_S: Final = 3.0
_log: Final = logging.getLogger(__name__)


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
    """Send money out through a rail; reserved until the rail has settled it, with what that costs on top.

    Raises as `top_up_wallet`, and InsufficientFundsError (kept).
    """
    return await _through_rail(ctx, RailDirection.OUT, idempotency_key, wallet_id, amount, destination)


async def ask_rails(ctx: Context) -> int:
    """Ask the rails what became of at most 100 instructions; returns on how many they have given their word.

    What stays unanswered is asked again after 5 s, then after twice as long each time, an hour at most, for as long
    as it takes: nothing is given back before the rail has refused. For a sweeper: any number may run at once.
    """
    due = await store.due_instructions(ctx.database, ctx.now())
    return sum(await asyncio.gather(*(_ask_again(ctx, instruction) for instruction in due)))


async def _ask_again(ctx: Context, instruction: InstructionDocument) -> bool:
    rail = store.connected_rails(ctx.rails, ctx.database, ctx.now).get(instruction["rail"])
    if not await store.take_turn(ctx.database, instruction, ctx.now()):
        return False
    if rail is None:
        _log.warning("%s waits for the rail %s, which is not connected", instruction["_id"], instruction["rail"])
        return False
    answer = await _heard(rail, instruction, lambda: _asked_or_submitted(ctx, rail, instruction))
    return answer is not None and await _keep(ctx, instruction["_id"], answer)


async def _asked_or_submitted(ctx: Context, rail: Rail, instruction: InstructionDocument) -> RailAnswer:
    return await rail.ask(instruction["_id"]) or await _submitted(ctx, rail, instruction)


async def _submitted(ctx: Context, rail: Rail, instruction: InstructionDocument) -> RailAnswer:
    (account,) = await ctx.keys.open(ctx.database, [instruction["account"]])
    if account is None:
        raise LookupError("the key of the account's owner is gone")
    return await rail.submit(store.instruction_of(instruction, account.decode()))


async def _heard(
    rail: Rail, instruction: InstructionDocument, ask: Callable[[], Awaitable[RailAnswer]]
) -> RailAnswer | None:
    """The rail's word, or None where it has not given it within 3 s."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await ask()
    except (RailSilentError, TimeoutError):
        return None
    except Exception:
        # Whatever befalls an adapter, the rail may have done it: that is to be asked, and not to be given back.
        _log.exception("the adapter of the rail %s failed at %s", instruction["rail"], instruction["_id"])
        return None
    return None if answer.state is RailState.PENDING else answer


async def _keep(ctx: Context, id: str, answer: RailAnswer) -> bool:
    (pending,) = await ledger.entries_by_ids(ctx.database, [id])
    if pending is None:
        _log.error("nothing is reserved for the instruction %s", id)
        return False
    is_refused = answer.state is RailState.REFUSED
    error = TransferRefusedError("The bank refused: nothing was moved") if is_refused else None
    request = ledger.system_command("release" if is_refused else "settle", id)
    try:
        await submit(ctx, store.ResolveInstruction(request, pending, answer, error), request.key)
    except ExpectedError as failure:
        # The rail has said something else before, which the day's reconciliation shows, or the database is away.
        _log.warning("the word of the rail on %s could not be kept: %s", id, failure.code)
        return False
    return True


async def _through_rail(
    ctx: Context, direction: RailDirection, key: str, wallet_id: str, amount: AmountInput, account: str
) -> MoneyMoved:
    viewer_id = ctx.viewer.person()
    money = amount_of(amount)
    inward = direction is RailDirection.IN
    rails = store.connected_rails(ctx.rails, ctx.database, ctx.now)
    name, place = store.rail_account(account, "source" if inward else "destination", rails=rails)
    mutation = "topUpWallet" if inward else "withdrawFromWallet"
    personal = await ctx.keys.key(ctx.database, viewer_id, ctx.now())
    # The hash of a request outlives the account's owner: without their key nobody can try which account fits it.
    fingerprint = personal.digest(mutation, account)
    sealed = sealed_text(place.encode(), viewer_id, personal)
    request = command(viewer_id, key, mutation, wallet_id=wallet_id, amount=money, account=fingerprint)

    async def prepare() -> Act[Outcome]:
        wallet = Party(await own_wallet(ctx, wallet_id, money["currency"]), owner_id=viewer_id)
        outside = Party(ledger.rail_account_id(name, money["currency"]), AccountKind.RAIL)
        fee = 0 if inward else ctx.fees.withdrawal.of(money["minor_units"], money["currency"])
        transfer = Transfer(
            outside if inward else wallet,
            wallet if inward else outside,
            money["minor_units"],
            money["currency"],
            sender_id=None if inward else viewer_id,
            recipient_id=viewer_id if inward else None,
            kind=EntryKind.TOP_UP if inward else EntryKind.WITHDRAWAL,
            merchants=await merchants_of(ctx, [viewer_id]),
            fee=Party(ledger.fees_account_id(money["currency"]), AccountKind.FEES) if fee else None,
            fee_amount=fee,
            default_tier=ctx.default_tier,
        )
        return store.ReserveThroughRail(request, transfer, name, direction, sealed)

    outcome = await decided(ctx, request, prepare)
    entry = outcome.accepted()
    if not outcome.replayed:
        await _submit(ctx, rails[name], entry["_id"])
    return await _answer(ctx, entry, viewer_id, wallet_id, replayed=outcome.replayed)


async def _submit(ctx: Context, rail: Rail, id: str) -> None:
    (instruction,) = await store.instructions_by_ids(ctx.database, [id])
    if instruction is None or instruction["state"] != RailState.PENDING:
        return
    answer = await _heard(rail, instruction, lambda: _submitted(ctx, rail, instruction))
    if answer is not None:
        await _keep(ctx, id, answer)


async def _answer(ctx: Context, entry: Entry, viewer_id: str, wallet_id: str, *, replayed: bool) -> MoneyMoved:
    (transfer,) = await transfers_by_id(ctx, [ledger.sibling_id(entry["_id"], "trf")])
    (wallet,) = await wallets_by_id(ctx, [wallet_id])
    if transfer is None:
        raise NotFoundError("There is no such transfer")
    if transfer["state"] == TransferState.VOIDED:
        raise TransferRefusedError(transfer["message"], code=transfer["code"])
    cursor = balance_cursor(viewer_id, transfer["seq"])
    return {"transfer": transfer, "wallet": wallet, "replayed": replayed, "cursor": cursor}
