"""Erasing a person: what stands in the way, what is destroyed in which order, and what a crash leaves to be finished.

Nothing of the ledger changes: its entries name people by their ids alone. What of a person lies beside it is under
their key, and gone with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, cast

import structlog

from datastores import accounts, ledger, merchants, posts
from datastores import wallets as store
from datastores.accounts import ErasureState
from datastores.errors import ConflictError, ExpectedError, NotFoundError
from datastores.ledger import Account, WalletStatus
from datastores.person_keys import destroy_key
from datastores.wallets import PaymentRequestState

from .context import Context

_log = structlog.get_logger(__name__)

MAX_AT_ONCE: Final = 100
MAX_NAMED: Final = 10
# Longer than any process remembers a key or a request goes on: what was written meanwhile is swept up after it.
SETTLED: Final = timedelta(seconds=90)
# A command that is at it for longer has died.
ABANDONED: Final = timedelta(seconds=60)
IDENTITY: Final = "identity"


async def erase_person(ctx: Context, user_id: str) -> None:
    """Erase a person. Doing so twice is once, and after a crash it goes on where it was.

    Raises NotFoundError, and ConflictError that names all that stands in the way: money in their wallets or on its way,
    frozen wallets, orders that are not over, another erasure of them that began since.
    """
    (user,) = await accounts.by_ids(ctx.database, [user_id])
    if user is None:
        raise NotFoundError("There is no such person")
    if user.get("erased_at") is None and _state(user) is not ErasureState.ERASING:
        attempt = await accounts.begin_erasure(ctx.database, user_id, ctx.now())
        await _close(ctx, user_id, attempt)
        if not await accounts.commit_erasure(ctx.database, user_id, ctx.now(), attempt):
            await _give_way(ctx, user_id)
    while await _erase_some(ctx, user_id):
        continue


async def obstacles(ctx: Context, user_id: str) -> list[str]:
    """What must end before this person can be erased, in words; at most ten orders are named."""
    found = [text for wallet in await ledger.wallets_of(ctx.database, [user_id]) for text in _money_in(wallet)]
    return [*found, *await _open_orders(ctx, user_id)]


async def finish_erasures(ctx: Context) -> int:
    """Go on with erasures that have begun; returns how many have more to do at once. For a sweeper."""
    unfinished = 0
    for user in await accounts.users_being_erased(ctx.database, MAX_AT_ONCE):
        id, since = user["_id"], cast(datetime, user["erasure"]["since"])
        if _state(user) is ErasureState.CLOSING:
            if since + ABANDONED <= ctx.now():
                await _try_again(ctx, id)
        elif await _erase_some(ctx, id):
            unfinished += 1
        elif since + SETTLED <= ctx.now() and await _are_closed(ctx, id):
            await accounts.end_erasure(ctx.database, id)
    return unfinished


async def _try_again(ctx: Context, user_id: str) -> None:
    try:
        await erase_person(ctx, user_id)
    except ConflictError as error:
        # Money or an order came since, and it was taken back: whoever asked was told nothing, and has to ask again.
        _log.warning("erasure_taken_back", user_id=user_id, reason=error.message)


async def _give_way(ctx: Context, user_id: str) -> None:
    """Raise ConflictError unless a later attempt, which has this one's place, has passed the point of no return."""
    (user,) = await accounts.by_ids(ctx.database, [user_id])
    if user is None or (user.get("erased_at") is None and _state(user) is not ErasureState.ERASING):
        raise ConflictError("Another erasure of this person has begun since: ask again when it has ended")


async def _close(ctx: Context, user_id: str, attempt: str) -> None:
    """Let no money and no order come any more; afterwards, what is not there cannot come."""
    try:
        _refuse_for(await obstacles(ctx, user_id))
        await merchants.hide_listings(ctx.database, user_id, merchants.ListingState.PAUSED)
        for wallet in await ledger.wallets_of(ctx.database, [user_id]):
            await ctx.commits[ledger.COMMIT_LOOP].submit(ledger.CloseWallet(user_id, wallet["_id"]))
        _refuse_for(await _open_orders(ctx, user_id))
    except ExpectedError:
        await accounts.revert_erasure(ctx.database, user_id, attempt)
        raise


async def _erase_some(ctx: Context, user_id: str) -> bool:
    """Destroy what is there, of what may be much at most 100 each; whether there is more."""
    now, database = ctx.now(), ctx.database
    for issuer, subject in await accounts.identities_of(database, user_id, MAX_AT_ONCE):
        await accounts.end_identity(database, issuer, subject, ctx.keys.master.digest(IDENTITY, issuer, subject), now)
    await destroy_key(database, user_id, now)
    ctx.keys.forget(user_id)
    await merchants.hide_listings(database, user_id, merchants.ListingState.ARCHIVED)
    await merchants.blank_merchant(database, user_id)
    await _are_closed(ctx, user_id)
    counts = [await _close_requests(ctx, user_id), await _delete_posts(ctx, user_id), await _unfollow(ctx, user_id)]
    await accounts.blank_profile(database, user_id, now)
    return max(counts) >= MAX_AT_ONCE


async def _are_closed(ctx: Context, user_id: str) -> bool:
    """Whether all their wallets are closed, once those are that a payment has opened since: it goes back."""
    are_closed = True
    for wallet in await ledger.wallets_of(ctx.database, [user_id]):
        if wallet["status"] != WalletStatus.CLOSED:
            try:
                await _send_back(ctx, wallet["_id"])
                await ctx.commits[ledger.COMMIT_LOOP].submit(ledger.CloseWallet(user_id, wallet["_id"]))
            except ExpectedError as error:
                _log.warning("wallet_of_erased_person_is_open", wallet_id=wallet["_id"], reason=error.message)
                are_closed = False
    return are_closed


async def _send_back(ctx: Context, wallet_id: str) -> None:
    newest, _ = await ledger.newest_entry(ctx.database)
    moved = await ledger.movements_of(ctx.database, [wallet_id], ledger.Stretch(0, newest), MAX_AT_ONCE)
    for entry in await ledger.entries_by_ids(ctx.database, [each["_id"] for each in moved]):
        if entry is None or entry["legs"][1]["account_id"] != wallet_id:
            continue
        try:
            await ctx.commits[ledger.COMMIT_LOOP].submit(ledger.reversal(entry, "its payee was erased"))
        except ConflictError:
            # Nothing is left of it.
            continue


async def _close_requests(ctx: Context, user_id: str) -> int:
    closed = 0
    for request in await store.open_requests(ctx.database, user_id, MAX_AT_ONCE):
        state = store.state_at(request, ctx.now())
        if state is PaymentRequestState.OPEN:
            mine = request["requester_id"] == user_id
            state = PaymentRequestState.CANCELLED if mine else PaymentRequestState.DECLINED
        act = store.ClosePaymentRequest(request["_id"], state, store.close_command(request["_id"], state))
        try:
            await ctx.commits[ledger.COMMIT_LOOP].submit(act)
            closed += 1
        except ConflictError:
            # Its other person, or its time, has ended it in this moment.
            continue
    return closed


async def _delete_posts(ctx: Context, user_id: str) -> int:
    found = await posts.ids_of_author(ctx.database, user_id, MAX_AT_ONCE)
    for id in found:
        try:
            await posts.delete(ctx.commits["posts"], id, ctx.now())
        except NotFoundError:
            continue
    return len(found)


async def _unfollow(ctx: Context, user_id: str) -> int:
    found = await accounts.follows_of(ctx.database, user_id, MAX_AT_ONCE)
    for follower_id, followee_id in found:
        await accounts.unfollow(ctx.commits["accounts"], follower_id, followee_id)
    return len(found)


async def _open_orders(ctx: Context, user_id: str) -> list[str]:
    return [f"order {id} is not over" for id in await merchants.open_order_ids(ctx.database, user_id, MAX_NAMED)]


def _money_in(wallet: Account) -> list[str]:
    name, currency = f"wallet {wallet['_id']}", wallet["currency"]
    held = {
        "holds": wallet["posted"],
        "has reserved": wallet["pending_out"],
        "awaits": wallet["pending_in"],
    }
    found = [
        f"{name} {verb} {ledger.decimal_amount(amount, currency)} {currency}" for verb, amount in held.items() if amount
    ]
    return [*found, f"{name} is frozen"] if wallet["status"] == WalletStatus.FROZEN else found


def _refuse_for(found: list[str]) -> None:
    if found:
        raise ConflictError(f"This person cannot be erased yet: {'; '.join(found)}")


def _state(user: Mapping[str, Any]) -> ErasureState | None:
    erasure = user.get("erasure")
    return ErasureState(erasure["state"]) if erasure else None
