"""Rates: who says what one currency is worth in another, and a pinned table for trying out."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Protocol

from datastores.ledger import Rate


class RateSource(Protocol):
    """Somebody who says what currencies are worth at this moment."""

    async def rate(self, sell: str, buy: str) -> Rate | None:
        """How many units of `buy` a unit of `sell` is worth, or None where it has no rate between the two."""
        ...


# Units a euro, of the size that they had at that time. Pinned, so that an example has the same amounts every day.
_AS_OF: Final = datetime.fromisoformat("2026-01-02")
_PER_EURO: Final = dict(
    line.split()
    for line in """
EUR 1
USD 1.1720
GBP 0.8720
CHF 0.9310
JPY 183.50
SEK 10.8200
NOK 11.8100
DKK 7.4690
PLN 4.2200
CZK 24.2000
HUF 385.00
ISK 147.00
TRY 50.40
CAD 1.6080
AUD 1.7550
NZD 2.0300
CNY 8.2000
INR 105.50
KRW 1690.0
VND 30800
SGD 1.5070
HKD 9.1200
THB 36.900
BRL 6.4400
MXN 21.100
ZAR 19.400
CLP 1058.0
CLF 0.0267
KWD 0.3605
BHD 0.4418
TND 3.4150
""".splitlines()
    if line
)
_DIGITS: Final = Context(prec=12, rounding=ROUND_HALF_EVEN)


class SandboxRates:
    """Rates for trying out: a table of 2 January 2026 that nobody trades at. Between two currencies through the euro,
    to 12 digits.
    """

    async def rate(self, sell: str, buy: str) -> Rate | None:
        if sell not in _PER_EURO or buy not in _PER_EURO:
            return None
        return Rate(_DIGITS.divide(Decimal(_PER_EURO[buy]), Decimal(_PER_EURO[sell])), _AS_OF, "sandbox")
