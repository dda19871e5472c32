"""What HTTP and GraphQL themselves refuse comes before all that the ledger would say, moves nothing and uses no key."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.contract.acts import codes_of, eur, key, newcomer
from tests.contract.ledger.refusals import PAIRS, REFUSALS, Refusal, send
from tests.contract.ledger.trials import read_answer
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def payer(town: Town) -> str:
    return await newcomer(town, funds="5.00")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
async def test_alone(town: Town, payer: str, refusal: Refusal) -> None:
    input: dict[str, Any] = {"idempotencyKey": key(), "to": {"handle": "bob"}, "amount": eur("0.01")}

    refused = await send(town, payer, input, [refusal.name])
    accepted = await send(town, payer, input)

    assert (refused.status_code, set(codes_of(refused))) == (refusal.status, {refusal.code})
    assert "data" not in refused.json()
    answer = read_answer(accepted.json(), "transferFunds")
    assert (answer.succeeded, answer.replayed) == (True, False)


@pytest.mark.parametrize(("higher", "lower"), PAIRS, ids=[f"{a.name}-over-{b.name}" for a, b in PAIRS])
async def test_two_at_once(town: Town, payer: str, higher: Refusal, lower: Refusal) -> None:
    input: dict[str, Any] = {"idempotencyKey": key(), "to": {"handle": "bob"}, "amount": eur("0.01")}

    refused = await send(town, payer, input, [higher.name, lower.name])

    assert (refused.status_code, set(codes_of(refused))) == (higher.status, {higher.code})


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
async def test_before_what_the_mutation_would_say(town: Town, payer: str, refusal: Refusal) -> None:
    input: dict[str, Any] = {"idempotencyKey": "", "to": {"handle": payer}, "amount": eur("0")}

    refused = await send(town, payer, input, [refusal.name])

    assert (refused.status_code, set(codes_of(refused))) == (refusal.status, {refusal.code})
