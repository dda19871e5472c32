"""Erasures: how far the erasure of a person has come, kept on their user so that a crash leaves nothing half done."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from datastores.mongo import Database, Document

from .users import USERS

ERASED_NAME: Final = "Erased person"


class ErasureState(StrEnum):
    """CLOSING can still be taken back; from ERASING on there is no way back."""

    CLOSING = "CLOSING"
    ERASING = "ERASING"


def erased_handle(user_id: str) -> str:
    """The handle of a person who has been erased: follows from their id, and has 27 characters."""
    return f"erased_{user_id[-20:].lower()}"


async def begin_erasure(database: Database, user_id: str, now: datetime) -> None:
    """Note that a person is being erased, unless they are already."""
    erasure = {"state": ErasureState.CLOSING.value, "since": now}
    await database.update_one(
        USERS, {"_id": user_id, "erasure": None, "erased_at": None}, {"$set": {"erasure": erasure}}
    )


async def revert_erasure(database: Database, user_id: str) -> None:
    """Forget that a person was to be erased, where that is still possible."""
    await database.update_one(
        USERS, {"_id": user_id, "erasure.state": ErasureState.CLOSING.value}, {"$unset": {"erasure": ""}}
    )


async def commit_erasure(database: Database, user_id: str, now: datetime) -> None:
    """From here on there is no way back."""
    erasure = {"state": ErasureState.ERASING.value, "since": now}
    await database.update_one(
        USERS, {"_id": user_id, "erasure.state": ErasureState.CLOSING.value}, {"$set": {"erasure": erasure}}
    )


async def blank_profile(database: Database, user_id: str, now: datetime) -> None:
    """Take all that is personal out of a profile. Doing so twice is once."""
    blank: dict[str, Any] = {
        "handle": erased_handle(user_id),
        "display_name": ERASED_NAME,
        "bio": None,
        "avatar_url": None,
        "verified": False,
        "tokens": [],
        "erased_at": {"$ifNull": ["$erased_at", now]},
    }
    await database.update_one(USERS, {"_id": user_id}, [{"$set": blank}])


async def end_erasure(database: Database, user_id: str) -> None:
    """Note that nothing is left to do."""
    await database.update_one(
        USERS, {"_id": user_id, "erasure.state": ErasureState.ERASING.value}, {"$unset": {"erasure": ""}}
    )


async def users_being_erased(database: Database, limit: int) -> list[Document]:
    """The users whose erasure has begun and not ended, the longest first."""
    return await database.find(
        USERS, {"erasure.since": {"$type": "date"}}, sort=[("erasure.since", 1)], limit=limit, projection={"tokens": 0}
    )
