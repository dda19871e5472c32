"""Leases on a real replica set: one holder at a time, by the database's clock."""

from __future__ import annotations

import asyncio

import pytest

from datastores import leases
from datastores.mongo import Database

LIMIT_S = 20.0


async def acquired(database: Database, owner: str) -> leases.LeaseDocument:
    """The lease, as soon as it can be had."""
    async with asyncio.timeout(LIMIT_S):
        while (lease := await leases.acquire(database, "work", owner, 30)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return lease


async def test_a_lease_is_held_by_one_and_given_back(database: Database) -> None:
    first = await leases.acquire(database, "work", "a", 30)

    assert first is not None
    assert first["term"] == 1
    assert await leases.acquire(database, "work", "b", 30) is None
    assert await leases.acquire(database, "other work", "b", 30) is not None

    await leases.release(database, "work", "a")
    second = await leases.acquire(database, "work", "b", 30)
    assert second is not None
    assert second["term"] == 2


async def test_its_holder_has_it_anew_with_the_same_term(database: Database) -> None:
    first = await leases.acquire(database, "work", "a", 10)
    again = await leases.acquire(database, "work", "a", 60)

    assert first is not None
    assert again is not None
    assert again["term"] == first["term"]
    assert again["expires_at"] > first["expires_at"]


async def test_a_lease_that_expired_goes_to_another_and_is_not_its_first_owners_to_give_back(
    database: Database,
) -> None:
    assert await leases.acquire(database, "work", "a", 0.2) is not None

    lease = await acquired(database, "b")

    assert lease["term"] == 2
    assert await leases.acquire(database, "work", "a", 30) is None
    await leases.release(database, "work", "a")
    assert await leases.acquire(database, "work", "a", 30) is None


async def test_of_many_who_want_it_at_once_one_gets_it(database: Database) -> None:
    owners = [f"owner {n}" for n in range(20)]

    answers = await asyncio.gather(*(leases.acquire(database, "work", owner, 30) for owner in owners))

    (lease,) = [answer for answer in answers if answer is not None]
    assert lease["owner"] in owners
    assert lease["term"] == 1


async def test_an_owner_named_like_a_field_is_only_a_name(database: Database) -> None:
    lease = await leases.acquire(database, "work", "$_id", 30)

    assert lease is not None
    assert lease["owner"] == "$_id"


@pytest.mark.parametrize("ttl_s", [0, 0.01, 601])
async def test_a_lease_has_a_limit(database: Database, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="lasts"):
        await leases.acquire(database, "work", "a", ttl_s)
