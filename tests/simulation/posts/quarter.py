"""The posts' quarter: counters that must equal what they count at every commit, and one post a client id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Final

from datastores.errors import NotFoundError
from datastores.mongo import Document
from datastores.posts import DELETED, LIKES, POSTS, REPOSTS, post_document
from tests.simulation.processes import Process
from tests.simulation.quarters import Asked, Problems
from tests.simulation.shapes import Shape
from tests.simulation.storage import START, Changes, Storage

from .wishes import Kind, Wish

COUNTERS: Final = {LIKES: "like_count", REPOSTS: "repost_count"}
_KINDS: Final = {Kind.POST: 5, Kind.DELETE: 2, Kind.REACT: 8, Kind.TAKE_BACK: 4}


class PostsQuarter:
    """A few posts that everybody replies and reacts to."""

    def __init__(self, random: Random, shape: Shape, storage: Storage, problems: Problems) -> None:
        self._random = random
        self._people = shape.people
        self._storage = storage
        self._problems = problems
        self._wishes: dict[Wish, None] = {}
        self._told: dict[tuple[str, str], str] = {}
        self._counted: dict[tuple[str, str], set[str]] = {}

    def plant(self) -> None:
        planted = [
            post_document(author_id=who, text="", created_at=START, random_bits=n) for n, who in enumerate(self._people)
        ]
        self._storage.plant(POSTS, *({**post} for post in planted))

    def next(self) -> Wish:
        wish = self._next(list(self._wishes), list(self._storage.committed(POSTS)))
        self._wishes.setdefault(wish)
        return wish

    def _next(self, wishes: list[Wish], posts: list[str]) -> Wish:
        random, name = self._random, f"c{len(wishes)}"
        actor = random.choice(self._people)
        if wishes and random.random() < 0.2:
            return random.choice(wishes)
        (kind,) = random.choices(list(_KINDS), list(_KINDS.values()))
        # Most are about the first posts, so that many are about the same.
        about = random.choice(posts[:3] if random.random() < 0.8 else posts) if posts else None
        if about is None:
            return Wish(Kind.POST, actor, name)
        if kind is not Kind.POST:
            return Wish(kind, actor, "", about, random.random() < 0.7)
        earlier = [wish for wish in wishes if wish.kind is Kind.POST and wish.client_id]
        if earlier and random.random() < 0.15:
            return replace(random.choice(earlier), post_id=about)
        # Without a client id every request is a post of its own.
        return Wish(kind, actor, name if random.random() < 0.8 else "", about if random.random() < 0.6 else None)

    def audit(self, changes: Changes) -> None:
        touched: set[str] = set()
        for (name, id), document in changes.items():
            if name in COUNTERS:
                touched.add(self._count(COUNTERS[name], id.split(":", 1)[1], id, document is not None))
            elif name == POSTS:
                touched.add(id)
                parents = [each["reply_to_id"] for each in self._both(id, document) if each["reply_to_id"]]
                touched |= {self._count("reply_count", parent, id, document is not None) for parent in parents}
        for id in touched:
            post = self._storage.get(POSTS, id)
            for counter in ("like_count", "repost_count", "reply_count"):
                there = len(self._counted.get((counter, id), ()))
                if post is not None and post[counter] != there:
                    self._problems.append(f"{counter} says {post[counter]} of {there}")

    def _both(self, id: str, document: Document | None) -> Iterable[Document]:
        """The post as it is, or as it was before it went."""
        versions = self._storage.seen_since(POSTS, id, self._storage.stamp - 1)
        return [document] if document is not None else [each for each in versions if each is not None]

    def _count(self, counter: str, post_id: str, id: str, there: bool) -> str:
        of_post = self._counted.setdefault((counter, post_id), set())
        of_post.discard(id)
        if there:
            of_post.add(id)
        return post_id

    def answered(self, wish: Wish, outcome: object, asked: Asked) -> str:
        if wish.kind is Kind.POST and isinstance(outcome, dict):
            id = outcome["_id"]
            key = (wish.actor, wish.client_id or id)
            if self._told.setdefault(key, id) != id:
                self._problems.append(f"one client id, two posts: {wish}")
            if all(each is None for each in self._storage.seen_since(POSTS, id, 0)):
                self._problems.append(f"acknowledged and not there: {wish}")
        elif wish.kind is Kind.DELETE and self._storage.get(DELETED, wish.post_id or "") is None:
            self._problems.append(f"acknowledged and not gone: {wish}")
        elif wish.kind in (Kind.REACT, Kind.TAKE_BACK):
            self._reacted(wish, asked)
        return "done"

    def _reacted(self, wish: Wish, asked: Asked) -> None:
        seen = self._storage.seen_since(wish.reaction.collection, wish.pair, asked.stamp)
        held = any((each is not None) == (wish.kind is Kind.REACT) for each in seen)
        # Within one batch a reaction may come and go again, so that no commit ever shows it.
        opposite = replace(wish, kind=Kind.TAKE_BACK if wish.kind is Kind.REACT else Kind.REACT)
        if not held and opposite not in self._wishes:
            self._problems.append(f"acknowledged and never so: {wish}")

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        gone = wish.post_id is not None and None in self._storage.seen_since(POSTS, wish.post_id, asked.stamp)
        again = {"author_id": wish.actor, "client_id": wish.client_id}
        if wish.kind is Kind.POST and wish.client_id:
            gone = gone or bool(self._storage.find(DELETED, again, None))
        if not isinstance(error, NotFoundError) or not gone:
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        return None

    async def finish(self, process: Process) -> None:
        return None

    async def check(self, process: Process) -> None:
        made: dict[tuple[str, str], str] = {}
        for name in (POSTS, DELETED):
            for id, post in self._storage.committed(name).items():
                if made.setdefault((post["author_id"], post["client_id"] or id), id) != id:
                    self._problems.append(f"two posts of {post['author_id']} are {post['client_id']}")
        for key, id in self._told.items():
            if made.get(key) != id:
                self._problems.append(f"acknowledged and not there: {key}")

    def counts(self) -> dict[str, int]:
        reactions = sum(len(self._storage.committed(name)) for name in COUNTERS)
        return {"posts": len(self._storage.committed(POSTS)), "reactions to posts": reactions}
