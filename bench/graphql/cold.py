"""What an operation costs that was never seen before, and the second time, beside graphql-core alone."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from inspect import isawaitable
from pathlib import Path
from statistics import median
from typing import Any, Final

from graphql import ExecutionResult, execute, parse, validate

from gateway.app import Gateway, open_gateway
from gateway.execution.requests import OperationRequest
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment, MongoDriver, Settings
from resolvers.context import Viewer

from .operations import READS, read
from .town import DATABASE, Town

# Distinct documents of each query: enough for a median, few enough that all of them stay in the caches.
DOCUMENTS: Final = 60

Way = Callable[[OperationRequest], Awaitable[object]]


async def cold(folder: Path, uri: str, driver: str, town: Town) -> dict[str, dict[str, float]]:
    """By query the medians over 60 documents that differ in a comment, µs of this thread's processor time: `first` and
    `second` use by the gateway, the latter with compiling, `graphql_core` once parsed, validated and executed by
    graphql-core alone, and `first_vs_graphql_core`. The three take turns, document by document.
    """
    settings = Settings(data_dir=folder, database=DATABASE, mongo_driver=MongoDriver(driver))
    issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
    async with open_gateway(settings, uri, issuer=issuer) as gateway:
        ways: Mapping[str, Way] = {
            "first": lambda request: _by_gateway(gateway, town, request),
            "second": lambda request: _by_gateway(gateway, town, request),
            "graphql_core": lambda request: _by_graphql_core(gateway, town, request),
        }
        return {name: await _measured(name, town, ways) for name in READS}


async def _measured(name: str, town: Town, ways: Mapping[str, Way]) -> dict[str, float]:
    took: dict[str, list[float]] = {way: [] for way in ways}
    asked = json.loads(read(name, town).body)
    for number in range(DOCUMENTS):
        request = OperationRequest(f"# {number}\n{asked['query']}", variables=asked["variables"])
        for way, run in ways.items():
            began = time.thread_time()
            await run(request)
            took[way].append((time.thread_time() - began) * 1e6)
    # The first documents also warm up what is not theirs.
    medians = {way: round(median(times[DOCUMENTS // 4 :]), 1) for way, times in took.items()}
    return {**medians, "first_vs_graphql_core": round(medians["first"] / medians["graphql_core"], 3)}


async def _by_gateway(gateway: Gateway, town: Town, request: OperationRequest) -> object:
    prepared = gateway.graph.prepare(request)
    return _right(await gateway.graph.execute(prepared, gateway.contexts.of_viewer(Viewer("person", town.reader.id))))


async def _by_graphql_core(gateway: Gateway, town: Town, request: OperationRequest) -> object:
    schema = gateway.graph.graph.graphql_schema
    document = parse(request.query)
    if errors := validate(schema, document):
        raise errors[0]
    context = replace(gateway.contexts.of_viewer(Viewer("person", town.reader.id)), loaders={})
    made: Any = execute(schema, document, context_value=context, variable_values=dict(request.variables))
    found: ExecutionResult = await made if isawaitable(made) else made
    return _right({"data": found.data, **({"errors": found.errors} if found.errors else {})})


def _right(answer: Mapping[str, Any]) -> object:
    if answer.get("errors"):
        raise RuntimeError(f"a query is not answered well: {answer['errors']}")
    return answer["data"]
