"""Opening and closing one's wallets."""

from __future__ import annotations

from datastores import ledger
from datastores.errors import NotFoundError, ValidationError
from datastores.ledger import WalletDocument
from resolvers.context import Context


async def open_wallet(ctx: Context, *, currency: str) -> WalletDocument:
    """The viewer's wallet in this currency, opened where it was not, again where they had closed it.

    One that is frozen stays so. Raises ValidationError for an unknown currency.
    """
    owner_id = ctx.viewer.person()
    if currency not in ledger.EXPONENTS:
        raise ValidationError("The currency is not an active ISO 4217 code, such as EUR", "currency")
    act = ledger.OpenWallet(owner_id, currency)
    return ledger.wallet_document(await ctx.commits[ledger.COMMIT_LOOP].submit(act))


async def close_wallet(ctx: Context, *, wallet_id: str) -> WalletDocument:
    """The viewer's wallet, closed: it neither pays nor is paid until they open it again. Closing it twice is once.

    Raises NotFoundError where it is not theirs, and ConflictError where it is frozen, holds money, or some is on its
    way from or to it.
    """
    owner_id = ctx.viewer.person()
    if not ledger.is_wallet_id(wallet_id):
        raise NotFoundError("There is no such wallet of yours")
    act = ledger.CloseWallet(owner_id, wallet_id)
    return ledger.wallet_document(await ctx.commits[ledger.COMMIT_LOOP].submit(act))
