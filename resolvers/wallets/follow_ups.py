"""What must follow from an entry of the ledger: done at once, and by the sweeper where a crash came between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from datastores import ledger
from datastores import wallets as store
from datastores.errors import ConflictError, ExpectedError, NotFoundError
from datastores.ledger import FollowUp
from datastores.mongo import Document
from datastores.wallets import PaymentRequestState
from resolvers import conversations
from resolvers.context import Context

from .acting import outcome_unknown, submit

MESSAGE: Final = "message"
RETRY_S: Final = 5.0


def message_follow_up(
    sender_id: str, conversation_id: str, *, transfer_id: str | None = None, payment_request_id: str | None = None
) -> FollowUp:
    """The one message that tells a conversation of a transfer or a request made in it."""
    content = {
        "sender_id": sender_id,
        "conversation_id": conversation_id,
        "transfer_id": transfer_id,
        "payment_request_id": payment_request_id,
    }
    return FollowUp(MESSAGE, transfer_id or payment_request_id or "", content)


async def tell_conversation(ctx: Context, entry_id: str, key: str) -> None:
    """Post the message that this entry is still to be followed by, if it is.

    Raises OutcomeUnknownError where that is not possible now: the money has moved, the sweeper or a retry tells of it.
    """
    follow_up = await ledger.follow_up(ctx.database, ledger.follow_up_id(MESSAGE, entry_id))
    if follow_up is None:
        return
    try:
        await _post_message(ctx, follow_up)
    except ExpectedError as error:
        raise outcome_unknown(error, key) from error


async def finish_follow_ups(ctx: Context) -> int:
    """Do what is overdue, at most 100 things; returns how many are done. For a sweeper: any number may run at once."""
    done = 0
    for follow_up in await ledger.due_follow_ups(ctx.database, ctx.now(), list(_FINISH)):
        try:
            finished = await _FINISH[follow_up["kind"]](ctx, follow_up)
        except ExpectedError:
            finished = False
        if finished:
            done += 1
        else:
            await ledger.postpone_follow_up(ctx.database, follow_up["_id"], ctx.now() + timedelta(seconds=RETRY_S))
    return done


async def expire_payment_requests(ctx: Context) -> int:
    """Note of open requests that their time is over, at most 100; returns how many."""
    expired = 0
    for id in await store.overdue_requests(ctx.database, ctx.now()):
        state = PaymentRequestState.EXPIRED
        try:
            await submit(ctx, store.ClosePaymentRequest(id, state, store.close_command(id, state)), id)
            expired += 1
        except ConflictError:
            continue
    return expired


async def _post_message(ctx: Context, follow_up: Document) -> bool:
    content = follow_up["content"]
    try:
        await conversations.post_money_message(
            ctx.database,
            ctx.commits,
            conversation_id=content["conversation_id"],
            sender_id=content["sender_id"],
            text="",
            transfer_id=content["transfer_id"],
            payment_request_id=content["payment_request_id"],
        )
    except NotFoundError:
        # Who has left the conversation since has nobody to tell any more.
        await ledger.finish_follow_up(ctx.database, follow_up["_id"])
        return True
    await ledger.finish_follow_up(ctx.database, follow_up["_id"])
    return True


_FINISH: Final[Mapping[str, Callable[[Context, Document], Awaitable[bool]]]] = {MESSAGE: _post_message}
