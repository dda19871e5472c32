"""Opening a wallet."""

from __future__ import annotations

from datastores import ledger
from datastores.errors import ValidationError
from datastores.ledger import WalletDocument
from resolvers.context import Context


async def open_wallet(ctx: Context, *, currency: str) -> WalletDocument:
    """The viewer's wallet in this currency, opened where it was not; raises ValidationError for an unknown currency."""
    owner_id = ctx.viewer.person()
    if currency not in ledger.EXPONENTS:
        raise ValidationError("The currency is not an active ISO 4217 code, such as EUR", "currency")
    act = ledger.OpenWallet(owner_id, currency)
    return ledger.wallet_document(await ctx.commits[ledger.COMMIT_LOOP].submit(act))
