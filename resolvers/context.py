"""What a use case may know: who asks, the database, live topics, the time, and loaders of one operation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from aiodataloader import DataLoader

from datastores.clock import utc_now
from datastores.commit import CommitLoops
from datastores.errors import ForbiddenError, UnauthenticatedError, UpstreamUnavailableError
from datastores.ledger import FeeSchedule, Tier
from datastores.mongo import Database, Document
from datastores.person_keys import PersonKeys
from datastores.wallets import RateSource, SandboxRates

from .attention import Always, Attention
from .audiences import WHOLE, Listening
from .services import Service

PAYMENTS_READ = "payments:read"
WEBHOOKS_WRITE = "webhooks:write"
KEYS_WRITE = "keys:write"
SCOPES = (PAYMENTS_READ, WEBHOOKS_WRITE, KEYS_WRITE)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. A person has a `user_id`; a partner has a `partner_id`, the merchants it may see, and scopes.

    An audience stands for the members of `conversation_id`: it has the rights that all of them share, and no others.
    """

    kind: Literal["anonymous", "person", "partner", "audience"] = "anonymous"
    user_id: str | None = None
    partner_id: str | None = None
    merchant_ids: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    conversation_id: str | None = None

    def person(self) -> str:
        """The id of the signed-in person; raises UnauthenticatedError, or ForbiddenError for a partner's key."""
        if self.user_id is None:
            if self.kind == "partner":
                raise ForbiddenError("A partner's key cannot do this: sign in as a person")
            raise UnauthenticatedError("Sign in first: send an access token in the Authorization header")
        return self.user_id


ANONYMOUS = Viewer()


class MissedRowsError(Exception):
    """A feed left rows out: read the log from the last row that was taken.

    `overflowed_at` (of `time.monotonic`) says since when its queue was full; None where the hub itself missed them.
    """

    def __init__(self, overflowed_at: float | None = None) -> None:
        super().__init__(overflowed_at)
        self.overflowed_at = overflowed_at


class Feed(Protocol):
    """Rows of one or more topics, in order, from the moment it was opened; a bounded queue for one reader."""

    @property
    def is_ending(self) -> bool:
        """Whether the process stops: what is queued can still be taken."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to take now, not even the news that rows were left out."""
        ...

    @property
    def overflowed_at(self) -> float | None:
        """Since when (of `time.monotonic`) the queue has been full and its reader not told; None where it is not."""
        ...

    async def take(self) -> Document:
        """The next row, which is shared with other readers: never change it.

        Raises MissedRowsError where rows were left out, after which the feed goes on from that moment, and
        GoingAwayError when the process stops.
        """
        ...


Coalesce = Callable[[Document], Hashable]


class Hub(Protocol):
    """Live rows of the logs, by topic; see `gateway/live/hub.py`."""

    def open(
        self, collection: str, topics: Sequence[str], *, coalesce: Coalesce | None = None
    ) -> AbstractAsyncContextManager[Feed]:
        """A feed of rows that are inserted into the log `collection` from now on, whose topic is one of `topics`.

        Where its queue is full, rows are left out; with `coalesce` only the newest row of each key is kept first.
        Raises UnavailableError where the database cannot be watched now, and GoingAwayError when the process stops.
        """
        ...


@dataclass
class Context:
    """Passed to every use case. `fresh()` for each query, each root field of a mutation, each event.

    `rails` are those through which money may be asked to come in or go out; `rates` says what currencies are worth,
    None where nobody does; `fees` are what acts cost; `default_tier` is that of wallets that have none of their own;
    `keys` open what is sealed for people; `services` are those of others that are connected, by name. Webhooks go
    to private addresses only with `private_webhooks`. `listening` says how streams are followed,
    `attention` what somebody looks at.
    """

    database: Database
    commits: CommitLoops
    hub: Hub
    viewer: Viewer = ANONYMOUS
    now: Callable[[], datetime] = utc_now
    keys: PersonKeys = field(default_factory=PersonKeys)
    request_id: str = ""
    rails: frozenset[str] = frozenset({"sandbox"})
    rates: RateSource | None = field(default_factory=SandboxRates)
    fees: FeeSchedule = field(default_factory=FeeSchedule)
    default_tier: Tier = Tier.BUSINESS
    services: Mapping[str, Service] = field(default_factory=dict)
    private_webhooks: bool = False
    listening: Listening = WHOLE
    attention: Attention = field(default_factory=Always)
    loaders: dict[object, DataLoader[Any, Any]] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        """The service of somebody else with this name; raises UpstreamUnavailableError where it is not connected."""
        if (found := self.services.get(name)) is None:
            raise UpstreamUnavailableError(f"The service {name!r} is not connected here")
        return found

    def fresh(self) -> Context:
        """A copy with loaders of its own, so that nothing read earlier is seen again."""
        # Each event is one more for each who hears it: `replace` would take as long as a small execution.
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        copy.loaders = {}
        return copy

    def load(
        self, name: object, batch: Callable[[list[Any]], Awaitable[Sequence[Any]]], key: Any, *, cache: bool
    ) -> Any:
        """An awaitable of what `batch` answers for `key`, asked together with all other keys of this moment."""
        if (loader := self.loaders.get(name)) is None:

            async def call(keys: list[Any]) -> list[Any]:
                return list(await batch(keys))

            loader = self.loaders[name] = DataLoader(call, cache=cache)
        waiting = loader.load(key)
        # Several may wait for one answer: where one of them is cancelled, the others still get it.
        return asyncio.shield(waiting) if cache else waiting
