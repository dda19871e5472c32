"""People: their profiles, the identities they sign in with, and who follows whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymongo import IndexModel

from . import follows, identities, users
from .follows import (
    FOLLOWS,
    MAX_FOLLOWING,
    FollowDocument,
    follow,
    follow_document,
    followed_ids,
    followers,
    following,
    follows_among,
    insert_follows,
    unfollow,
)
from .identities import IDENTITIES, IdentityDocument, identity_document, insert_identities, sign_up, user_of
from .users import (
    USERS,
    ProfileChanges,
    UserDocument,
    by_handles,
    by_ids,
    insert_users,
    search,
    update_profile,
    user_document,
)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {**users.INDEXES, **identities.INDEXES, **follows.INDEXES}

__all__ = [
    "FOLLOWS",
    "IDENTITIES",
    "INDEXES",
    "MAX_FOLLOWING",
    "USERS",
    "FollowDocument",
    "IdentityDocument",
    "ProfileChanges",
    "UserDocument",
    "by_handles",
    "by_ids",
    "follow",
    "follow_document",
    "followed_ids",
    "followers",
    "following",
    "follows_among",
    "identity_document",
    "insert_follows",
    "insert_identities",
    "insert_users",
    "search",
    "sign_up",
    "unfollow",
    "update_profile",
    "user_document",
    "user_of",
]
