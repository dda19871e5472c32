"""Posts: what people write, like and repost, and the timelines made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymongo import IndexModel

from . import posts, reactions
from .marks import MAX_HASHTAGS, MAX_MENTIONS, hashtag, hashtags_in, mentions_in, query_tokens
from .posts import (
    DELETED,
    MAX_TEXT,
    POSTS,
    PostDocument,
    by_client_id,
    by_ids,
    create,
    delete,
    ids_of_author,
    insert_posts,
    of_authors,
    post_document,
    replies,
    search,
)
from .reactions import (
    LIKE,
    LIKES,
    REPOST,
    REPOSTS,
    Reaction,
    ReactionDocument,
    insert_likes,
    insert_reposts,
    react,
    reacted,
    reaction_document,
    take_back,
)
from .timelines import MAX_AUTHORS, home

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {**posts.INDEXES, **reactions.INDEXES}

__all__ = [
    "DELETED",
    "INDEXES",
    "LIKE",
    "LIKES",
    "MAX_AUTHORS",
    "MAX_HASHTAGS",
    "MAX_MENTIONS",
    "MAX_TEXT",
    "POSTS",
    "REPOST",
    "REPOSTS",
    "PostDocument",
    "Reaction",
    "ReactionDocument",
    "by_client_id",
    "by_ids",
    "create",
    "delete",
    "hashtag",
    "hashtags_in",
    "home",
    "ids_of_author",
    "insert_likes",
    "insert_posts",
    "insert_reposts",
    "mentions_in",
    "of_authors",
    "post_document",
    "query_tokens",
    "react",
    "reacted",
    "reaction_document",
    "replies",
    "search",
    "take_back",
]
