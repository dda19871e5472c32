"""What a use case may know: who asks, the database, live topics, the time, and loaders of one operation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from aiodataloader import DataLoader

from datastores.commit import CommitLoops
from datastores.errors import ForbiddenError, UnauthenticatedError
from datastores.mongo import Database, Document

PAYMENTS_READ = "payments:read"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. A person has a `user_id`; a partner has a `partner_id`, the merchants it may see, and scopes."""

    kind: Literal["anonymous", "person", "partner"] = "anonymous"
    user_id: str | None = None
    partner_id: str | None = None
    merchant_ids: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()

    def person(self) -> str:
        """The id of the signed-in person; raises UnauthenticatedError, or ForbiddenError for a partner's key."""
        if self.user_id is None:
            if self.kind == "partner":
                raise ForbiddenError("A partner's key cannot do this: sign in as a person")
            raise UnauthenticatedError("Sign in first: send an access token in the Authorization header")
        return self.user_id


ANONYMOUS = Viewer()


class Feed(Protocol):
    """Rows of one or more topics, in order, from the moment it was opened; a bounded queue.

    Iterating ends with SlowConsumerError when the reader fell too far behind, and with StreamGapError when rows may
    have been missed.
    """

    def __aiter__(self) -> AsyncIterator[Document]: ...


class Hub(Protocol):
    """Live rows of the logs, by topic; see `gateway/live/hub.py`."""

    def open(self, collection: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Feed]:
        """A feed of rows that are inserted into the log `collection` from now on, whose topic is one of `topics`."""
        ...


def utc_now() -> datetime:
    """The time as documents hold it: naive UTC, whole milliseconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass
class Context:
    """Passed to every use case. `fresh()` for each query, each root field of a mutation, each event."""

    database: Database
    commits: CommitLoops
    hub: Hub
    viewer: Viewer = ANONYMOUS
    now: Callable[[], datetime] = utc_now
    request_id: str = ""
    loaders: dict[object, DataLoader[Any, Any]] = field(default_factory=dict)

    def fresh(self) -> Context:
        """A copy with loaders of its own, so that nothing read earlier is seen again."""
        return replace(self, loaders={})

    def load(
        self, name: object, batch: Callable[[list[Any]], Awaitable[Sequence[Any]]], key: Any, *, cache: bool
    ) -> Any:
        """An awaitable of what `batch` answers for `key`, asked together with all other keys of this moment."""
        if (loader := self.loaders.get(name)) is None:

            async def call(keys: list[Any]) -> list[Any]:
                return list(await batch(keys))

            loader = self.loaders[name] = DataLoader(call, cache=cache)
        return loader.load(key)
