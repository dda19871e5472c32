"""Currencies: the ISO 4217 table that is pinned here, and the way between decimal amounts and minor units."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypedDict

from datastores.errors import ValidationError

MAX_MINOR_UNITS: Final = 2**63 - 1
_MAX_DIGITS: Final = 40

# Active codes with a minor unit, as of 2026-01-01. Pinned, because libraries and their versions disagree (on IQD, say),
# and money that was written with one exponent must never be read with another.
_NO_DECIMALS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO_DECIMALS: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP
COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR
JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN
NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_THREE_DECIMALS: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS: Final = "CLF UYW"

EXPONENTS: Final[dict[str, int]] = {
    code: exponent
    for exponent, codes in ((0, _NO_DECIMALS), (2, _TWO_DECIMALS), (3, _THREE_DECIMALS), (4, _FOUR_DECIMALS))
    for code in codes.split()
}


class Money(TypedDict):
    """An amount: `minor_units` is an int64, of the size that the currency's exponent says (cents for EUR)."""

    minor_units: int
    currency: str


def money(minor_units: int, currency: str) -> Money:
    """The document of an amount."""
    return {"minor_units": minor_units, "currency": currency}


def decimal_amount(minor_units: int, currency: str) -> Decimal:
    """The amount in major units, with as many decimals as the currency has: 150 EUR cents are `1.50`."""
    return Decimal(minor_units).scaleb(-EXPONENTS[currency])


def minor_units(amount: Decimal, currency: str, *path: str) -> int:
    """The amount in minor units: never rounded, an int64 in size.

    Raises ValidationError, with `path` and the name of the part, for an unknown currency, for more decimals than the
    currency has, for what is not a finite plain number, and for what does not fit 64 bits.
    """
    if (exponent := EXPONENTS.get(currency)) is None:
        raise ValidationError("The currency is not an active ISO 4217 code, such as EUR", *path, "currency")
    parts = amount.as_tuple()
    if not isinstance(parts.exponent, int) or parts.exponent > 0 or len(parts.digits) > _MAX_DIGITS:
        raise ValidationError("The amount must be a plain decimal number, such as 12.50", *path, "amount")
    digits = int("".join(map(str, parts.digits)))
    surplus = -parts.exponent - exponent
    units, lost = divmod(digits * _power(-surplus), _power(min(surplus, _MAX_DIGITS + 1)))
    if lost:
        raise ValidationError(f"{currency} has {exponent} decimals: amounts are never rounded", *path, "amount")
    if units > MAX_MINOR_UNITS:
        raise ValidationError("The amount is too large", *path, "amount")
    return -units if parts.sign else units


def positive(amount: Decimal, currency: str, *path: str) -> Money:
    """The amount as money; raises ValidationError as `minor_units` does, and for nothing and less than nothing."""
    units = minor_units(amount, currency, *path)
    if units <= 0:
        raise ValidationError("The amount must be more than zero", *path, "amount")
    return money(units, currency)


def _power(exponent: int) -> int:
    return int("1" + "0" * max(exponent, 0))
