"""Tiers: how well a person is known, and the pinned table of limits that follow from it in every currency.

One reference size, in euros, and for each currency the power of ten nearest to the price of a euro in it: a limit of
1,000 EUR is one of 100,000 JPY. A power of ten is right to a factor of about three and stays right for years, while a
limit that moves with the market every day is one that nobody can tell a person.

The sizes follow what European law names: 50 and 150 for people nobody has identified (Directive (EU) 2015/849,
article 12, as amended by Directive (EU) 2018/843), 1,000 for a transfer whose parties need not be verified (Regulation
(EU) 2023/1113, articles 5 and 6), 15,000 for an occasional transaction (Directive (EU) 2015/849, article 11), 100,000
for what a guarantee scheme covers (Directive 2014/49/EU, article 6); the others lie between them.
The powers are those of the European Central Bank's reference rates of 2026-10-30 for the 29 currencies that it quotes,
and for all others of market rates of about 2025, set by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .currencies import EXPONENTS


class Tier(StrEnum):
    """How well a wallet's owner is known: the better, the more they may move. BUSINESS is bounded by 64 bits alone."""

    UNVERIFIED = "UNVERIFIED"
    BASIC = "BASIC"
    VERIFIED = "VERIFIED"
    BUSINESS = "BUSINESS"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may leave a wallet, and that it may hold, in minor units of its currency; None for no limit."""

    per_transaction: int | None = None
    per_day: int | None = None
    per_30_days: int | None = None
    max_balance: int | None = None


_EUROS: Final = {
    Tier.UNVERIFIED: Limits(per_transaction=50, per_day=100, per_30_days=150, max_balance=150),
    Tier.BASIC: Limits(per_transaction=1_000, per_day=2_000, per_30_days=5_000, max_balance=5_000),
    Tier.VERIFIED: Limits(per_transaction=15_000, per_day=25_000, per_30_days=100_000, max_balance=100_000),
    Tier.BUSINESS: Limits(),
}
_POWERS: Final[dict[int, str]] = {
    -2: "CLF",
    -1: "XAD",
    0: """
AUD AWG AZN BAM BBD BHD BMD BND BOV BSD BZD CAD CHE CHF CHW EUR FJD FKP GBP GEL GIP JOD KWD KYD MXV NZD OMR PAB SGD
SHP TOP USD USN XCD XCG
""",
    1: """
AED BOB BRL BWP BYN CNY COU CUP CZK DKK ERN GHS GTQ HKD HNL ILS LSL LYD MAD MDL MOP MVR MXN MYR NAD NOK PEN PGK PLN
QAR RON SAR SBD SCR SEK SLE STN SVC SZL TJS TMT TND TTD UYI UYW WST ZAR ZMW ZWG
""",
    2: """
AFN ALL BDT BTN CVE DJF DOP DZD EGP ETB GMD GYD HTG INR ISK JMD JPY KES KGS LRD MKD MRU MUR MZN NIO NPR PHP RSD RUB
SRD THB TRY TWD UAH UYU VED VES VUV XPF YER
""",
    3: "AMD AOA ARS CDF CLP CRC HUF IQD KMF KPW KRW KZT LKR MMK MWK NGN PKR RWF SDG SOS TZS XAF XOF",
    4: "BIF COP GNF IDR KHR LAK MGA MNT PYG SSP SYP UGX UZS VND",
    5: "LBP",
    6: "IRR",
}
_POWER: Final[dict[str, int]] = {code: power for power, codes in _POWERS.items() for code in codes.split()}


def power_of(currency: str) -> int:
    """The power of ten nearest to how much of the currency a euro buys; raises KeyError for an unknown currency."""
    return _POWER[currency]


def limits_of(tier: str, currency: str) -> Limits:
    """The limits of a tier in a currency; raises KeyError where either is unknown."""
    return _LIMITS[tier, currency]


def _scaled(euros: int | None, currency: str) -> int | None:
    return None if euros is None else euros * int("1" + "0" * (power_of(currency) + EXPONENTS[currency]))


_LIMITS: Final[dict[tuple[str, str], Limits]] = {
    (tier.value, currency): Limits(
        _scaled(euros.per_transaction, currency),
        _scaled(euros.per_day, currency),
        _scaled(euros.per_30_days, currency),
        _scaled(euros.max_balance, currency),
    )
    for tier, euros in _EUROS.items()
    for currency in EXPONENTS
}
