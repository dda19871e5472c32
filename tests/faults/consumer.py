"""A process that follows the payment events and the conversation, keeping each event with its cursor."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pymongo.errors import PyMongoError

from datastores.changes import declared_logs
from datastores.commit import CommitLoops
from datastores.conversations import EVENTS
from datastores.errors import GoingAwayError, SlowConsumerError, UnavailableError
from datastores.ledger.entries import ENTRIES
from datastores.mongo import Driver
from datastores.paging import cursor_of
from gateway.live.hub import Hub
from resolvers import conversations, partners
from resolvers.context import PAYMENTS_READ, Context, Viewer
from tests.faults.journals import Journal, Row
from tests.faults.town import CONVERSATION, MERCHANT, PEOPLE, open_database

AGAIN_S: Final = 0.1
COME_BACK: Final = (UnavailableError, SlowConsumerError, GoingAwayError, PyMongoError)
Stream = Callable[[str | None], AsyncGenerator[Row, None]]


@dataclass(frozen=True)
class Plan:
    """What the process is told."""

    uri: str
    database: str
    driver: Driver
    folder: str


async def follow(journal: Journal, stream: Stream, breaks: Journal) -> None:
    """Take the stream from the last cursor on, and again whenever it breaks off, for ever."""
    while True:
        try:
            after = journal.rows[-1]["cursor"] if journal.rows else None
            async with aclosing(stream(after)) as events:
                async for event in events:
                    journal.append(event)
        except COME_BACK as error:
            breaks.append({"error": type(error).__name__, "text": str(error)[:200]})
        await asyncio.sleep(AGAIN_S)


def payments(ctx: Context) -> Stream:
    """The events of the merchant's partner; the first page where there is no cursor yet."""

    async def events(after: str | None) -> AsyncGenerator[Row, None]:
        while after is None:
            page = await partners.payment_events(ctx, first=1)
            for edge in page["edges"]:
                after = cursor_of(edge)
                yield _payment(edge["node"], after)
            await asyncio.sleep(AGAIN_S)
        async with aclosing(partners.follow_payment_events(ctx, after=after)) as found:
            async for event in found:
                yield _payment(dict(event), event["cursor"])

    return events


def messages(ctx: Context) -> Stream:
    """What is said in the conversation, from its beginning."""

    async def events(after: str | None) -> AsyncGenerator[Row, None]:
        start = after or conversations.event_cursor(CONVERSATION, 0)
        async with aclosing(conversations.message_added(ctx, conversation_id=CONVERSATION, after=start)) as found:
            async for event in found:
                yield {"n": event["message"]["n"], "id": event["message"]["_id"], "cursor": event["cursor"]}

    return events


def _payment(event: Row, cursor: str) -> Row:
    return {"seq": event["seq"], "previous_seq": event["previous_seq"], "cursor": cursor}


async def main() -> None:
    plan = Plan(**json.loads(sys.argv[1]))
    folder = Path(plan.folder)
    breaks = Journal(folder / "breaks")
    logs = {name: topics for name, topics in declared_logs().items() if name in (ENTRIES, EVENTS)}
    partner = Viewer("partner", merchant_ids=(MERCHANT,), scopes=frozenset({PAYMENTS_READ}))
    member = Viewer("person", user_id=PEOPLE[0])
    async with open_database(plan.uri, plan.database, plan.driver) as database, Hub(database, logs) as hub:
        commits = CommitLoops(database)
        async with asyncio.TaskGroup() as group:
            for name, stream, viewer in (("payments", payments, partner), ("messages", messages, member)):
                ctx = Context(database, commits, hub, viewer)
                group.create_task(follow(Journal(folder / name), stream(ctx), breaks))


if __name__ == "__main__":
    asyncio.run(main())
