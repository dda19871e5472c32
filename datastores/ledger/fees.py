"""Fees: what an act costs beside the amount that it moves, as a share of it and at least a fixed sum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from datastores.errors import ValidationError

from .currencies import minor_units

BASIS: Final = 10_000
MAX_BASIS_POINTS: Final = BASIS
MAX_MINIMUMS: Final = 20
_SHARE: Final = re.compile(r"[0-9]{1,5}")
_MINIMUM: Final = re.compile(r"([A-Z]{3}) ([0-9]{1,15}(?:\.[0-9]{1,4})?)")


@dataclass(frozen=True, slots=True)
class Fee:
    """A share of the amount in basis points (hundredths of a per cent), and minimums in minor units by currency."""

    basis_points: int = 0
    minimums: tuple[tuple[str, int], ...] = ()

    def of(self, amount: int, currency: str) -> int:
        """The fee for so many minor units: the share, rounded down, or the minimum of the currency if that is more."""
        return max(amount * self.basis_points // BASIS, dict(self.minimums).get(currency, 0))


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """What each kind of act costs: an exchange and a withdrawal on top of the amount, a sale out of what it brings."""

    exchange: Fee = Fee(50)
    withdrawal: Fee = Fee()
    sale: Fee = Fee()


NO_FEES: Final = FeeSchedule(exchange=Fee())


def fee_of_text(text: str) -> Fee:
    """The fee that a setting such as `50` or `50, EUR 0.10, JPY 15` names: basis points, then minimums by currency.

    Raises ValueError that says what is wrong with it.
    """
    share, *minimums = (part.strip() for part in text.split(","))
    if not _SHARE.fullmatch(share) or int(share) > MAX_BASIS_POINTS:
        raise ValueError(f"must begin with basis points, a whole number from 0 to {MAX_BASIS_POINTS}")
    if len(minimums) > MAX_MINIMUMS:
        raise ValueError(f"may have at most {MAX_MINIMUMS} minimums")
    found: dict[str, int] = {}
    for minimum in minimums:
        if not (match := _MINIMUM.fullmatch(minimum)) or match[1] in found:
            raise ValueError("must have one minimum a currency, such as `50, EUR 0.10, JPY 15`")
        try:
            found[match[1]] = minor_units(Decimal(match[2]), match[1])
        except ValidationError as error:
            raise ValueError(f"has a minimum that is no amount: {error.message}") from None
    return Fee(int(share), tuple(found.items()))
