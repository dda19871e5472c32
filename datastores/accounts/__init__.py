"""People: their profiles, the identities they sign in with, and who follows whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymongo import IndexModel

from . import follows, identities, users
from .erasures import (
    ERASED_NAME,
    ErasureState,
    begin_erasure,
    blank_profile,
    commit_erasure,
    end_erasure,
    erased_handle,
    revert_erasure,
    users_being_erased,
)
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
    follows_of,
    insert_follows,
    unfollow,
)
from .identities import (
    IDENTITIES,
    IdentityDocument,
    end_identity,
    ended_since,
    identities_of,
    identity_document,
    insert_identities,
    sign_up,
    user_of,
)
from .users import (
    USERS,
    ProfileChanges,
    UserDocument,
    by_handles,
    by_ids,
    insert_users,
    is_there,
    search,
    update_profile,
    user_document,
)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {**users.INDEXES, **identities.INDEXES, **follows.INDEXES}

__all__ = [
    "ERASED_NAME",
    "FOLLOWS",
    "IDENTITIES",
    "INDEXES",
    "MAX_FOLLOWING",
    "USERS",
    "ErasureState",
    "FollowDocument",
    "IdentityDocument",
    "ProfileChanges",
    "UserDocument",
    "begin_erasure",
    "blank_profile",
    "by_handles",
    "by_ids",
    "commit_erasure",
    "end_erasure",
    "end_identity",
    "ended_since",
    "erased_handle",
    "follow",
    "follow_document",
    "followed_ids",
    "followers",
    "following",
    "follows_among",
    "follows_of",
    "identities_of",
    "identity_document",
    "insert_follows",
    "insert_identities",
    "insert_users",
    "is_there",
    "revert_erasure",
    "search",
    "sign_up",
    "unfollow",
    "update_profile",
    "user_document",
    "user_of",
    "users_being_erased",
]
