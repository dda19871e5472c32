"""What the tier of a wallet allows, and how much of it is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from datastores import ledger
from datastores.ledger import Account, Money
from resolvers.connections import HasId
from resolvers.context import Context


class WalletLimitsDocument(TypedDict):
    """The limits of a wallet and what is left of them; None for no limit."""

    tier: str
    per_transaction: Money | None
    per_day: Money | None
    per_30_days: Money | None
    max_balance: Money | None
    left_today: Money | None
    left_in_30_days: Money | None


async def limits(ctx: Context, wallets: Sequence[HasId]) -> list[WalletLimitsDocument | None]:
    """The limits of each wallet at this moment, None unless it is the viewer's; one read for all."""
    accounts = await ledger.accounts_by_ids(ctx.database, [each["_id"] for each in wallets])
    return [
        _document(ctx, account) if account is not None and account["owner_id"] == ctx.viewer.user_id else None
        for account in accounts
    ]


def _document(ctx: Context, account: Account) -> WalletLimitsDocument:
    limits, now, currency = ledger.limits_at(account, ctx.default_tier), ctx.now(), account["currency"]
    return {
        "tier": account.get("tier") or ctx.default_tier.value,
        "per_transaction": _money(limits.per_transaction, currency),
        "per_day": _money(limits.per_day, currency),
        "per_30_days": _money(limits.per_30_days, currency),
        "max_balance": _money(limits.max_balance, currency),
        "left_today": _left(limits.per_day, ledger.spent_on(account, now), currency),
        "left_in_30_days": _left(limits.per_30_days, ledger.spent_in_30_days(account, now), currency),
    }


def _money(minor_units: int | None, currency: str) -> Money | None:
    return None if minor_units is None else ledger.money(minor_units, currency)


def _left(most: int | None, spent: int, currency: str) -> Money | None:
    # More than the limit may have left already, where the tier was another then.
    return None if most is None else ledger.money(max(most - spent, 0), currency)
