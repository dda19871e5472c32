"""Limits: how much has left an account on which day, whether more may, and when it may where it may not.

A day is a UTC calendar day of ledger time, "30 days" are a day and the 29 before it. An account keeps one sum a day for
the last 30 days on which something left it, so a batch decides without another read. What leaves counts when it is
posted or reserved: transfers, holds, withdrawals and exchanges, fees included. Refunds, reversals and what gives a
reserve back do not; a reserve that is given back is taken off the day on which it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from datastores.errors import LimitExceededError

from .accounts import Effect
from .currencies import MAX_MINOR_UNITS, money
from .tiers import Limits, Tier, limits_of

DAYS: Final = 30
TRANSACTION: Final = "transaction"
DAY: Final = "day"
THIRTY_DAYS: Final = "30 days"
BALANCE: Final = "balance"
# The kinds of entries whose outgoing legs count, and whose payees' balances are bounded; a refund is neither.
COUNTED: Final = frozenset({"TRANSFER", "HOLD", "WITHDRAWAL", "EXCHANGE"})
BOUNDED: Final = COUNTED | {"TOP_UP"}
_NOTHING: Final[Mapping[str, int]] = {}

# By day as `YYYY-MM-DD`, in minor units.
Spent = Mapping[str, int]


def day_of(at: datetime) -> str:
    """The UTC day of a ledger time, as the sums of an account name it."""
    return at.date().isoformat()


def spent_more(spent: Spent | None, amount: int, at: datetime) -> Spent:
    """The sums after `amount` has left at this time, without the days that no window reaches any more."""
    day, kept = day_of(at), spent or _NOTHING
    if day not in kept:
        first = day_of(at - timedelta(days=DAYS - 1))
        kept = {each: sum for each, sum in kept.items() if each >= first}
    return {**kept, day: kept.get(day, 0) + amount}


def given_back(spent: Spent | None, amount: int, made_at: datetime) -> Spent:
    """The sums after `amount` of what was reserved at `made_at` was given back."""
    day, kept = day_of(made_at), dict(spent or _NOTHING)
    if day in kept and (left := kept.pop(day) - amount) > 0:
        kept[day] = left
    return kept


def spent_after(
    account: Mapping[str, Any], delta: int, kind: str, effect: Effect, at: datetime, reserve: Mapping[str, Any] | None
) -> Spent | None:
    """The sums of an account after a leg of an entry of this kind, or None where it does not count.

    `reserve` is the entry that the leg's entry settles or gives back.
    """
    if account["owner_id"] is None:
        return None
    if delta < 0 and kind in COUNTED and effect in (Effect.POST, Effect.RESERVE):
        return spent_more(account.get("spent"), -delta, at)
    if delta > 0 and effect is Effect.RELEASE and reserve is not None and reserve["kind"] in COUNTED:
        return given_back(account.get("spent"), delta, reserve["created_at"])
    return None


def limits_at(account: Mapping[str, Any], default_tier: Tier) -> Limits:
    """The limits of an account: those of its own tier, else of the default one; none for accounts of the system."""
    if account["owner_id"] is None:
        return _NO_LIMITS
    return limits_of(account.get("tier") or default_tier, account["currency"])


def spent_on(account: Mapping[str, Any], at: datetime) -> int:
    """How much has left the account on the day of this time; minor units."""
    return _sum(account.get("spent"), at.date(), 1)


def spent_in_30_days(account: Mapping[str, Any], at: datetime) -> int:
    """How much has left the account on the day of this time and the 29 before it; minor units."""
    return _sum(account.get("spent"), at.date(), DAYS)


def outgoing_refusal(
    account: Mapping[str, Any], amount: int, at: datetime, default_tier: Tier
) -> LimitExceededError | None:
    """Why `amount` may not leave this account at this ledger time, or None: by transaction, then day, then 30 days."""
    limits = limits_at(account, default_tier)
    if limits.per_day is None and limits.per_30_days is None and limits.per_transaction is None:
        return None
    currency = account["currency"]
    if limits.per_transaction is not None and amount > limits.per_transaction:
        return _exceeded("That is more than one transfer from this wallet may be", limits.per_transaction, currency)
    if limits.per_day is not None and spent_on(account, at) + amount > limits.per_day:
        text = "That is more than may leave this wallet in a day"
        return _exceeded(text, limits.per_day, currency, DAY, _frees_at(account, amount, at, limits))
    if limits.per_30_days is not None and spent_in_30_days(account, at) + amount > limits.per_30_days:
        text = "That is more than may leave this wallet in 30 days"
        return _exceeded(text, limits.per_30_days, currency, THIRTY_DAYS, _frees_at(account, amount, at, limits))
    return None


def incoming_refusal(account: Mapping[str, Any], amount: int, default_tier: Tier) -> LimitExceededError | None:
    """Why this account may not be paid `amount`, or None. Says the limit, which the tier has, and not the balance."""
    most = limits_at(account, default_tier).max_balance
    if most is None or account["posted"] + account["pending_in"] + amount <= most:
        return None
    return _exceeded("The wallet to be paid cannot hold that much", most, account["currency"], BALANCE)


def overflow_refusal(account: Mapping[str, Any], amount: int, at: datetime) -> LimitExceededError | None:
    """Why no account can count `amount` more on this day, or None: the sum of a day must fit 64 bits."""
    if spent_on(account, at) + amount <= MAX_MINOR_UNITS:
        return None
    text = "That is more than can be counted in a day"
    return _exceeded(text, MAX_MINOR_UNITS, account["currency"], DAY, _frees_at(account, amount, at, Limits()))


def _frees_at(account: Mapping[str, Any], amount: int, at: datetime, limits: Limits) -> datetime | None:
    """The first midnight at which the amount fits the day and the 30 days, if nothing leaves until then."""
    spent, today = account.get("spent"), at.date()
    per_day = MAX_MINOR_UNITS if limits.per_day is None else limits.per_day
    if amount > per_day:
        return None
    for ahead in range(1, DAYS + 1):
        day = today + timedelta(days=ahead)
        if limits.per_30_days is None or _sum(spent, day, DAYS) + amount <= limits.per_30_days:
            return datetime.combine(day, time())
    return None


def _sum(spent: Spent | None, last: date, days: int) -> int:
    if not spent:
        return 0
    if days == 1:
        return spent.get(last.isoformat(), 0)
    first, until = (last - timedelta(days=days - 1)).isoformat(), last.isoformat()
    return sum(amount for day, amount in spent.items() if first <= day <= until)


def _exceeded(
    text: str, limit: int, currency: str, window: str = TRANSACTION, frees_at: datetime | None = None
) -> LimitExceededError:
    return LimitExceededError(text, limit=money(limit, currency), window=window, frees_at=frees_at)


_NO_LIMITS: Final = Limits()
