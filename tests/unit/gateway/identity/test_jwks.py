"""An issuer's keys are fetched seldom, replaced when they rotate, and outlive an outage."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Sequence

import httpx
import pytest
from joserfc.jwk import Key

from gateway.identity.errors import IdentityUnavailable
from gateway.identity.jwks import COOLDOWN_S, FRESH_S, MAX_DOCUMENT_BYTES, MAX_KEYS, USABLE_S, IssuerKeys
from tests.unit.gateway.identity.issuers import Clock, Issuer, new_key

JWKS = "/jwks.json"


def ids(keys: Sequence[Key]) -> list[str | None]:
    return [key.kid for key in keys]


async def refreshed(keys: IssuerKeys) -> None:
    assert keys._fetching is not None
    await asyncio.wait_for(keys._fetching, 5)


async def test_keys_are_found_by_discovery_and_fetched_once(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.keys = [new_key("EC"), new_key("OKP")]

    for _ in range(20):
        assert ids(await keys.find(issuer.keys[1].kid)) == [issuer.keys[1].kid]

    assert len(await keys.find(None)) == 2
    assert issuer.requests == {"/.well-known/openid-configuration": 1, JWKS: 1}


async def test_the_address_of_the_keys_may_be_given(issuer: Issuer, client: httpx.AsyncClient) -> None:
    keys = IssuerKeys(issuer.url, client, https_only=False, jwks_url=f"{issuer.url}/elsewhere")

    assert await keys.find(issuer.keys[0].kid)
    assert issuer.requests == {"/elsewhere": 1}


async def test_a_rotated_key_is_accepted_at_once(issuer: Issuer, keys: IssuerKeys, clock: Clock) -> None:
    assert await keys.find(None)
    before = keys.generation
    issuer.keys = [new_key("EC")]
    clock.now += COOLDOWN_S

    assert ids(await keys.find(issuer.keys[0].kid)) == [issuer.keys[0].kid]
    assert keys.generation == before + 1


async def test_a_key_that_was_withdrawn_is_gone_after_the_next_fetch(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    withdrawn = issuer.keys[0]
    assert await keys.find(None)
    issuer.keys = [new_key("EC")]
    clock.now += FRESH_S + 1

    # The request that notices is still served with what is there; the fetch goes on beside it.
    assert await keys.find(withdrawn.kid)
    await refreshed(keys)
    assert issuer.requests[JWKS] == 2

    assert await keys.find(withdrawn.kid) == []


async def test_the_same_keys_are_no_new_generation(issuer: Issuer, keys: IssuerKeys, clock: Clock) -> None:
    assert await keys.find(None)
    clock.now += FRESH_S + 1
    await keys.find(issuer.keys[0].kid)
    await refreshed(keys)
    assert issuer.requests[JWKS] == 2

    assert keys.generation == 1


async def test_a_flood_of_unknown_key_ids_does_not_hammer_the_issuer(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    assert await keys.find(None)

    for number in range(500):
        assert await keys.find(f"made-up-{number}") == []
    assert issuer.requests[JWKS] == 1
    clock.now += COOLDOWN_S
    await asyncio.gather(*(keys.find(f"made-up-{number}") for number in range(500)))

    assert issuer.requests[JWKS] == 2


async def test_many_who_wait_share_one_fetch(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.may_answer.clear()
    waiting = [asyncio.create_task(keys.find(issuer.keys[0].kid)) for _ in range(50)]
    await asyncio.to_thread(issuer.was_asked.wait, 5)

    waiting[0].cancel()
    issuer.may_answer.set()
    found = await asyncio.gather(*waiting[1:])

    assert all(ids(each) == [issuer.keys[0].kid] for each in found)
    assert issuer.requests[JWKS] == 1


async def test_an_outage_leaves_the_known_keys_in_use(issuer: Issuer, keys: IssuerKeys, clock: Clock) -> None:
    assert await keys.find(None)
    issuer.status = 503

    for _ in range(5):
        clock.now += USABLE_S / 5
        assert await keys.find(issuer.keys[0].kid)
    clock.now += 1

    with pytest.raises(IdentityUnavailable):
        await keys.find(issuer.keys[0].kid)


async def test_during_an_outage_an_unknown_key_is_neither_right_nor_wrong(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    assert await keys.find(None)
    issuer.status = 500
    clock.now += COOLDOWN_S

    with pytest.raises(IdentityUnavailable) as unavailable:
        await keys.find("perhaps-new")

    assert unavailable.value.retry_after_s == COOLDOWN_S


async def test_an_outage_at_the_start_is_survived(issuer: Issuer, keys: IssuerKeys, clock: Clock) -> None:
    issuer.status = 500
    keys.warm()
    await refreshed(keys)
    with pytest.raises(IdentityUnavailable):
        await keys.find(issuer.keys[0].kid)
    assert issuer.requests.total() == 1

    issuer.status = 200
    clock.now += COOLDOWN_S

    assert await keys.find(issuer.keys[0].kid)


async def test_nobody_listens_where_the_issuer_should_be(client: httpx.AsyncClient) -> None:
    keys = IssuerKeys("http://127.0.0.1:9", client, https_only=False)

    with pytest.raises(IdentityUnavailable):
        await keys.find("any")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": 7}',
        b'{"keys": []}',
        b'{"keys": [7, null, {}, {"kty": 7}, {"kty": "XX"}]}',
        b'{"keys": [{"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}]}',
        b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
        b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 7}]}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}',
        b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "a"}]}',
        b"[" * 100_000,
    ],
)
async def test_answers_that_hold_no_usable_key(issuer: Issuer, keys: IssuerKeys, clock: Clock, body: bytes) -> None:
    assert await keys.find(None)
    issuer.body = body
    clock.now += FRESH_S + 1
    await keys.find(None)
    await refreshed(keys)
    assert issuer.requests[JWKS] == 2

    assert ids(await keys.find(None)) == [issuer.keys[0].kid]
    assert keys.generation == 1


async def test_unusable_keys_beside_a_usable_one_are_passed_over(issuer: Issuer, keys: IssuerKeys) -> None:
    good = issuer.keys[0].as_dict(private=False)
    others = [
        new_key("EC", {"use": "enc"}).as_dict(private=False),
        new_key("EC", {"key_ops": ["encrypt"]}).as_dict(private=False),
        new_key("EC").as_dict(private=True),
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "key_ops": 5},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    ]
    issuer.body = json.dumps({"keys": [*others, good]}).encode()

    assert ids(await keys.find(None)) == [issuer.keys[0].kid]


async def test_an_answer_has_a_greatest_size(issuer: Issuer, keys: IssuerKeys, clock: Clock) -> None:
    document = json.dumps({"keys": [issuer.keys[0].as_dict(private=False)]}).encode()
    issuer.body = document + b" " * (MAX_DOCUMENT_BYTES + 1 - len(document))
    with pytest.raises(IdentityUnavailable):
        await keys.find(None)

    issuer.body = issuer.body[:-1]
    clock.now += COOLDOWN_S

    assert await keys.find(None)


async def test_too_many_keys(issuer: Issuer, keys: IssuerKeys) -> None:
    entry = new_key("OKP").as_dict(private=False)
    issuer.body = json.dumps({"keys": [entry] * (MAX_KEYS + 1)}).encode()

    with pytest.raises(IdentityUnavailable):
        await keys.find(None)


async def test_a_small_compressed_answer_cannot_grow(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.body = gzip.compress(b"x" * 50_000_000)
    issuer.headers = {"Content-Encoding": "gzip"}

    with pytest.raises(IdentityUnavailable):
        await keys.find(None)


async def test_redirects_are_not_followed(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.status = 302
    issuer.headers = {"Location": f"{issuer.url}/elsewhere"}

    with pytest.raises(IdentityUnavailable):
        await keys.find(None)
    assert issuer.requests == {"/.well-known/openid-configuration": 1}


@pytest.mark.parametrize(
    "discovery",
    [{}, {"issuer": "https://elsewhere.example.org"}, {"jwks_uri": 7}, {"jwks_uri": "file:///etc/passwd"}],
)
async def test_a_discovery_document_that_is_wrong(
    issuer: Issuer, keys: IssuerKeys, discovery: dict[str, object]
) -> None:
    issuer.discovery = {**issuer.discovery, **discovery} if discovery else {}

    with pytest.raises(IdentityUnavailable):
        await keys.find(None)
    assert issuer.requests[JWKS] == 0


async def test_production_asks_over_https_alone(issuer: Issuer, client: httpx.AsyncClient) -> None:
    keys = IssuerKeys(issuer.url, client, https_only=True)

    with pytest.raises(IdentityUnavailable):
        await keys.find(None)
    assert issuer.requests.total() == 0


async def test_an_issuer_that_never_answers_is_given_up(
    issuer: Issuer, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.identity.jwks.FETCH_TIMEOUT_S", 0.1)
    issuer.may_answer.clear()

    with pytest.raises(IdentityUnavailable):
        await keys.find(None)


async def test_closing_ends_a_fetch_under_way(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.may_answer.clear()
    waiting = asyncio.create_task(keys.find(None))
    await asyncio.to_thread(issuer.was_asked.wait, 5)

    await keys.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_the_smallest_rsa_key_is_2048_bits() -> None:
    assert len(base64.urlsafe_b64encode(b"x" * 256).rstrip(b"=")) * 6 >= 2048
    assert len(base64.urlsafe_b64encode(b"x" * 255).rstrip(b"=")) * 6 < 2048
