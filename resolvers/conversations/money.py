"""Which money a person may show in a conversation: only what they sent, received, asked for, or were asked for."""

from __future__ import annotations

from datastores.errors import NotFoundError
from resolvers.context import Context


async def check_attachable(ctx: Context, *, transfer_id: str | None, payment_request_id: str | None) -> None:
    """Raise NotFoundError unless the viewer is one of the two people of the transfer or of the payment request."""
    # Imported late, since wallets tell conversations of the money that moves in them.
    from resolvers import wallets

    if transfer_id is not None and not await wallets.may_attach_transfer(ctx, transfer_id):
        raise NotFoundError("There is no such transfer of yours")
    if payment_request_id is not None and not await wallets.may_attach_payment_request(ctx, payment_request_id):
        raise NotFoundError("There is no such payment request of yours")
