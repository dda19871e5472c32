"""A header or a connection_init becomes an identity, and a wrong one is never taken for nobody."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from datastores.partners import PartnerKeyDocument
from gateway.identity import authenticate
from gateway.identity.authenticate import Authenticator, open_authenticator
from gateway.identity.development import DevelopmentIssuer, DevelopmentIssuerRefused
from gateway.identity.errors import IdentityUnavailable, Unauthenticated
from gateway.identity.identities import ANONYMOUS, Partner, Person
from gateway.identity.jwks import COOLDOWN_S
from gateway.identity.oidc import LEEWAY_S, AccessTokens
from gateway.identity.partners import new_partner_key
from gateway.settings import DEVELOPMENT_ISSUER, Environment, Settings
from tests.unit.gateway.identity.issuers import AUDIENCE, Clock, Issuer, new_key


async def no_partner(key_id: str) -> PartnerKeyDocument | None:
    return None


async def test_without_a_credential_one_is_nobody(authenticator: Authenticator) -> None:
    assert await authenticator.from_header(None) is ANONYMOUS
    assert await authenticator.from_connection_init(None) is ANONYMOUS
    assert await authenticator.from_connection_init({}) is ANONYMOUS
    assert await authenticator.from_connection_init({"headers": {"X-Other": "1"}, "other": 1}) is ANONYMOUS


@pytest.mark.parametrize("form", ["Bearer {}", "bearer  {} ", "BEARER {}"])
async def test_an_access_token_is_a_person(authenticator: Authenticator, issuer: Issuer, form: str) -> None:
    identity = await authenticator.from_header(form.format(issuer.token()))

    assert isinstance(identity, Person)
    assert (identity.issuer, identity.subject) == (issuer.url, "248289761001")


async def test_connection_init_carries_the_same_words(authenticator: Authenticator, issuer: Issuer) -> None:
    header = f"Bearer {issuer.token()}"

    for payload in ({"Authorization": header}, {"authorization": header}, {"headers": {"Authorization": header}}):
        assert isinstance(await authenticator.from_connection_init(payload), Person)


async def test_the_handshakes_header_counts_where_connection_init_says_nothing(
    authenticator: Authenticator, issuer: Issuer
) -> None:
    header = f"Bearer {issuer.token()}"

    for payload in (None, {}, {"headers": {"X-Other": "1"}}):
        assert isinstance(await authenticator.from_connection_init(payload, header), Person)
    with pytest.raises(Unauthenticated):
        await authenticator.from_connection_init({"Authorization": "Bearer nonsense"}, header)
    with pytest.raises(Unauthenticated):
        await authenticator.from_connection_init(None, "Bearer nonsense")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "eyJ.e30.AA", "Bearer a b", "Bearer \ud800"])
async def test_a_header_that_makes_no_sense(authenticator: Authenticator, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.from_header(header)


@pytest.mark.parametrize(
    "payload",
    [
        7,
        "Bearer x",
        [],
        {"Authorization": 7},
        {"Authorization": None},
        {"Authorization": "Bearer a", "authorization": "Bearer b"},
        {"Authorization": "Bearer a", "headers": {"authorization": "Bearer a"}},
        {str(number): number for number in range(100)},
    ],
)
async def test_a_payload_that_makes_no_sense(authenticator: Authenticator, payload: object) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.from_connection_init(payload)


async def test_a_token_of_an_unknown_issuer_is_never_looked_into(authenticator: Authenticator, issuer: Issuer) -> None:
    for stranger in ("https://evil.example.org", 7, None):
        with pytest.raises(Unauthenticated, match="somebody else"):
            await authenticator.from_header(f"Bearer {issuer.token(iss=stranger)}")

    assert issuer.requests.total() == 0


async def test_several_issuers_stand_beside_one_another(
    access_tokens: AccessTokens, issuer: Issuer, clock: Clock, tmp_path: Path
) -> None:
    development = DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT, now=clock)
    authenticator = Authenticator([access_tokens, development.access_tokens()], no_partner, now=clock)

    theirs = await authenticator.from_header(f"Bearer {issuer.token()}")
    ours = await authenticator.from_header(f"Bearer {development.token('alice')}")

    assert isinstance(theirs, Person)
    assert isinstance(ours, Person)
    assert (theirs.issuer, ours.issuer) == (issuer.url, DEVELOPMENT_ISSUER)
    with pytest.raises(Unauthenticated, match=r"signature|algorithm"):
        await authenticator.from_header(f"Bearer {issuer.token(iss=DEVELOPMENT_ISSUER, aud='agora')}")


async def test_a_partner_key_is_a_partner_until_it_is_revoked(clock: Clock) -> None:
    key = new_partner_key()
    stored: dict[str, PartnerKeyDocument] = {
        key.id: {
            "_id": key.id,
            "partner_id": "ptr_01",
            "secret_hash": key.secret_hash,
            "scopes": ["payments:read"],
            "expires_at": None,
            "revoked_at": None,
            "name": "first",
            "mode": "LIVE",
            "successor_id": None,
            "last_used_at": None,
            "created_at": datetime(2026, 1, 1),
        }
    }

    async def find(key_id: str) -> PartnerKeyDocument | None:
        return stored.get(key_id)

    authenticator = Authenticator([], find, now=clock)
    assert await authenticator.from_header(f"Bearer {key.text}") == Partner(
        "ptr_01", key.id, frozenset({"payments:read"})
    )

    del stored[key.id]

    with pytest.raises(Unauthenticated):
        await authenticator.from_header(f"Bearer {key.text}")


async def test_a_verified_token_is_remembered_until_it_expires(
    authenticator: Authenticator, issuer: Issuer, clock: Clock
) -> None:
    header = f"Bearer {issuer.token()}"
    first = await authenticator.from_header(header)

    # A person verified anew would be an equal one, but another object.
    assert await authenticator.from_header(header) is first

    clock.now += 300 + LEEWAY_S
    with pytest.raises(Unauthenticated, match="expired"):
        await authenticator.from_header(header)


async def test_a_key_that_is_withdrawn_ends_the_tokens_that_were_remembered(
    authenticator: Authenticator, issuer: Issuer, clock: Clock
) -> None:
    old = f"Bearer {issuer.token()}"
    assert await authenticator.from_header(old) is await authenticator.from_header(old)
    issuer.keys = [new_key("EC")]
    clock.now += COOLDOWN_S

    await authenticator.from_header(f"Bearer {issuer.token()}")

    with pytest.raises(Unauthenticated, match="signature"):
        await authenticator.from_header(old)


async def test_tokens_that_are_wrong_are_not_remembered_and_right_ones_are_bounded(
    authenticator: Authenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticate, "MAX_REMEMBERED_TOKENS", 3)

    for number in range(10):
        await authenticator.from_header(f"Bearer {issuer.token(sub=str(number))}")
        with pytest.raises(Unauthenticated):
            await authenticator.from_header(f"Bearer {issuer.token(aud=str(number))}")

    assert [person.subject for person, _ in authenticator._remembered.values()] == ["7", "8", "9"]


async def test_credentials_are_counted(access_tokens: AccessTokens, issuer: Issuer, clock: Clock) -> None:
    seen: list[tuple[str, str]] = []
    authenticator = Authenticator(
        [access_tokens], no_partner, on_credential=lambda *counted: seen.append(counted), now=clock
    )

    await authenticator.from_header(None)
    await authenticator.from_header(f"Bearer {issuer.token()}")
    for credential in (issuer.token(aud="other"), new_partner_key().text):
        with pytest.raises(Unauthenticated):
            await authenticator.from_header(f"Bearer {credential}")
    issuer.status = 500
    clock.now += COOLDOWN_S
    with pytest.raises(IdentityUnavailable):
        await authenticator.from_header(f"Bearer {issuer.token(new_key())}")

    assert seen == [("person", "accepted"), ("person", "refused"), ("partner", "refused"), ("person", "unavailable")]


async def test_the_settings_say_whose_tokens_are_accepted(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    issuer.keys = [new_key("EC")]
    development = DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT)
    settings = Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, oidc_algorithms=("ES256",))
    now = int(time.time())

    async with open_authenticator(settings, no_partner, development=development) as authenticator:
        theirs = await authenticator.from_header(f"Bearer {issuer.token(iat=now, exp=now + 60)}")
        ours = await authenticator.from_header(f"Bearer {development.token('alice')}")
        with pytest.raises(Unauthenticated, match="algorithm"):
            await authenticator.from_header(f"Bearer {issuer.token(new_key('RSA'), iat=now, exp=now + 60)}")
    async with open_authenticator(Settings(), no_partner) as nobodys:
        with pytest.raises(Unauthenticated, match="somebody else"):
            await nobodys.from_header(f"Bearer {development.token('alice')}")

    assert isinstance(theirs, Person)
    assert isinstance(ours, Person)
    assert (theirs.issuer, ours.issuer) == (issuer.url, DEVELOPMENT_ISSUER)


async def test_production_takes_no_development_tokens(tmp_path: Path) -> None:
    development = DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT)
    production = Settings(environment=Environment.PRODUCTION)

    with pytest.raises(DevelopmentIssuerRefused):
        async with open_authenticator(production, no_partner, development=development):
            pass


async def test_an_issuer_that_is_away_does_not_stop_the_start() -> None:
    settings = Settings(oidc_issuer="http://127.0.0.1:9", oidc_audience=AUDIENCE)

    async with open_authenticator(settings, no_partner) as authenticator:
        assert await authenticator.from_header(None) is ANONYMOUS


async def test_an_issuer_that_cannot_be_reached_is_not_the_callers_fault(
    authenticator: Authenticator, issuer: Issuer
) -> None:
    issuer.status = 500

    with pytest.raises(IdentityUnavailable):
        await authenticator.from_header(f"Bearer {issuer.token()}")
