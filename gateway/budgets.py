"""How much each client may ask for: a leaky bucket of cost a client, and what of it other processes should know."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.execution.limits import MAX_COST
from gateway.execution.requests import RequestError, Result
from gateway.identity.identities import Identity, Partner, Person

# A bucket and its key take up to about 1 KB where the issuer and the subject are long, 300 bytes otherwise.
MAX_CLIENTS: Final = 50_000
# A provider gives each of its customers all addresses that begin alike.
IPV6_PREFIX_BITS: Final = 64
# What parsing and validating costs, about, where nothing comes of it.
REFUSED_COST: Final = 100
# What a client may have spent in a process, as a part of its bucket, before the others are told.
UNTOLD_PART: Final = 0.01
MAX_TOLD_AT_ONCE: Final = 500

Client = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CostLimits:
    """In units of cost: what one operation may ask for, what a bucket holds, and what comes back each second."""

    per_request: int = MAX_COST
    bucket: int = 500_000_000
    restore_per_s: int = 50_000_000


def client_of(identity: Identity, address: str | None) -> Client:
    """Whose bucket it is: that of the person, of the partner's key, or else of the address.

    Addresses of IPv6 count by their first 64 bits.
    """
    if isinstance(identity, Person):
        return ("person", identity.issuer, identity.subject)
    if isinstance(identity, Partner):
        return ("partner", identity.key_id)
    return ("address", _network(address or ""))


@dataclass(slots=True)
class _Bucket:
    """What was `left` at a time, and what has been spent here since the others were told."""

    left: float
    at: float
    untold: float


class Budgets:
    """The buckets of the last 50,000 clients; one that is forgotten is full again. `now` is in seconds, monotonic.

    `is_due` is set while some client has spent more than a hundredth of its bucket that other processes do not know of.
    """

    def __init__(self, limits: CostLimits, *, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        # A full bucket need not be known.
        self._buckets: OrderedDict[Client, _Bucket] = OrderedDict()
        self._untold_most = UNTOLD_PART * limits.bucket
        self._due: OrderedDict[Client, None] = OrderedDict()
        self.is_due = asyncio.Event()

    def __len__(self) -> int:
        return len(self._buckets)

    def check(self, client: Client) -> None:
        """Raise RequestError RATE_LIMITED (429) where the bucket is empty: then no document is even read."""
        if self._left(client, self._now()) < 1:
            raise self._refusal(client, 1)

    def check_cost(self, cost: int) -> None:
        """Raise RequestError QUERY_TOO_COMPLEX where this is more than one operation may ask for."""
        if cost > (most := self._limits.per_request):
            message = f"The operation is too large: its cost is {cost}, at most {most}"
            raise RequestError("QUERY_TOO_COMPLEX", message)

    def take(self, client: Client, cost: int) -> None:
        """Take `cost` out of the bucket, or raise RequestError RATE_LIMITED (429) and take nothing."""
        now = self._now()
        if (left := self._left(client, now) - cost) < 0:
            raise self._refusal(client, cost)
        self._put(client, left, now, cost)

    def charge(self, client: Client, cost: int) -> None:
        """Take `cost`, or what there is of it: for what has happened already."""
        now = self._now()
        left = self._left(client, now)
        self._put(client, min(left, max(0.0, left - cost)), now, cost)

    def give_back(self, client: Client, cost: int) -> None:
        """Put back what was taken and not used; nothing where `cost` is not positive."""
        if cost > 0:
            now = self._now()
            self._put(client, min(self._limits.bucket, self._left(client, now) + cost), now, -cost)

    def state(self, client: Client) -> Result:
        """For clients: `left` of `limit` units, and `restoreRate`, which come back each second."""
        left = max(0, math.floor(self._left(client, self._now())))
        return {"left": left, "limit": self._limits.bucket, "restoreRate": self._limits.restore_per_s}

    def tell(self) -> Mapping[Client, float]:
        """What the others should know now was spent here, of at most 500 clients; it counts as told."""
        told: dict[Client, float] = {}
        while self._due and len(told) < MAX_TOLD_AT_ONCE:
            client, _ = self._due.popitem(last=False)
            if (bucket := self._buckets.get(client)) is not None:
                told[client], bucket.untold = bucket.untold, 0.0
        if not self._due:
            self.is_due.clear()
        return told

    def hear(self, levels: Mapping[Client, float]) -> None:
        """Take over how much of their buckets these clients have used in all processes, what was told included.

        What is left may then be less than nothing: a debt, which is paid off before anything else is allowed.
        """
        now = self._now()
        for client, level in levels.items():
            known = self._buckets.get(client)
            untold = known.untold if known is not None else 0.0
            self._put(client, self._limits.bucket - level - untold, now, 0.0)

    def _left(self, client: Client, now: float) -> float:
        if (known := self._buckets.get(client)) is None:
            return self._limits.bucket
        return min(self._limits.bucket, known.left + (now - known.at) * self._limits.restore_per_s)

    def _put(self, client: Client, left: float, now: float, spent: float) -> None:
        known = self._buckets.get(client)
        untold = spent + (known.untold if known is not None else 0.0)
        if left >= self._limits.bucket:
            self._buckets.pop(client, None)
            return
        if abs(untold) >= self._untold_most:
            self._due[client] = None
            self.is_due.set()
        if known is None:
            self._buckets[client] = _Bucket(left, now, untold)
            if len(self._buckets) > MAX_CLIENTS:
                self._due.pop(self._buckets.popitem(last=False)[0], None)
            return
        known.left, known.at, known.untold = left, now, untold
        self._buckets.move_to_end(client)

    def _refusal(self, client: Client, cost: int) -> RequestError:
        missing = cost - self._left(client, self._now())
        wait_s = max(1, math.ceil(missing / self._limits.restore_per_s))
        message = f"Too much was asked for in a short time: try again in {wait_s} s, or ask for less"
        cost_now = {"requested": cost, **self.state(client)}
        extensions = {"code": "RATE_LIMITED", "retryAfterSeconds": wait_s, "cost": cost_now}
        error = {"message": message, "extensions": extensions}
        return RequestError("RATE_LIMITED", message, 429, errors=[error], headers={"Retry-After": str(wait_s)})


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), IPV6_PREFIX_BITS), strict=False).network_address)
