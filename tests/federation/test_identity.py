"""Every subgraph authenticates by itself: what a router claims of its client is worth nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment
from tests.federation.place import WITH_VIEWER, Place, socket_of
from tests.topologies import ROUTERS
from tests.topologies.subgraphs import NAMES

pytestmark = pytest.mark.asyncio(loop_scope="session")
VIEWER = "query ($them: [_Any!]!) { _entities(representations: $them) { __typename } }"
HOUR_S = 3_600


def forged(tmp_path: Path) -> str:
    """A token that says what a good one says, signed by somebody else."""
    return DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT).token("alice")


def stale(place: Place) -> str:
    """A token that was good once."""
    return place.town.issuer.token("alice", lifetime_s=-HOUR_S)


async def viewer(place: Place, name: str, **headers: str) -> Any:
    body = {
        "query": VIEWER,
        "variables": {"them": [{"__typename": "Viewer", "id": await place.town.id_of("alice")}]},
    }
    return (await place.town.http.post(place.subgraphs[name].url, json=body, headers=headers)).json()


@pytest.mark.parametrize("name", NAMES)
class TestSubgraphs:
    async def test_a_good_token_is_its_persons(self, place: Place, name: str) -> None:
        alice = await viewer(place, name, **place.town.authorization("alice"))
        bob = await viewer(place, name, **place.town.authorization("bob"))

        assert alice["data"]["_entities"] == [{"__typename": "Viewer"} if name in WITH_VIEWER else None]
        assert bob["data"]["_entities"] == [None]

    async def test_a_forged_or_stale_token_gets_nothing(self, place: Place, name: str, tmp_path: Path) -> None:
        for token in (forged(tmp_path), stale(place), "nonsense"):
            answer = await viewer(place, name, Authorization=f"Bearer {token}")

            assert "data" not in answer
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]

    async def test_headers_that_claim_a_person_are_not_believed(self, place: Place, name: str) -> None:
        alice = await place.town.id_of("alice")
        claims = dict.fromkeys(("X-User", "X-User-Id", "X-Forwarded-User", "X-Viewer", "Cookie"), alice)

        answer = await viewer(place, name, **claims)

        assert answer["data"]["_entities"] == [None]


@pytest.mark.parametrize("name", ROUTERS)
class TestRouters:
    async def test_a_forged_or_stale_token_gets_nothing(self, place: Place, name: str, tmp_path: Path) -> None:
        town = place.behind(name)

        for token in (forged(tmp_path), stale(place)):
            headers = {"Authorization": f"Bearer {token}"}
            response = await town.http.post(
                town.url, json={"query": "{ viewer { id } posts(first: 1) { nodes { id } } }"}, headers=headers
            )

            answer = response.json()
            assert not any((answer.get("data") or {}).values()), answer
            assert {error["extensions"]["code"] for error in answer["errors"]} == {"UNAUTHENTICATED"}

    async def test_nobody_has_no_viewer(self, place: Place, name: str) -> None:
        town = place.behind(name)

        answer = await town.ask(None, "{ viewer { id wallets { id } } posts(first: 1) { nodes { id } } }")

        assert answer["viewer"] is None
        assert answer["posts"]["nodes"]

    @pytest.mark.parametrize("select", ["id", "__typename", "id ... on Wallet { currency } ... on Order { state }"])
    async def test_what_is_private_is_null_to_all_others(self, place: Place, name: str, select: str) -> None:
        town = place.behind(name)
        mine = await town.ask(
            "alice", '{ viewer { wallet(currency: "EUR") { id } orders(first: 1) { nodes { id } } } }'
        )
        ids = [mine["viewer"]["wallet"]["id"], mine["viewer"]["orders"]["nodes"][0]["id"]]

        for id in ids:
            query = f'{{ node(id: "{id}") {{ {select} }} }}'
            seen = {who: (await town.ask(who, query))["node"] for who in ("alice", "bob", None)}

            assert seen["alice"]
            assert (seen["bob"], seen[None]) == (None, None)


@pytest.mark.parametrize("name", ["hive", "grafbase"])
async def test_a_forged_token_in_connection_init_hears_nothing(place: Place, name: str, tmp_path: Path) -> None:
    credential = {"Authorization": f"Bearer {forged(tmp_path)}"}

    async with socket_of(place.behind(name), credential, "subscription { inbox { cursor } }") as events:
        message = await events.message()

    assert message["type"] == "error", message
