"""Wishes of those who write: to post, to reply, to delete, to like and repost, and to take that back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from datastores import posts as store
from datastores.commit import CommitLoop
from datastores.posts import LIKE, REPOST, Reaction
from tests.simulation.quarters import Door
from tests.simulation.storage import START


class Kind(StrEnum):
    """What is wanted."""

    POST = "post"
    DELETE = "delete"
    REACT = "react"
    TAKE_BACK = "take back"


@dataclass(frozen=True)
class Wish:
    """One wish of `actor`, about the post `post_id`: to be replied to, deleted, or reacted to."""

    kind: Kind
    actor: str
    client_id: str = ""
    post_id: str | None = None
    is_like: bool = True

    def __str__(self) -> str:
        what = self.reaction.counter if self.kind in (Kind.REACT, Kind.TAKE_BACK) else self.client_id
        return f"{self.kind} {self.actor} {what} {(self.post_id or '')[-6:]}"

    @property
    def loop(self) -> str:
        """The loop of all posts."""
        return "posts"

    @property
    def reaction(self) -> Reaction:
        """What kind of reaction it is."""
        return LIKE if self.is_like else REPOST

    @property
    def pair(self) -> str:
        """The id of the actor's reaction to the post."""
        return f"{self.actor}:{self.post_id}"

    async def ask(self, door: Door, salt: str) -> Any:
        """What comes of it. Each request for a post has another id, and the client's one id."""
        loop, post_id = cast(CommitLoop, door), self.post_id or ""
        if self.kind is Kind.POST:
            document = store.post_document(
                author_id=self.actor,
                text=self.client_id,
                created_at=START,
                reply_to_id=self.post_id,
                client_id=self.client_id or None,
                random_bits=int(salt[:20], 16),
            )
            return await store.create(loop, document)
        if self.kind is Kind.DELETE:
            return await store.delete(loop, post_id, START, random_bits=int(salt[:20], 16))
        if self.kind is Kind.REACT:
            return await store.react(loop, self.reaction, self.actor, post_id, START)
        return await store.take_back(loop, self.reaction, self.actor, post_id)
