"""What the commit loop does with each error of the database, one after the other, in virtual time."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from pymongo.errors import BulkWriteError, PyMongoError

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.errors import OutcomeUnknownError, UnavailableError
from datastores.mongo.transactions import MAX_DUPLICATES
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import UNKNOWN, Faults, Trace, conflict, duplicate, lost_connection
from tests.simulation.scheduler import run
from tests.simulation.storage import Storage, Transaction

CONFLICT = conflict("planned")
DUPLICATE = duplicate("planned", ())
LOST = lost_connection(UNKNOWN)


class PlannedDatabase(SimulatedDatabase):
    """Answers its first commits by these errors, in this order, without committing."""

    def __init__(self, storage: Storage, errors: list[PyMongoError]) -> None:
        super().__init__(storage, Faults(Random(0), 0.0), Trace(), "process")
        self.errors = errors

    async def commit(self, transaction: Transaction) -> None:
        if self.errors:
            error = self.errors.pop(0)
            if error is not LOST:
                self._storage.abort(transaction)
            raise error
        await super().commit(transaction)


def open_wallet(errors: list[PyMongoError], timeout_s: float = 100.0) -> tuple[int, float, int]:
    """Wallets at the end, virtual seconds that it took, tries that the loop made."""

    async def main() -> tuple[int, float, int]:
        clock = asyncio.get_running_loop().time
        storage = Storage(ledger.INDEXES, Random(0), clock)
        loop = CommitLoop(PlannedDatabase(storage, errors), "ledger", jitter=lambda: 1.0, clock=clock)
        await loop.submit(ledger.OpenWallet("ann", "EUR"), timeout_s=timeout_s)
        return len(storage.committed("accounts")), clock(), loop.statistics.attempts

    return run(main)


@pytest.mark.parametrize(
    ("errors", "tries"),
    [
        ([], 1),
        ([CONFLICT] * 20, 21),
        ([DUPLICATE] * (MAX_DUPLICATES - 1), MAX_DUPLICATES),
        ([CONFLICT] * 10 + [DUPLICATE] * (MAX_DUPLICATES - 1) + [CONFLICT] * 10, 20 + MAX_DUPLICATES),
        ([LOST] * 5, 1),
        ([LOST, CONFLICT, LOST], 2),
    ],
)
def test_it_tries_again_until_it_is_done(errors: list[PyMongoError], tries: int) -> None:
    wallets, _, made = open_wallet(list(errors))

    assert (wallets, made) == (1, tries)


def test_a_duplicate_that_does_not_go_away_is_an_error() -> None:
    with pytest.raises(BulkWriteError):
        open_wallet([DUPLICATE] * 1_000)


def test_a_database_that_is_gone_for_long_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        open_wallet([CONFLICT] * 10_000)


@pytest.mark.parametrize("timeout_s", [10.0, 100.0])
def test_a_commit_that_is_never_confirmed_has_an_unknown_outcome(timeout_s: float) -> None:
    with pytest.raises(OutcomeUnknownError):
        open_wallet([LOST] * 10_000, timeout_s)
