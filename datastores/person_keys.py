"""Person keys: one key a person, under which what is personal beside the ledger lies; destroying it erases all of that.

A key lies wrapped under the master key. Processes remember keys for a bounded time, so a key that was destroyed is
forgotten everywhere 30 s later.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict

from pymongo import IndexModel

from .errors import UnauthenticatedError
from .mongo import Database, Document
from .sealing import SealingKey

PERSON_KEYS: Final = "person_keys"
MAX_REMEMBERED: Final = 20_000
REMEMBERED_S: Final = 30.0
INDEXES: Mapping[str, Sequence[IndexModel]] = {PERSON_KEYS: []}


class PersonKeyDocument(TypedDict):
    """The key of the person `_id`, wrapped; `wrapped` is None once it is destroyed, which is for ever."""

    _id: str
    wrapped: bytes | None
    created_at: datetime
    destroyed_at: datetime | None


class SealedText(TypedDict):
    """A text that is sealed under the key of the person who wrote it."""

    person_id: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class _Remembered:
    key: SealingKey | None
    until: float


class PersonKeys:
    """The keys of people under one master key, at most 20,000 of them remembered, each for 30 s."""

    def __init__(self, master: SealingKey | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._master = master
        self._clock = clock
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()

    @property
    def master(self) -> SealingKey:
        """The master key; raises RuntimeError where this process was given none."""
        if self._master is None:
            raise RuntimeError("there is no master key here")
        return self._master

    async def key(self, database: Database, person_id: str, now: datetime) -> SealingKey:
        """The key of a person, made at its first use; raises UnauthenticatedError where it was destroyed."""
        known = await self.keys(database, [person_id])
        if person_id not in known:
            wrapped = self.master.seal(SealingKey.generate().raw, _about(person_id))
            document = {"wrapped": wrapped, "created_at": now, "destroyed_at": None}
            await database.update_one(PERSON_KEYS, {"_id": person_id}, {"$setOnInsert": document}, upsert=True)
            # Another process may have made it in the same moment: what is stored counts.
            known = await self.keys(database, [person_id])
        if (key := known[person_id]) is None:
            raise UnauthenticatedError("This person has been erased: sign in again to begin anew")
        return key

    async def keys(self, database: Database, person_ids: Sequence[str]) -> dict[str, SealingKey | None]:
        """The keys of those who have one, None where it was destroyed; at most one read. Raises WrongKeyError."""
        now, out = self._clock(), dict[str, SealingKey | None]()
        for id in dict.fromkeys(person_ids):
            if (known := self._remembered.get(id)) is not None and known.until > now:
                out[id] = known.key
        missing = [id for id in dict.fromkeys(person_ids) if id not in out]
        for found in await database.by_ids(PERSON_KEYS, missing):
            if found is not None:
                out[found["_id"]] = self._remember(found, now)
        return out

    async def open(self, database: Database, texts: Sequence[SealedText | None]) -> list[bytes | None]:
        """What was sealed, each; None for nothing and for what is of an erased person; at most one read."""
        keys = await self.keys(database, [text["person_id"] for text in texts if text is not None])
        out: list[bytes | None] = []
        for text in texts:
            key = None if text is None else keys.get(text["person_id"])
            out.append(None if text is None or key is None else key.open(text["sealed"], text["person_id"]))
        return out

    def forget(self, person_id: str) -> None:
        """Read the key of this person anew when it is next asked for."""
        self._remembered.pop(person_id, None)

    def _remember(self, found: Document, now: float) -> SealingKey | None:
        id, wrapped = found["_id"], found["wrapped"]
        key = None if wrapped is None else SealingKey(self.master.open(wrapped, _about(id)))
        self._remembered[id] = _Remembered(key, now + REMEMBERED_S)
        self._remembered.move_to_end(id)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return key


def sealed_text(plain: bytes, person_id: str, key: SealingKey) -> SealedText:
    """What `PersonKeys.open` opens again, sealed under the key of this person."""
    return {"person_id": person_id, "sealed": key.seal(plain, person_id)}


async def destroy_key(database: Database, person_id: str, now: datetime) -> None:
    """Destroy the key of a person, whether or not there was one: none is ever made for them again. Twice is once."""
    kept = {"$ifNull": ["$created_at", now]}
    first = {"$ifNull": ["$destroyed_at", now]}
    destroyed = {"wrapped": None, "created_at": kept, "destroyed_at": first}
    await database.update_one(PERSON_KEYS, {"_id": person_id}, [{"$set": destroyed}], upsert=True)


def _about(person_id: str) -> str:
    return f"key of {person_id}"
