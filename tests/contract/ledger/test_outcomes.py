"""Every outcome of the table provoked alone, and every two that can hold at once: the first of them is the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from datastores import ledger
from tests.contract.ledger.outcomes import (
    MUTATIONS,
    OUTCOMES,
    Outcome,
    outcomes_of,
    pairs_of,
)
from tests.contract.ledger.plays import Alone, Below, play_all, play_alone, play_below
from tests.contract.ledger.provocations import PROVOCATIONS
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = [(mutation, outcome) for mutation in MUTATIONS for outcome in outcomes_of(mutation)]
PAIRS = [(mutation, higher, lower) for mutation in MUTATIONS for higher, lower in pairs_of(mutation)]
R = TypeVar("R")
OneOf = tuple[str, Outcome]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(town: Town, request: pytest.FixtureRequest) -> dict[OneOf, Alone | Exception]:
    """What each outcome by itself was answered."""
    wanted = [(each["mutation"], each["outcome"]) for each in selected(request, "test_alone")]
    return await play_all(town, wanted, lambda cast, one: play_alone(cast, *one))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def below(town: Town, request: pytest.FixtureRequest) -> dict[OneOf, Below | Exception]:
    """What was answered while each outcome held beside those that take precedence over it."""
    wanted: dict[OneOf, list[Outcome]] = {}
    for each in selected(request, "test_two_at_once"):
        wanted.setdefault((each["mutation"], each["lower"]), []).append(each["higher"])
    return await play_all(town, list(wanted), lambda cast, one: play_below(cast, *one, wanted[one]))


@pytest.mark.parametrize(("mutation", "outcome"), ALONE, ids=[f"{m}-{outcome.name}" for m, outcome in ALONE])
async def test_alone(alone: dict[OneOf, Alone | Exception], mutation: str, outcome: Outcome) -> None:
    played = result(alone, (mutation, outcome))

    assert played.first.is_(outcome), played.first
    assert played.again == played.first
    assert played.kept is (outcome.kept == "yes")
    if played.kept:
        assert played.after == played.first
    else:
        assert played.after.succeeded
        assert not played.after.replayed


@pytest.mark.parametrize(
    ("mutation", "higher", "lower"), PAIRS, ids=[f"{m}-{higher.name}-over-{lower.name}" for m, higher, lower in PAIRS]
)
async def test_two_at_once(
    below: dict[OneOf, Below | Exception], mutation: str, higher: Outcome, lower: Outcome
) -> None:
    played = result(below, (mutation, lower))

    assert played.both[higher.name].is_(higher), played.both[higher.name]
    assert played.left.is_(lower), played.left


async def test_after_all_that_the_ledger_holds(town: Town) -> None:
    report = await ledger.verify(town.gateway.database)

    assert report.problems == []


async def test_every_outcome_has_a_provocation() -> None:
    assert set(PROVOCATIONS) == {outcome.name for outcome in OUTCOMES}


def selected(request: pytest.FixtureRequest, test: str) -> Iterator[Mapping[str, Any]]:
    """The parameters of each test of this name that is to run."""
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.originalname == test and item.path == request.path:
            yield item.callspec.params


def result(results: Mapping[Any, R | Exception], what: object) -> R:
    """What became of one of them; raises where its play failed."""
    found = results[what]
    if isinstance(found, Exception):
        raise found
    return found
