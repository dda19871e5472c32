"""Notifications in the graph: what others did that concerns the viewer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import strawberry

from datastores.mongo import Document
from datastores.notifications import NotificationDocument
from resolvers import notifications as use_cases

from .arguments import AFTER, FIRST, SINCE, Info, or_none
from .composition import Domain, batched, loads, plain, root
from .entities import Node, Notification, User, Viewer
from .errors import ForbiddenError, NotFoundError
from .scalars import Cursor
from .values import Connection

notifications = Domain("notifications")
notifications.owns(Notification, use_cases.by_id, document=NotificationDocument)


@notifications.extends(Notification)
class NotificationFields:
    kind: str = plain(description=f"What was done: {', '.join(f'`{kind}`' for kind in use_cases.KINDS)}. May grow.")
    created_at: datetime = plain(description="When it was noted.")
    read_at: datetime | None = plain(description="When the viewer read it.")
    actor: User | None = loads(User, key="actor_id", description="Who did it.")
    subject: Node | None = loads(
        Node,
        key="subject_id",
        description="What it is about: a post, a user, a transfer, a payment request, an order. Null once it is gone.",
    )


@notifications.extends(Viewer)
class ViewerNotifications:
    notifications: Connection[Notification] | None = batched(
        use_cases.notifications,
        description="What others did that concerns the viewer, newest first.",
        first=FIRST,
        after=AFTER,
    )


@strawberry.input(description="What has been read.")
class MarkNotificationsReadInput:
    up_to: strawberry.ID = strawberry.field(description="A notification of the viewer: it and all older ones are read.")


@strawberry.type(description="They are read.")
class MarkNotificationsReadSuccess:
    unread_count: int = plain(description="How many newer ones are still unread, counted to 100,000.")


MarkNotificationsReadResult = Annotated[
    MarkNotificationsReadSuccess | NotFoundError | ForbiddenError,
    strawberry.union("MarkNotificationsReadResult", description="What is left unread, or why nothing was done."),
]


@strawberry.type(description="A new notification.")
class NotificationEvent:
    cursor: Cursor = plain(description="Where to go on after a break: pass it as `after`.")
    notification: Notification = plain(description="The notification as it is now.")


@notifications.root
class Mutation:
    @root(
        MarkNotificationsReadResult | None,
        description="Mark a notification and all older ones read; those read before keep their time.",
    )
    async def mark_notifications_read(self, info: Info, input: MarkNotificationsReadInput) -> Document:
        unread = await use_cases.mark_read(info.context, up_to=input.up_to)
        return {"__typename": "MarkNotificationsReadSuccess", "unread_count": unread}


@notifications.root
class Subscription:
    @root(
        NotificationEvent,
        subscription=True,
        hearers="viewer",
        description="What others do that concerns the viewer.",
    )
    async def notification_added(
        self,
        info: Info,
        after: Annotated[Cursor | None, strawberry.argument(description=SINCE)] = strawberry.UNSET,
    ) -> AsyncGenerator[Document, None]:
        async for event in use_cases.notification_added(info.context, after=or_none(after)):
            yield event
