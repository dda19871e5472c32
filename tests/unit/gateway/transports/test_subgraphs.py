"""What a subgraph answers to a router: 200 for whatever is said in GraphQL."""

from __future__ import annotations

import httpx
import pytest

from gateway.budgets import CostLimits
from gateway.identity.development import DevelopmentIssuer
from tests.unit.gateway.belfry import GRAPHQL, JSON, Server, post

WHO = "{ hello }"


@pytest.fixture
async def server(development_issuer: DevelopmentIssuer) -> Server:
    return Server(development_issuer, is_subgraph=True, costs=CostLimits(100, 100, 1))


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", **post(query), headers=headers)


def codes(response: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in response.json()["errors"]]


@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_a_wrong_credential_is_said_in_graphql(client: httpx.AsyncClient, accept: str) -> None:
    response = await ask(client, WHO, Authorization="Bearer nonsense", Accept=accept)

    assert response.status_code == 200
    assert codes(response) == ["UNAUTHENTICATED"]
    assert "data" not in response.json()


@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_a_document_that_is_wrong_is_said_in_graphql(client: httpx.AsyncClient, accept: str) -> None:
    response = await ask(client, "{ nothing }", Accept=accept)

    assert response.status_code == 200
    assert codes(response) == ["GRAPHQL_VALIDATION_FAILED"]


async def test_a_spent_budget_is_said_in_graphql(client: httpx.AsyncClient) -> None:
    await ask(client, "{ nothing }", Accept=GRAPHQL)

    response = await ask(client, "{ nothing }", Accept=GRAPHQL)

    assert response.status_code == 200
    assert codes(response) == ["RATE_LIMITED"]


async def test_what_http_refuses_keeps_its_status(client: httpx.AsyncClient) -> None:
    wrong_method = await client.put("/graphql", json={"query": WHO})
    malformed = await client.post("/graphql", content=b"{", headers={"Content-Type": JSON})

    assert wrong_method.status_code == 405
    assert malformed.status_code == 400
