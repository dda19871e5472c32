"""What each person was notified of: one document a notice, and one gap-free log of them a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from . import logs
from .commit import CommitLoop, Read, Work, by_id
from .errors import NotFoundError
from .ids import derived_id, is_id
from .logs import last_number, next_number, row_id
from .mongo import Database, Document
from .paging import PageDocument, Window, keyset, page

NOTIFICATIONS: Final = "notifications"
EVENTS: Final = "notification_events"
HEADS: Final = "notification_heads"

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    NOTIFICATIONS: [
        IndexModel([("user_id", ASCENDING), ("n", DESCENDING)], unique=True),
        IndexModel(
            [("user_id", ASCENDING), ("n", ASCENDING)],
            name="unread",
            partialFilterExpression={"read_at": {"$eq": None}},
        ),
    ],
    EVENTS: [],
    HEADS: [],
}
LOGS: Final[dict[str, Callable[[Document], Sequence[str]]]] = {EVENTS: lambda row: [row["user_id"]]}


class NotificationDocument(TypedDict):
    """A notice to `user_id` that `actor_id` did this to `subject_id`; `n` is its place in the log."""

    _id: str
    user_id: str
    n: int
    kind: str
    created_at: datetime
    read_at: datetime | None
    actor_id: str | None
    subject_id: str


class NotificationRow(TypedDict):
    """A row of the log of one person: its `n`-th notice."""

    _id: str
    user_id: str
    n: int
    notification_id: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What to tell a person once, however often it is asked for; no `actor_id` where nobody in particular acted."""

    user_id: str
    kind: str
    actor_id: str | None
    subject_id: str

    @property
    def id(self) -> str:
        """The id that this notice always has."""
        return derived_id("ntf", self.user_id, self.kind, self.actor_id or "", self.subject_id)


@dataclass(frozen=True, slots=True)
class _Append:
    notice: Notice

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(NOTIFICATIONS, self.notice.id), by_id(HEADS, self.notice.user_id)]

    def decide(self, work: Work) -> NotificationDocument:
        notice = self.notice
        if (existing := work.get(NOTIFICATIONS, notice.id)) is not None:
            return cast(NotificationDocument, existing)
        n = next_number(work, HEADS, notice.user_id)
        row: NotificationRow = {
            "_id": row_id(notice.user_id, n),
            "user_id": notice.user_id,
            "n": n,
            "notification_id": notice.id,
        }
        work.insert(EVENTS, cast(Document, row))
        document: NotificationDocument = {
            "_id": notice.id,
            "user_id": notice.user_id,
            "n": n,
            "kind": notice.kind,
            "created_at": work.now,
            "read_at": None,
            "actor_id": notice.actor_id,
            "subject_id": notice.subject_id,
        }
        return cast(NotificationDocument, work.insert(NOTIFICATIONS, cast(Document, document)))


async def append(loop: CommitLoop, notice: Notice) -> NotificationDocument:
    """The notification of this notice, written now unless it was before; raises what `CommitLoop.submit` raises."""
    return await loop.submit(_Append(notice), weight=3)


async def by_ids(database: Database, user_id: str, ids: Sequence[str]) -> list[Document | None]:
    """For each id the notification, or None unless it is this person's."""
    found = await database.by_ids(NOTIFICATIONS, [id for id in ids if is_id("ntf", id)])
    theirs = {each["_id"]: each for each in found if each is not None and each["user_id"] == user_id}
    return [theirs.get(id) for id in ids]


async def newest(database: Database, user_id: str, window: Window) -> PageDocument:
    """A page of a person's notifications, newest first; the key of the window is `n`."""
    past, sort = keyset([("n", DESCENDING)], window)
    documents = await database.find(NOTIFICATIONS, {"user_id": user_id, **past}, sort=sort, limit=window.limit)
    return page(documents, window, lambda document: (document["n"],))


async def mark_read(database: Database, user_id: str, up_to: str, now: datetime) -> int:
    """Mark `up_to` and all older ones read; returns how many are still unread (counted to 100,000).

    Raises NotFoundError unless `up_to` is a notification of this person. What was read before keeps its time.
    """
    (last,) = await by_ids(database, user_id, [up_to])
    if last is None:
        raise NotFoundError("There is no such notification")
    unread: dict[str, Any] = {"user_id": user_id, "read_at": None}
    await database.update_many(NOTIFICATIONS, {**unread, "n": {"$lte": last["n"]}}, {"$set": {"read_at": now}})
    return await database.count(NOTIFICATIONS, unread)


async def head(database: Database, user_id: str) -> int:
    """The number of the newest row of a person's log; 0 where there is none."""
    return await last_number(database, HEADS, user_id)


async def rows_after(database: Database, user_id: str, after: int, limit: int) -> list[Document]:
    """At most `limit` rows of a person's log with numbers past `after`, in order."""
    return await logs.rows_after(database, EVENTS, user_id, after, limit)
