"""What operations cost their clients, over HTTP and event streams: told when asked for, refused when spent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.budgets import REFUSED_COST, CostLimits
from gateway.identity.development import DevelopmentIssuer
from tests.unit.gateway.belfry import EVENTS, GRAPHQL, JSON, Server, post
from tests.unit.gateway.transports.test_sse import COMPLETE, parsed

HELLO_COST = 8
TELL: dict[str, Any] = {"extensions": {"cost": True}}
FULL = {"limit": 1_000, "restoreRate": 10}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server(development_issuer: DevelopmentIssuer, clock: Clock) -> Server:
    return Server(development_issuer, costs=CostLimits(100, 1_000, 10), now=clock)


async def ask(client: httpx.AsyncClient, query: str, *, accept: str = GRAPHQL, **others: Any) -> httpx.Response:
    headers = {"Accept": accept, **others.pop("headers", {})}
    return await client.post("/graphql", **post(query, **others), headers=headers)


async def left(client: httpx.AsyncClient, **headers: str) -> int:
    """What is left, after putting back what asking for it costs."""
    told = (await ask(client, "{ hello }", headers=headers, **TELL)).json()["extensions"]["cost"]
    remaining: int = told["left"] + told["actual"]
    return remaining


async def spend(client: httpx.AsyncClient) -> None:
    """Spend all that nobody in particular has."""
    for _ in range(1_000 // REFUSED_COST):
        await ask(client, "{ nothing }")


async def test_an_answer_tells_its_cost_when_asked(client: httpx.AsyncClient) -> None:
    told = await ask(client, "{ hello }", **TELL)
    silent = await ask(client, "{ hello }")

    assert told.json() == {
        "data": {"hello": "hello world"},
        "extensions": {"cost": {"requested": HELLO_COST, "actual": HELLO_COST, "left": 992, **FULL}},
    }
    assert silent.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("wish", [False, 1, "true", None, {"cost": True}])
async def test_only_true_is_a_wish(client: httpx.AsyncClient, wish: object) -> None:
    assert "extensions" not in (await ask(client, "{ hello }", extensions={"cost": wish})).json()


async def test_what_was_left_out_is_not_paid(client: httpx.AsyncClient) -> None:
    query = "query ($no: Boolean!) { hello rings @skip(if: $no) whoami @skip(if: $no) }"

    told = (await ask(client, query, variables={"no": True}, **TELL)).json()["extensions"]["cost"]

    assert told == {"requested": 3 * HELLO_COST, "actual": HELLO_COST, "left": 1_000 - HELLO_COST, **FULL}


async def test_an_empty_bucket_refuses_and_says_when_to_come_back(client: httpx.AsyncClient, clock: Clock) -> None:
    await spend(client)

    for accept in (JSON, GRAPHQL):
        refused = await ask(client, "{ hello }", accept=accept)
        (error,) = refused.json()["errors"]
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "1"
        assert (error["extensions"]["code"], error["extensions"]["retryAfterSeconds"]) == ("RATE_LIMITED", 1)

    clock.now += 1
    assert (await ask(client, "{ hello }")).status_code == 200


async def test_a_mutation_that_is_refused_has_not_happened(
    client: httpx.AsyncClient, server: Server, clock: Clock
) -> None:
    await spend(client)
    clock.now += 0.5

    refused = await ask(client, "mutation { ring }")

    assert refused.status_code == 429
    assert refused.json()["errors"][0]["extensions"]["cost"] == {"requested": HELLO_COST, "left": 5, **FULL}
    assert server.bell.rings == 0
    assert server.count(operation="anonymous", kind="mutation", transport="http", outcome="RATE_LIMITED") == 1


async def test_each_client_has_a_bucket(
    client: httpx.AsyncClient, server: Server, development_issuer: DevelopmentIssuer
) -> None:
    alice = {"Authorization": f"Bearer {development_issuer.token('alice')}"}
    ben = {"Authorization": f"Bearer {development_issuer.token('ben')}"}
    partner = {"Authorization": f"Bearer {server.partner_key().text}"}
    await spend(client)
    await ask(client, "{ nothing }", headers=alice)

    assert [await left(client, **who) for who in (alice, ben, partner)] == [1_000 - REFUSED_COST, 1_000, 1_000]
    assert (await ask(client, "{ hello }")).status_code == 429


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        ({"query": "{ hello"}, REFUSED_COST),
        ({"query": "{ nothing }"}, REFUSED_COST),
        ({"query": "{" + "".join(f"a{n}: hello " for n in range(13)) + "}"}, REFUSED_COST),
        ({"documentId": "sha256:" + "0" * 64}, 0),
        ({"query": 7}, 0),
    ],
)
async def test_documents_that_were_read_for_nothing_cost(
    client: httpx.AsyncClient, body: dict[str, Any], cost: int
) -> None:
    refused = await client.post("/graphql", json=body)

    assert "data" not in refused.json()
    assert await left(client) == 1_000 - cost


async def test_an_operation_past_the_limit_of_one_request_is_too_complex(client: httpx.AsyncClient) -> None:
    within, past = ("{" + "".join(f"a{n}: hello " for n in range(count)) + "}" for count in (12, 13))

    assert (await ask(client, within)).status_code == 200
    refused = await ask(client, past)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["extensions"] == {"code": "QUERY_TOO_COMPLEX"}


async def test_what_fails_as_a_whole_costs_what_was_requested(client: httpx.AsyncClient) -> None:
    await ask(client, "query ($name: String!) { hello(name: $name) }")

    assert await left(client) == 1_000 - HELLO_COST


async def test_an_answer_that_tells_what_is_left_is_kept_by_nobody(client: httpx.AsyncClient, server: Server) -> None:
    given = {"documentId": f"sha256:{server.greeting_id}".replace("sha256:sha256:", "sha256:")}

    kept = await client.get("/graphql", params=given)
    told = await client.get("/graphql", params={**given, "extensions": '{"cost": true}'})

    assert "ETag" in kept.headers
    assert told.headers["Cache-Control"] == "no-store"
    assert told.json()["extensions"]["cost"]["actual"] == HELLO_COST


async def test_a_subscription_pays_once_and_tells_with_each_event(client: httpx.AsyncClient) -> None:
    response = await ask(client, "subscription { strokes(upTo: 3) }", accept=EVENTS, **TELL)

    *events, end = parsed(response.text)
    cost = {"requested": HELLO_COST, "actual": HELLO_COST, "left": 1_000 - HELLO_COST, **FULL}
    assert end == COMPLETE
    assert [event["extensions"]["cost"] for _, event in events] == [cost] * 3
    assert await left(client) == 1_000 - HELLO_COST


@pytest.mark.parametrize("query", ["{ hello }", "subscription { strokes(upTo: 3) }"])
@pytest.mark.parametrize("seconds", [0.0, 0.5], ids=["before it is read", "before it runs"])
async def test_a_stream_says_why_it_gives_nothing(
    client: httpx.AsyncClient, clock: Clock, query: str, seconds: float
) -> None:
    await spend(client)
    clock.now += seconds

    response = await ask(client, query, accept=EVENTS)

    (kind, result), end = parsed(response.text)
    assert (kind, end) == ("next", COMPLETE)
    assert set(result) == {"errors"}
    assert result["errors"][0]["extensions"]["retryAfterSeconds"] == 1
