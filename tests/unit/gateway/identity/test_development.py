"""The development issuer signs for anybody on a developer's machine, and for nobody in production."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from datastores.partners import PartnerKeyDocument
from gateway.identity.development import (
    KEY_FILE,
    TOKEN_LIFETIME_S,
    DevelopmentIssuer,
    DevelopmentIssuerRefused,
)
from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Partner, Person
from gateway.identity.oidc import LEEWAY_S, open_token
from gateway.identity.partners import verify_partner_key
from gateway.settings import DEVELOPMENT_ISSUER, Environment
from tests.unit.gateway.identity.issuers import START, Clock


def opened(data_dir: Path, clock: Clock | None = None) -> DevelopmentIssuer:
    return DevelopmentIssuer.open(data_dir, Environment.DEVELOPMENT, now=clock or Clock())


async def test_a_token_names_the_person_of_that_handle(tmp_path: Path) -> None:
    issuer = opened(tmp_path)

    person = await issuer.access_tokens().verify(open_token(issuer.token("alice", name="Alice Ament")))

    expires_at = START + TOKEN_LIFETIME_S + LEEWAY_S
    assert person == Person(DEVELOPMENT_ISSUER, "alice", "alice", "Alice Ament", expires_at)


async def test_the_key_outlives_the_process(tmp_path: Path) -> None:
    token = opened(tmp_path / "data").token("alice")

    person = await opened(tmp_path / "data").access_tokens().verify(open_token(token))

    assert person.subject == "alice"


async def test_another_data_folder_is_another_issuer(tmp_path: Path) -> None:
    token = opened(tmp_path / "one").token("alice")

    with pytest.raises(Unauthenticated, match="signature"):
        await opened(tmp_path / "two").access_tokens().verify(open_token(token))


async def test_a_token_ends_after_thirty_days(tmp_path: Path) -> None:
    clock = Clock()
    issuer = opened(tmp_path, clock)
    token = issuer.token("alice")
    clock.now += 30 * 24 * 3600 + LEEWAY_S

    with pytest.raises(Unauthenticated, match="expired"):
        await issuer.access_tokens().verify(open_token(token))


def test_production_has_no_development_issuer(tmp_path: Path) -> None:
    opened(tmp_path)

    with pytest.raises(DevelopmentIssuerRefused, match="AGORA_OIDC_ISSUER"):
        DevelopmentIssuer.open(tmp_path, Environment.PRODUCTION)


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    opened(tmp_path)
    file = tmp_path / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)

    opened(tmp_path)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


async def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        issuers = list(threads.map(lambda _: opened(tmp_path), range(8)))

    verifier = issuers[0].access_tokens()
    for issuer in issuers:
        assert await verifier.verify(open_token(issuer.token("alice")))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}'])
def test_a_key_file_that_is_broken(tmp_path: Path, content: str) -> None:
    (tmp_path / KEY_FILE).write_text(content)

    with pytest.raises(DevelopmentIssuerRefused, match="remove it"):
        opened(tmp_path)


@pytest.mark.parametrize("handle", ["", "a\nb", "x" * 65])
def test_a_handle_that_nobody_can_have(tmp_path: Path, handle: str) -> None:
    with pytest.raises(ValueError, match="handle"):
        opened(tmp_path).token(handle)


async def test_the_key_of_a_demo_partner_can_be_shown_again(tmp_path: Path) -> None:
    key = opened(tmp_path).partner_key("pay-watch")
    document: PartnerKeyDocument = {
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

    async def find(key_id: str) -> PartnerKeyDocument | None:
        return document if key_id == key.id else None

    again = opened(tmp_path).partner_key("pay-watch")
    partner = await verify_partner_key(again.text, find, START)

    assert again == key
    assert partner == Partner("ptr_01", key.id, frozenset({"payments:read"}))
    assert opened(tmp_path).partner_key("other").text != key.text
