"""Two processes on one database: a client has one bucket, whichever of them it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from datastores.clock import utc_now
from datastores.mongo import Database
from datastores.sealing import SealingKey
from gateway.budgets import Budgets, Client, CostLimits
from gateway.execution.requests import RequestError
from gateway.persisted import Documents, document_id
from gateway.shared import BudgetExchange, DocumentShelf
from gateway.transports.parameters import Parameters

ANN: Client = ("person", "https://issuer", "ann")
BOB: Client = ("address", "192.0.2.7")
LIMITS = CostLimits(per_request=1_000, bucket=100_000, restore_per_s=1)
PATIENCE_S = 15.0


@pytest.fixture
async def processes(database: Database) -> AsyncIterator[tuple[Budgets, Budgets]]:
    one, other = Budgets(LIMITS), Budgets(LIMITS)
    digest = SealingKey(b"m" * 32).digest
    async with BudgetExchange(database, one, LIMITS, digest), BudgetExchange(database, other, LIMITS, digest):
        yield one, other


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


async def told(database: Database, level: float) -> list[float]:
    """The levels that stand in the database, once the first is as high as this: before, nobody can learn of it."""
    levels: list[float] = []
    async with asyncio.timeout(PATIENCE_S):
        while not levels or levels[0] < level:
            levels = [each["level"] for each in await database.find("budgets", {}, limit=10)]
            await asyncio.sleep(0.01)
    return levels


def spend(budgets: Budgets, client: Client, most: int = 10**9) -> int:
    """What could be taken, in portions."""
    taken = 0
    try:
        while taken < most:
            budgets.take(client, 1_000)
            taken += 1_000
    except RequestError:
        pass
    return taken


async def test_what_is_spent_at_one_is_missing_at_the_other(
    database: Database, processes: tuple[Budgets, Budgets]
) -> None:
    one, other = processes
    spend(one, ANN, 60_000)
    await told(database, 59_000)
    # The other learns of it once it has something to tell itself.
    spend(other, ANN, 1_000)
    await until(lambda: other.state(ANN)["left"] < 40_000)

    left = spend(other, ANN)

    assert left <= 40_000
    assert other.state(BOB)["left"] == LIMITS.bucket


async def test_what_was_given_twice_is_a_debt(database: Database, processes: tuple[Budgets, Budgets]) -> None:
    one, other = processes

    assert spend(one, ANN) == spend(other, ANN) == LIMITS.bucket
    await until(lambda: not (one.is_due.is_set() or other.is_due.is_set()))
    levels = await told(database, 1.9 * LIMITS.bucket)

    for budgets in processes:
        with pytest.raises(RequestError):
            budgets.check(ANN)
    assert len(levels) == 1


async def test_nobody_stands_in_the_database_by_name(database: Database, processes: tuple[Budgets, Budgets]) -> None:
    spend(processes[0], BOB, 5_000)
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await database.find("budgets", {}, limit=10)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert BOB[1] not in str(found)
    assert len(str(found[0]["_id"])) == 64


async def test_a_process_goes_on_where_the_others_cannot_be_told(database: Database) -> None:
    budgets = Budgets(LIMITS)
    async with BudgetExchange(database, budgets, LIMITS, SealingKey(b"m" * 32).digest):
        await database.close()

        spend(budgets, ANN, 5_000)
        await until(lambda: not budgets.is_due.is_set())

    assert budgets.state(ANN)["left"] <= 95_000


async def test_a_document_is_remembered_once_it_was_found(database: Database) -> None:
    text = "{ __typename }"
    id = document_id(text)
    shelf = DocumentShelf(database, utc_now)
    first, second = (Documents({}, automatic=True, shelf=shelf) for _ in range(2))
    named = Parameters(None, id, True, None, {}, {})

    await first.register(Parameters(text, id, True, None, {}, {}))
    await second.fetch(named)
    await database.delete_many("registered_documents", {})

    assert second.request(named).query == text
    await second.fetch(named)
    await second.fetch(Parameters(None, "sha256:nonsense", True, None, {}, {}))


async def test_a_document_that_all_ask_for_at_once_is_remembered_once(database: Database) -> None:
    texts = [f"{{ __typename }} # {n} {'x' * 15_000}" for n in range(2)]
    shelf = DocumentShelf(database, utc_now)
    for text in texts:
        await shelf.keep(document_id(text), text)
    documents = Documents({}, automatic=True, shelf=shelf)
    large, other = (Parameters(None, document_id(text), True, None, {}, {}) for text in texts)

    # Counted each time, it would fill all that there is room for.
    await asyncio.gather(*(documents.fetch(large) for _ in range(600)))
    await documents.fetch(other)

    assert [documents.request(each).query for each in (large, other)] == texts


async def test_a_document_that_cannot_be_looked_for_is_not_found(database: Database) -> None:
    documents = Documents({}, automatic=True, shelf=DocumentShelf(database, utc_now))
    await database.close()
    named = Parameters(None, document_id("{ __typename }"), True, None, {}, {})

    await documents.fetch(named)

    with pytest.raises(RequestError) as refused:
        documents.request(named)
    assert refused.value.code == "PERSISTED_QUERY_NOT_FOUND"
