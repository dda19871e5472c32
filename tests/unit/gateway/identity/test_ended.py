"""Tokens from before a person's erasure are refused, at most 5 s later; those from after it are somebody new."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from datastores.partners import PartnerKeyDocument
from gateway.identity.authenticate import Authenticator
from gateway.identity.ended import OVERLAP, REFRESHED_S, EndedIdentities
from gateway.identity.errors import IdentityUnavailable, PersonEnded, Unauthenticated
from gateway.identity.identities import ANONYMOUS, Identity, Partner, Person
from gateway.identity.oidc import AccessTokens
from gateway.identity.rechecks import still_holds
from tests.unit.gateway.identity.issuers import Clock, Issuer

ENDED_AT = datetime(2026, 5, 1)
BEFORE = ENDED_AT.replace(tzinfo=UTC).timestamp() - 1


class Ended:
    """What the database says of ended identities, and how often it was asked since when."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, datetime]] = []
        self.asked: list[datetime | None] = []
        self.is_away = False

    async def __call__(self, since: datetime | None) -> list[tuple[str, datetime]]:
        self.asked.append(since)
        await asyncio.sleep(0)
        if self.is_away:
            raise ConnectionError
        return self.rows


async def no_partner(key_id: str) -> PartnerKeyDocument | None:
    return None


def digest(issuer: str, subject: str) -> str:
    return f"{issuer}|{subject}"


def person(issued_at: float | None, subject: str = "ann") -> Person:
    return Person("https://issuer", subject, None, None, 2e9, issued_at)


async def test_older_tokens_are_refused_and_newer_ones_are_not() -> None:
    read = Ended()
    read.rows = [("https://issuer|ann", ENDED_AT)]
    ended = EndedIdentities(read, digest)

    for issued_at in (BEFORE, BEFORE + 1, None):
        with pytest.raises(PersonEnded, match="erased"):
            await ended.check(person(issued_at))
    await ended.check(person(BEFORE + 2))
    await ended.check(person(BEFORE, "ben"))


async def test_however_many_ask_the_database_is_asked_every_five_seconds() -> None:
    read, clock = Ended(), Clock()
    ended = EndedIdentities(read, digest, clock=clock)

    await asyncio.gather(*(ended.check(person(BEFORE)) for _ in range(20)))
    assert read.asked == [None]
    read.rows = [("https://issuer|ann", ENDED_AT)]
    await ended.check(person(BEFORE))
    clock.now += REFRESHED_S
    with pytest.raises(PersonEnded):
        await ended.check(person(BEFORE))
    clock.now += REFRESHED_S
    with pytest.raises(PersonEnded):
        await ended.check(person(BEFORE))

    assert read.asked == [None, None, ENDED_AT - OVERLAP]


async def test_an_earlier_end_does_not_replace_a_later_one() -> None:
    read, clock = Ended(), Clock()
    ended = EndedIdentities(read, digest, clock=clock)
    read.rows = [("https://issuer|ann", ENDED_AT), ("https://issuer|ann", ENDED_AT - timedelta(days=1))]

    with pytest.raises(PersonEnded):
        await ended.check(person(BEFORE))


async def test_what_is_known_stays_known_while_the_database_is_away() -> None:
    read, clock = Ended(), Clock()
    ended = EndedIdentities(read, digest, clock=clock)
    read.is_away = True
    with pytest.raises(IdentityUnavailable):
        await ended.check(person(BEFORE))
    read.is_away, read.rows = False, [("https://issuer|ann", ENDED_AT)]
    with pytest.raises(PersonEnded):
        await ended.check(person(BEFORE))
    read.is_away = True
    clock.now += REFRESHED_S

    with pytest.raises(PersonEnded):
        await ended.check(person(BEFORE))
    await ended.check(person(BEFORE, "ben"))


async def test_a_token_that_was_verified_before_is_refused_too(
    issuer: Issuer, access_tokens: AccessTokens, clock: Clock
) -> None:
    read = Ended()
    ended = EndedIdentities(read, digest, clock=clock)
    authenticator = Authenticator([access_tokens], no_partner, ended=ended, now=clock)
    header = f"Bearer {issuer.token(iat=clock.now)}"
    first = await authenticator.from_header(header)
    assert isinstance(first, Person)

    at = datetime.fromtimestamp(clock.now + 1, UTC).replace(tzinfo=None)
    read.rows = [(digest(first.issuer, first.subject), at)]
    clock.now += REFRESHED_S

    with pytest.raises(PersonEnded):
        await authenticator.from_header(header)
    assert await authenticator.from_header(f"Bearer {issuer.token(iat=clock.now)}") == first


@pytest.mark.parametrize(
    ("identity", "error", "holds"),
    [
        (ANONYMOUS, Unauthenticated("x"), True),
        (person(BEFORE), None, True),
        (person(BEFORE), PersonEnded("x"), False),
        (person(BEFORE), Unauthenticated("x"), True),
        (person(BEFORE), IdentityUnavailable("x"), True),
        (Partner("ptn_1", "key_1", frozenset()), Unauthenticated("x"), False),
        (Partner("ptn_1", "key_1", frozenset()), IdentityUnavailable("x"), True),
    ],
)
async def test_what_still_holds(identity: Identity, error: Exception | None, holds: bool) -> None:
    async def recheck() -> Identity:
        if error is not None:
            raise error
        return identity

    assert await still_holds(identity, recheck) is holds
