"""Which money a person may show in a conversation: only what they sent, received, asked for, or were asked for."""

from __future__ import annotations

from datastores import ledger, wallets
from datastores.errors import NotFoundError
from datastores.ids import is_id
from resolvers.context import Context


async def check_attachable(ctx: Context, *, transfer_id: str | None, payment_request_id: str | None) -> None:
    """Raise NotFoundError unless the viewer is one of the two people of the transfer or of the payment request."""
    viewer_id = ctx.viewer.person()
    if transfer_id is not None:
        (transfer,) = await ledger.transfers_by_ids(ctx.database, [transfer_id])
        if transfer is None or viewer_id not in (transfer["sender_id"], transfer["recipient_id"]):
            raise NotFoundError("There is no such transfer of yours")
    if payment_request_id is not None:
        wanted = [payment_request_id] if is_id("preq", payment_request_id) else []
        requests = await wallets.requests_by_ids(ctx.database, wanted)
        if not any(request is not None and viewer_id in request["people"] for request in requests):
            raise NotFoundError("There is no such payment request of yours")
