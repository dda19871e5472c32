"""What passes between people and is not kept, such as typing and read markers: told to every process, soon gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel

from .clock import utc_now
from .ids import new_id
from .mongo import Database, Document

SIGNALS: Final = "signals"
KEPT_S: Final = 60

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    SIGNALS: [IndexModel([("created_at", ASCENDING)], expireAfterSeconds=KEPT_S)],
}
LOGS: Final[dict[str, Callable[[Document], Sequence[str]]]] = {
    SIGNALS: lambda row: [topic_of(row["channel"], row["topic"])],
}


class SignalRow(TypedDict):
    """One signal: `channel` says of what kind, `topic` to whom."""

    _id: str
    channel: str
    topic: str
    message: Document
    created_at: datetime


def topic_of(channel: str, topic: str) -> str:
    """The name under which these signals are routed."""
    return f"{channel}/{topic}"


async def publish(database: Database, channel: str, topic: str, message: Mapping[str, Any]) -> None:
    """Tell all who listen to `topic` on `channel` now, in every process. Nobody who comes later hears of it."""
    row: SignalRow = {
        "_id": new_id("sig"),
        "channel": channel,
        "topic": topic,
        "message": dict(message),
        "created_at": utc_now(),
    }
    await database.insert_one(SIGNALS, cast(Document, row))
