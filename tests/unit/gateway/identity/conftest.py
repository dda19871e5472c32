"""A running issuer, a clock, and what verifies the issuer's tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from datastores.partners import PartnerKeyDocument
from gateway.identity.authenticate import Authenticator
from gateway.identity.jwks import FETCH_TIMEOUT_S, IssuerKeys
from gateway.identity.oidc import AccessTokens
from tests.unit.gateway.identity.issuers import AUDIENCE, Clock, Issuer, running_issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    # A proxy of the machine that runs the tests must not stand between them and their own issuer.
    async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, trust_env=False) as client:
        yield client


@pytest.fixture
async def keys(issuer: Issuer, client: httpx.AsyncClient, clock: Clock) -> AsyncIterator[IssuerKeys]:
    keys = IssuerKeys(issuer.url, client, https_only=False, clock=clock)
    yield keys
    await keys.close()


@pytest.fixture
def access_tokens(issuer: Issuer, keys: IssuerKeys, clock: Clock) -> AccessTokens:
    algorithms = ("RS256", "ES256", "EdDSA")
    return AccessTokens(issuer=issuer.url, audience=AUDIENCE, algorithms=algorithms, keys=keys, now=clock)


@pytest.fixture
def authenticator(access_tokens: AccessTokens, clock: Clock) -> Authenticator:
    async def find(key_id: str) -> PartnerKeyDocument | None:
        return None

    return Authenticator([access_tokens], find, now=clock)
