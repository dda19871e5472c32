"""`_entities` of the running subgraphs: a representation is not a right, and no list of them breaks anything."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.federation.place import WITH_VIEWER, Place
from tests.topologies.subgraphs import NAMES

pytestmark = pytest.mark.asyncio(loop_scope="session")
MANY = 10_000


async def entities(place: Place, name: str, who: str | None, representations: Any, select: str) -> httpx.Response:
    query = f"query ($them: [_Any!]!) {{ _entities(representations: $them) {{ __typename {select} }} }}"
    body = {"query": query, "variables": {"them": representations}}
    return await place.town.http.post(place.subgraphs[name].url, json=body, headers=place.town.authorization(who))


async def wallet_of(place: Place, who: str) -> str:
    viewer = (await place.town.ask(who, '{ viewer { wallet(currency: "EUR") { id } } }'))["viewer"]
    return str(viewer["wallet"]["id"])


WALLET = "... on Wallet { available { amount } }"


async def test_ones_own_wallet_is_resolved_and_somebody_elses_is_not(place: Place) -> None:
    them = [{"__typename": "Wallet", "id": await wallet_of(place, who)} for who in ("alice", "bob")]

    own = (await entities(place, "wallets", "alice", them, WALLET)).json()
    nobodys = (await entities(place, "wallets", None, them, WALLET)).json()

    assert own["data"]["_entities"][0]["available"]["amount"]
    assert own["data"]["_entities"][1] is None
    assert nobodys["data"]["_entities"] == [None, None]


async def test_what_stands_beside_the_key_is_not_believed(place: Place) -> None:
    alice, bob = await place.town.id_of("alice"), await place.town.id_of("bob")
    them = [
        {"__typename": "Wallet", "id": await wallet_of(place, "bob"), "owner_id": alice, "ownerId": alice, "posted": 1},
        {"__typename": "Viewer", "id": bob, "user": {"id": alice}},
    ]

    answer = (await entities(place, "wallets", "alice", them, WALLET + " ... on Viewer { wallets { id } }")).json()

    assert answer["data"]["_entities"] == [None, None]


@pytest.mark.parametrize(
    "odd",
    [
        {"__typename": "Nothing", "id": "x"},
        {"__typename": "Query"},
        {"__typename": "Money", "amount": "1"},
        {"__typename": ["Wallet"], "id": "x"},
        {"__typename": "Wallet", "id": {"$ne": None}},
        {"__typename": "Wallet", "id": "x" * 10_000},
        {"id": "wal_01JD0000000000000000000000"},
        "Wallet",
        42,
    ],
    ids=str,
)
async def test_an_odd_representation_nulls_itself_alone(place: Place, odd: Any) -> None:
    good = {"__typename": "Wallet", "id": await wallet_of(place, "alice")}

    answer = (await entities(place, "wallets", "alice", [good, odd], WALLET)).json()

    assert answer["data"]["_entities"][0]["available"]["amount"]
    assert answer["data"]["_entities"][1] is None


@pytest.mark.parametrize("name", NAMES)
async def test_ten_thousand_representations_are_refused_and_the_subgraph_goes_on(place: Place, name: str) -> None:
    viewer = {"__typename": "Viewer", "id": await place.town.id_of("alice")}

    refused = (await entities(place, name, "alice", [viewer] * MANY, "")).json()
    after = (await entities(place, name, "alice", [viewer], "")).json()

    assert not refused.get("data")
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["INVALID_INPUT"]
    assert after["data"]["_entities"] == [{"__typename": "Viewer"} if name in WITH_VIEWER else None]
