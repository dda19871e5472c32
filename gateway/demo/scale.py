"""Plants a town of any size: the same people, posts, follows and likes for the same number, and no more than once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar

from datastores import accounts, posts
from datastores.mongo import Database

from .script import REMARKS, REPLIES

SEED: Final = 1976
MAX_POSTS: Final = 1_000_000
CHUNK: Final = 5_000
POSTS_A_PERSON: Final = 100
FOLLOWS_A_PERSON: Final = 40
DAYS: Final = 365
# Fixed, so that ids, which carry the time, are the same whenever a town is planted.
BEGINNING: Final = datetime(2025, 6, 1)  # noqa: DTZ001  # documents hold naive UTC
FIRST_NAMES: Final = ("Ada", "Bela", "Chidi", "Dora", "Emil", "Fatou", "Goro", "Hana", "Ines", "Jonas", "Kaya", "Liam")
LAST_NAMES: Final = ("Abbot", "Bauer", "Costa", "Diallo", "Eriksen", "Fonseca", "Gupta", "Horvat", "Ito", "Jensen")

OnPlanted = Callable[[str, int], None]
T = TypeVar("T")


def amounts(scale: int) -> dict[str, int]:
    """How many of each kind a town of `scale` posts has."""
    people = max(10, min(10_000, scale // POSTS_A_PERSON))
    follows = people * sum(1 for offset in _offsets(people) if offset)
    return {"people": people, "follows": follows, "posts": scale, "likes": scale}


async def plant_at_scale(database: Database, scale: int, on_planted: OnPlanted) -> None:
    """Plant `scale` posts, at most 1,000,000, with people, follows and likes; what is there already stays as it is.

    `on_planted` is told the kind and how many more of it are there.
    """
    if not 0 < scale <= MAX_POSTS:
        raise ValueError(f"scale must be 1 to {MAX_POSTS}")
    size = amounts(scale)
    people = list(_people(size["people"]))
    await accounts.insert_users(database, people)
    on_planted("people", len(people))
    ids = [person["_id"] for person in people]
    for follows in _chunks(_follows(ids)):
        await accounts.insert_follows(database, follows)
        on_planted("follows", len(follows))
    likes = random.Random(SEED + 3)  # the same town each time
    for written in _chunks(_posts(ids, scale)):
        await posts.insert_posts(database, written)
        on_planted("posts", len(written))
        liked = [_like(likes, ids, likes.choice(written)) for _ in written]
        await posts.insert_likes(database, list({like["_id"]: like for like in liked}.values()))
        on_planted("likes", len(written))


def _people(count: int) -> Iterator[Any]:
    chance = random.Random(SEED)
    for place in range(count):
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        yield accounts.user_document(
            handle=f"{first.lower()}_{last.lower()}_{place}",
            display_name=f"{first} {last}",
            bio=chance.choice(REMARKS),
            created_at=BEGINNING - timedelta(minutes=count - place),
            random_bits=chance.getrandbits(80),
        )


def _follows(ids: list[str]) -> Iterator[Any]:
    chance = random.Random(SEED + 1)
    for place, one in enumerate(ids):
        for offset in _offsets(len(ids)):
            if offset:
                at = BEGINNING + timedelta(seconds=chance.randrange(86_400))
                yield accounts.follow_document(one, ids[(place + offset) % len(ids)], at)


def _offsets(count: int) -> list[int]:
    # Squares, so that some are followed by many more than others follow them back.
    steps = range(1, min(FOLLOWS_A_PERSON, count - 1) + 1)
    return list(dict.fromkeys(step * step % count for step in steps))


def _posts(ids: list[str], count: int) -> Iterator[Any]:
    chance = random.Random(SEED + 2)
    step = timedelta(days=DAYS) / count
    answered: Any = None
    for place in range(count):
        at = BEGINNING + step * place
        # Few write much and many write little, as people do.
        author = ids[int(len(ids) * chance.random() ** 3)]
        answers = answered is not None and chance.random() < 0.2
        post = posts.post_document(
            author_id=author,
            text=chance.choice(REPLIES) if answers else chance.choice(REMARKS),
            created_at=at.replace(microsecond=at.microsecond // 1000 * 1000),
            reply_to_id=answered["_id"] if answers else None,
            root_id=(answered["root_id"] or answered["_id"]) if answers else None,
            random_bits=chance.getrandbits(80),
        )
        if chance.random() < 0.1:
            answered = post
        yield post


def _like(chance: random.Random, ids: list[str], post: Any) -> Any:
    return posts.reaction_document(chance.choice(ids), post["_id"], post["created_at"] + timedelta(minutes=9))


def _chunks(items: Iterator[T]) -> Iterator[list[T]]:
    while chunk := list(islice(items, CHUNK)):
        yield chunk
