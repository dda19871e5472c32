"""Every operation over the whole graph and a real database answers compiled as it does by graphql-core."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

import pytest
import pytest_asyncio
from graphql import ArgumentNode, DocumentNode, StringValueNode, Visitor, print_ast, visit
from hypothesis import Phase, given, settings
from hypothesis.strategies import just
from hypothesis_graphql import nodes, queries

from datastores.errors import UnavailableError
from datastores.mongo import Database, Document, Filter
from gateway.execution.executor import COMPILED
from gateway.execution.requests import OperationRequest
from gateway.identity.identities import Person
from gateway.settings import DEVELOPMENT_ISSUER
from resolvers.context import Context
from schema.graph import whole_graph
from tests.contract.town import Town
from tests.differential.comparing import RawExecutor, answers, differences
from tests.differential.operations import OperationWriter

OPERATIONS = 300
FAULTY_OPERATIONS = 300
GENERATED = 100
NOW = datetime(2026, 6, 1, 12, 0, 0)

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    # Where an error ends a selection, graphql-core leaves calls of its own behind that have not begun.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine:pytest.PytestUnraisableExceptionWarning"),
]

TEXTS: dict[str, list[str]] = {
    "first": ["0", "1", "2", "3"],
    "last": ["1", "2"],
    "String": ['"a"', '""', '"the"'],
    "Int": ["0", "1", "7"],
    "Boolean": ["true", "false"],
    "DateTime": ['"2026-01-31T12:00:00Z"'],
    "Decimal": ['"12.50"'],
    "BigInt": ['"1"', '"42"'],
    "CurrencyCode": ['"EUR"', '"XXX"'],
    "Cursor": ['"nowhere"', "null"],
    "URL": ['"https://example.com/a"'],
    "handle": ['"alice"', '"bob"', '"nobody"'],
}
SCALARS = {
    "DateTime": "2026-01-31T12:00:00Z",
    "Decimal": "12.50",
    "BigInt": "42",
    "CurrencyCode": "EUR",
    "Cursor": "nowhere",
    "URL": "https://example.com/a",
}


class FailingDatabase(Database):
    """The town's database, where reads of some collections fail, and some documents are not there.

    Which they are follows from the seed, whoever asks and whatever is asked together.
    """

    def __init__(self, database: Database, seed: int) -> None:
        super().__init__(database._client, database.name, database.driver, database._wire)
        self._seed = seed

    async def find(self, collection: str, filter: Filter, **options: Any) -> list[Document]:
        self._fail(collection)
        return self._some(await super().find(collection, filter, **options))

    async def aggregate(self, collection: str, pipeline: Sequence[Filter], **options: Any) -> list[Document]:
        self._fail(f"aggregate {collection}")
        return self._some(await super().aggregate(collection, pipeline, **options))

    def _fail(self, place: str) -> None:
        if self._dice(place) % 12 == 0:
            raise UnavailableError("Try again") if self._dice(f"which {place}") % 2 else RuntimeError("a secret")

    def _some(self, documents: list[Document]) -> list[Document]:
        return [each for each in documents if self._dice(str(each.get("_id"))) % 15]

    def _dice(self, place: str) -> int:
        return int.from_bytes(blake2b(f"{self._seed} {place}".encode(), digest_size=8).digest())


class Compared:
    """The town's graph, twice: by graphql-core, and compiled."""

    def __init__(self, town: Town, ids: Sequence[str]) -> None:
        graph = whole_graph()
        self.ran: Counter[str] = Counter()
        self.ids = list(ids)
        self._town = town
        self._reference = RawExecutor(graph, compiles=False)
        self._compiled = RawExecutor(graph, compiles=True)
        self._possible = RawExecutor(graph, compiles=False, propagates=False)
        self._compiled.documents = self._possible.documents = self._reference.documents
        texts = {name: [f'"{id}"' for id in self.ids] for name in ("ID", "id")}
        self.writer = OperationWriter(graph.graphql_schema, TEXTS | texts, ("query",))

    async def differences(self, text: str, variables: dict[str, Any], seed: int | None) -> list[str]:
        """Where the answers to a query differ; with a seed, over a database that fails."""
        request = OperationRequest(text, variables=variables, persisted=True)
        who = ("alice", "bob", None)[len(text) % 3]
        reference = await answers(self._reference, request, await self._context(who, seed))
        self._compiled.ran.clear()
        compiled = await answers(self._compiled, request, await self._context(who, seed))
        self.ran.update(self._compiled.ran)
        possible = []
        if reference != compiled:
            possible = await answers(self._possible, request, await self._context(who, seed))
        return [str(each) for each in differences(reference, compiled, possible)]

    async def _context(self, who: str | None, seed: int | None) -> Context:
        contexts = self._town.gateway.contexts
        identity: Any = Person(DEVELOPMENT_ISSUER, who, who, None, 2e9) if who else None
        context = replace(await contexts.open(identity, "compare"), now=lambda: NOW)
        return context if seed is None else replace(context, database=FailingDatabase(context.database, seed))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def compared(town: Town) -> Compared:
    database = town.gateway.database
    collections = ("users", "posts", "conversations", "messages", "accounts", "transfers", "merchants", "listings")
    ids = ["nothing", "usr_01ARZ3NDEKTSV4RRFFQ69G5FAV"]
    for collection in (*collections, "orders", "notifications", "payment_requests"):
        ids += [str(each["_id"]) for each in await database.find(collection, {}, limit=4)]
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    return Compared(town, ids)


async def test_every_query_answers_the_same(compared: Compared) -> None:
    for seed in range(OPERATIONS):
        written = compared.writer.write(seed)

        found = await compared.differences(written.text, written.variables, None)

        assert found == [], f"seed {seed}: {written.text}\n{written.variables}"
    # Others ask for what fails by its arguments, or depends on a service that is not connected here.
    assert compared.ran[COMPILED] > OPERATIONS * 0.5, compared.ran


async def test_it_answers_the_same_where_reads_fail(compared: Compared) -> None:
    for seed in range(OPERATIONS, OPERATIONS + FAULTY_OPERATIONS):
        written = compared.writer.write(seed)

        found = await compared.differences(written.text, written.variables, seed)

        assert found == [], f"seed {seed}: {written.text}\n{written.variables}"


async def test_queries_that_another_generator_makes_answer_the_same(compared: Compared) -> None:
    made: list[str] = []

    @settings(max_examples=GENERATED, phases=[Phase.generate], database=None, derandomize=True)
    @given(
        queries(
            whole_graph().as_str(),
            custom_scalars={name: just(nodes.String(text)) for name, text in SCALARS.items()},
            print_ast=lambda document: with_ids(document, compared.ids),
        )
    )
    def make(query: str) -> None:
        made.append(query)

    make()
    for number, query in enumerate(made):
        found = await compared.differences(query, {}, number if number % 2 else None)

        assert found == [], query
    assert len(made) >= GENERATED / 2


def with_ids(document: DocumentNode, ids: Sequence[str]) -> str:
    """The text of a document whose arguments for ids are ids that there are."""

    class Exchange(Visitor):
        def enter_argument(self, node: ArgumentNode, *_: Any) -> ArgumentNode | None:
            if node.name.value != "id" or not isinstance(node.value, StringValueNode):
                return None
            known = ids[len(node.value.value) % len(ids)]
            return ArgumentNode(name=node.name, value=StringValueNode(value=known))

    return print_ast(visit(document, Exchange()))
