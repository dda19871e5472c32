"""Erasures: how far the erasure of a person has come, kept on their user so that a crash leaves nothing half done."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from datastores.ids import new_id
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


async def begin_erasure(database: Database, user_id: str, now: datetime) -> str:
    """Note that a person is being erased, unless there is no way back already; the attempt's id, for its end.

    Of several attempts the last one has it: an earlier one can neither take it back nor commit it any more.
    """
    attempt = new_id("era")
    erasure = {"state": ErasureState.CLOSING.value, "since": now, "attempt": attempt}
    open = {"_id": user_id, "erased_at": None, "erasure.state": {"$ne": ErasureState.ERASING.value}}
    await database.update_one(USERS, open, {"$set": {"erasure": erasure}})
    return attempt


async def revert_erasure(database: Database, user_id: str, attempt: str) -> None:
    """Forget that a person was to be erased, where this attempt still has it."""
    await database.update_one(USERS, _closing(user_id, attempt), {"$unset": {"erasure": ""}})


async def commit_erasure(database: Database, user_id: str, now: datetime, attempt: str) -> bool:
    """From here on there is no way back; False where this attempt does not have it any more."""
    erasure = {"state": ErasureState.ERASING.value, "since": now}
    update = {"$set": {"erasure": erasure}}
    return (await database.update_one(USERS, _closing(user_id, attempt), update)).matched_count > 0


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


def _closing(user_id: str, attempt: str) -> dict[str, Any]:
    return {"_id": user_id, "erasure.state": ErasureState.CLOSING.value, "erasure.attempt": attempt}
