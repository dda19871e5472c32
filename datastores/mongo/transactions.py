"""Transactions that run again after a conflict, with a stated limit."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from datastores.errors import OutcomeUnknownError, UnavailableError

from .database import Database
from .sessions import Session
from .types import Document

TRANSACTION_TIMEOUT_S: Final = 10.0
MAX_DUPLICATES: Final = 6
MAX_BATCH: Final = 1_000
_BACKOFF_S: Final = 0.002
_MAX_BACKOFF_S: Final = 0.1
_DUPLICATE_KEY: Final = 11000
T = TypeVar("T")


async def run_transaction(
    database: Database,
    act: Callable[[Session], Awaitable[T]],
    *,
    timeout_s: float = TRANSACTION_TIMEOUT_S,
    jitter: Callable[[], float] = random.random,
) -> T:
    """What `act` returns, committed. Whatever it raises undoes it.

    After a conflict with another transaction `act` runs again, for at most `timeout_s`; after a duplicate key, at most
    6 times. So it makes its ids before, and looks up inside whether it already happened. Raises UnavailableError
    (nothing was written) or OutcomeUnknownError (the commit was not confirmed) when the time is over.
    """
    give_up = time.monotonic() + timeout_s
    attempt = duplicates = 0
    while True:
        attempt += 1
        try:
            async with database.transaction() as session:
                outcome = await act(session)
                await commit(session, give_up, jitter)
                return outcome
        except PyMongoError as error:
            duplicates += is_duplicate(error)
            if not may_retry(error, duplicates):
                raise
            if time.monotonic() > give_up:
                raise UnavailableError("The database is not available now: try again") from error
        await asyncio.sleep(min(_BACKOFF_S * 2 ** min(attempt, 10), _MAX_BACKOFF_S) * jitter())


async def insert_in_batches(
    database: Database,
    collection: str,
    documents: Sequence[Document],
    also: Callable[[Session, list[Document]], Awaitable[None]] | None = None,
) -> int:
    """How many documents were inserted; those whose ids are there already stay as they are.

    Each 1,000 are one transaction, in which `also` writes what belongs to those that were inserted, such as counters.
    """
    inserted = 0
    for at in range(0, len(documents), MAX_BATCH):
        inserted += await _insert_batch(database, collection, documents[at : at + MAX_BATCH], also)
    return inserted


async def _insert_batch(
    database: Database,
    collection: str,
    documents: Sequence[Document],
    also: Callable[[Session, list[Document]], Awaitable[None]] | None,
) -> int:
    ids = {"_id": {"$in": [document["_id"] for document in documents]}}

    async def act(session: Session) -> int:
        found = await database.find(collection, ids, limit=MAX_BATCH, projection={"_id": 1}, session=session)
        there = [document["_id"] for document in found]
        absent = [document for document in documents if document["_id"] not in there] if there else list(documents)
        if absent:
            await database.insert_many(collection, absent, session=session)
            if also is not None:
                await also(session, absent)
        return len(absent)

    return await run_transaction(database, act)


async def add_to_counters(
    database: Database, collection: str, counter: str, ids: Iterable[str], session: Session
) -> None:
    """Add to `counter` of each document how often its id is among `ids`; ids that are not there are passed over."""
    counts = Counter(ids)
    if counts:
        added = {id: {"$inc": {counter: count}} for id, count in sorted(counts.items())}
        await database.update_by_ids(collection, added, session=session)


async def commit(
    session: Session, give_up: float, jitter: Callable[[], float], clock: Callable[[], float] = time.monotonic
) -> None:
    """Commit, and again while the database does not say whether it did.

    Raises OutcomeUnknownError past `give_up` (of `clock`), and the driver's error where nothing was written.
    """
    while True:
        try:
            await session.commit()
            return
        except PyMongoError as error:
            if not is_unknown(error):
                raise
            if clock() > give_up:
                raise OutcomeUnknownError("The database did not confirm: the change may have happened") from error
        await asyncio.sleep(_MAX_BACKOFF_S * jitter())


def may_retry(error: PyMongoError, duplicates: int) -> bool:
    """Whether the same transaction may succeed if it is run again: after a conflict, or one of the first duplicates.

    `duplicates` is how many duplicate keys its tries have met, this one included; conflicts between them do not count.
    """
    return duplicates < MAX_DUPLICATES if is_duplicate(error) else error.has_error_label("TransientTransactionError")


def is_unknown(error: PyMongoError) -> bool:
    """Whether a commit may or may not have happened: it may be sent again, and nothing else may be done."""
    return error.has_error_label("UnknownTransactionCommitResult")


def is_duplicate(error: PyMongoError) -> bool:
    """Whether a unique index refused what was to be written."""
    if isinstance(error, BulkWriteError):
        return any(item.get("code") == _DUPLICATE_KEY for item in (error.details or {}).get("writeErrors", ()))
    return isinstance(error, DuplicateKeyError)
