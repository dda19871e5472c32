"""Where the ledger cannot be asked, or has not answered: what a client hears then, and what its key tells later."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure

from datastores import ledger
from datastores.commit import loops
from datastores.local import local_database
from datastores.mongo import Driver
from resolvers.wallets import acting
from tests.contract.acts import eur, key, newcomer
from tests.contract.ledger.cast import Cast, gather_cast
from tests.contract.ledger.outcomes import ERROR, MUTATIONS, Outcome, outcomes_of
from tests.contract.ledger.provocations import PROVOCATIONS
from tests.contract.ledger.trials import Answer, Trial, begin
from tests.contract.town import Town, open_town

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUSY: Final = (ERROR, "RATE_LIMITED")
UNKNOWN: Final = ("OutcomeUnknown", "OUTCOME_UNKNOWN")
ROWS: Final = outcomes_of("transferFunds")
TRANSFERS: Final = 40


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cast(town: Town) -> Cast:
    return await gather_cast(town)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def another_cast(town: Town) -> Cast:
    """Whose money the sweeper still moves: what a rail was not asked at once it is asked later."""
    return await gather_cast(town)


# For what is to be answered in time, whatever else the machine does.
PATIENCE_S: Final = 8.0


@contextmanager
def busy() -> Iterator[None]:
    """As many acts wait as may wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "MAX_WAITING", 0)
        yield


@contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """A request waits only so long for the ledger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acting, "ANSWER_TIMEOUT_S", seconds)
        yield


@asynccontextmanager
async def silent(town: Town, uri: str, patience_s: float = 0.3) -> AsyncIterator[None]:
    """The database reads, but writes nothing into the journal: another transaction holds its next number.

    A request waits so long for the ledger meanwhile.
    """
    async with AsyncMongoClient[dict[str, Any]](uri) as client, client.start_session() as session:
        entries = client[town.gateway.database.name]["entries"]
        while True:
            (last,) = await entries.find().sort("seq", -1).limit(1).to_list()
            await session.start_transaction()
            try:
                next_one = {"_id": key(), "partition": last["partition"], "seq": last["seq"] + 1, "key": key()}
                await entries.insert_one(next_one, session=session)
                break
            except OperationFailure as taken:
                await session.abort_transaction()
                if not isinstance(taken, DuplicateKeyError) and not taken.has_error_label("TransientTransactionError"):
                    raise
        with impatient(patience_s):
            try:
                yield
            finally:
                await session.abort_transaction()


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_full_queue_refuses_at_once_and_uses_no_key(cast: Cast, mutation: str) -> None:
    trial, used = await begin(cast, mutation), key()

    with busy():
        refused = await trial.answer(used)
    accepted = await trial.answer(used)

    assert kind(refused) == BUSY
    assert (accepted.succeeded, accepted.replayed) == (True, False)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_full_queue_beside_each_outcome(cast: Cast, row: Outcome) -> None:
    trial = await begin(cast, "transferFunds")

    async with PROVOCATIONS[row.name](trial):
        with busy():
            answer = await trial.answer()

    if row.kept == "yes" or row.name == "reused":
        assert kind(answer) == BUSY
    else:
        assert answer.is_(row), answer


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_silent_ledger_is_an_unknown_outcome_and_the_key_tells(
    another_cast: Cast, mongodb_uri: str, mutation: str
) -> None:
    trial, used = await begin(another_cast, mutation), key()

    async with silent(another_cast.town, mongodb_uri):
        unknown = await trial.answer(used)
    told = await trial.answer(used)

    assert kind(unknown) == UNKNOWN
    assert told.succeeded
    assert await another_cast.is_kept(used)


@pytest.mark.parametrize("row", [row for row in ROWS if row.kept == "yes"], ids=lambda row: row.name)
async def test_a_silent_ledger_beside_what_it_would_say(cast: Cast, mongodb_uri: str, row: Outcome) -> None:
    trial, used = await begin(cast, "transferFunds"), key()

    async with PROVOCATIONS[row.name](trial):
        async with silent(cast.town, mongodb_uri):
            unknown = await trial.answer(used)
        told = await trial.answer(used)

    assert kind(unknown) == UNKNOWN
    assert told.is_(row), told


async def test_a_replay_writes_nothing_and_is_answered_though_the_ledger_is_silent(
    cast: Cast, mongodb_uri: str
) -> None:
    trial, used = await begin(cast, "transferFunds"), key()
    first = await trial.answer(used)

    async with silent(cast.town, mongodb_uri, PATIENCE_S):
        again = await trial.answer(used)

    assert (again.replayed, again.transfer_id) == (True, first.transfer_id)


@pytest.mark.parametrize("row", [row for row in ROWS if row.kept != "yes"], ids=lambda row: row.name)
async def test_what_writes_nothing_is_answered_though_the_ledger_is_silent(
    cast: Cast, mongodb_uri: str, row: Outcome
) -> None:
    trial = await begin(cast, "transferFunds")

    async with PROVOCATIONS[row.name](trial), silent(cast.town, mongodb_uri, PATIENCE_S):
        answer = await trial.answer()

    assert answer.is_(row), answer


async def test_a_database_that_is_paused_and_every_key_asked_again(mongo_driver: Driver, tmp_path: Path) -> None:
    async with local_database(tmp_path / "data") as local, open_town(local.uri, mongo_driver, tmp_path) as town:
        payer, payee = await newcomer(town, funds="20.00"), await newcomer(town)
        given: dict[str, Any] = {"to": {"handle": payee}, "amount": eur("0.10")}
        trial = Trial(Cast(town, payer, payee, ""), "transferFunds", payer, given)
        keys = [key() for _ in range(TRANSFERS)]
        with impatient(2.0):
            asked = [asyncio.create_task(trial.answer(used)) for used in keys]
            await in_flight(town)
            os.kill(local.pid, signal.SIGSTOP)
            try:
                answers = await asyncio.gather(*asked)
            finally:
                os.kill(local.pid, signal.SIGCONT)
        told = await asyncio.gather(*(trial.answer(used) for used in keys))
        purse = await town.ask(payee, '{ viewer { wallet(currency: "EUR") { posted { amount } } } }')
        report = await ledger.verify(town.gateway.database)

    heard = Counter(kind(answer) for answer in answers if not answer.succeeded)
    assert heard[UNKNOWN] > 0
    assert set(heard) <= {UNKNOWN, (ERROR, "DEADLINE_EXCEEDED"), (ERROR, "INTERNAL")}, heard
    assert all(answer.succeeded for answer in told)
    assert len({answer.transfer_id for answer in told}) == TRANSFERS
    assert purse["viewer"]["wallet"]["posted"]["amount"] == "4.00"
    assert report.problems == []


async def in_flight(town: Town) -> None:
    """Return when a batch of the ledger has begun, before it can have ended."""
    statistics = town.gateway.commits[ledger.COMMIT_LOOP].statistics
    before = statistics.batches
    async with asyncio.timeout(10):
        while statistics.batches == before:  # noqa: ASYNC110
            await asyncio.sleep(0)


def kind(answer: Answer) -> tuple[str, str | None]:
    """Type and code."""
    return answer.type, answer.code
