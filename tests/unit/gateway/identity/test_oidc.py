"""An access token is accepted only when everything about it is right."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Person
from gateway.identity.oidc import LEEWAY_S, MAX_TOKEN_BYTES, AccessTokens, open_token
from tests.unit.gateway.identity.issuers import AUDIENCE, START, Clock, Issuer, new_key, sign


def segment(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


async def refusal(access_tokens: AccessTokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await access_tokens.verify(open_token(token))
    return refused.value.message


@pytest.mark.parametrize("kind", ["RSA", "EC", "OKP"])
async def test_a_right_token_names_a_person(issuer: Issuer, access_tokens: AccessTokens, kind: str) -> None:
    issuer.keys = [new_key("EC"), new_key(kind), new_key("OKP")]

    token = issuer.token(issuer.keys[1], preferred_username="alice", name=" Alice A. ")
    person = await access_tokens.verify(open_token(token))

    assert person == Person(issuer.url, "248289761001", "alice", "Alice A.", START + 300 + LEEWAY_S)


@pytest.mark.parametrize("audience", [AUDIENCE, ["https://other.example.org", AUDIENCE]])
async def test_one_of_several_audiences_is_enough(issuer: Issuer, access_tokens: AccessTokens, audience: Any) -> None:
    person = await access_tokens.verify(open_token(issuer.token(aud=audience)))

    assert person.subject == "248289761001"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": "https://elsewhere.example.org"}, "somebody else"),
        ({"iss": ["x"]}, "somebody else"),
        ({"aud": "https://other.example.org"}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": {"a": 1}}, "another audience"),
        ({"aud": None}, "lacks"),
        ({"exp": int(START) - LEEWAY_S}, "expired"),
        ({"exp": None}, "lacks"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": float("nan")}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"nbf": int(START) + LEEWAY_S + 1}, "not valid yet"),
        ({"iat": int(START) + LEEWAY_S + 1}, "not valid yet"),
        ({"sub": None}, "lacks"),
        ({"sub": ""}, "malformed"),
        ({"sub": 7}, "malformed"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": "a\x00b"}, "subject"),
        ({"sub": "\ud800"}, "subject"),
    ],
)
async def test_a_claim_that_is_wrong(
    issuer: Issuer, access_tokens: AccessTokens, changes: dict[str, Any], message: str
) -> None:
    assert message in await refusal(access_tokens, issuer.token(**changes))


async def test_clocks_may_differ_a_little(issuer: Issuer, access_tokens: AccessTokens) -> None:
    token = issuer.token(exp=int(START) - LEEWAY_S + 1, nbf=int(START) + LEEWAY_S, iat=int(START) + LEEWAY_S)

    person = await access_tokens.verify(open_token(token))

    assert person.expires_at == START + 1


async def test_an_expiry_beyond_all_calendars_is_brought_back(issuer: Issuer, access_tokens: AccessTokens) -> None:
    person = await access_tokens.verify(open_token(issuer.token(exp=10**400)))

    assert person.expires_at < 300_000_000_000


@pytest.mark.parametrize("username", [7, "x" * 201, "a\nb", "\ud800", "  "])
async def test_a_name_that_cannot_be_shown_is_left_out(
    issuer: Issuer, access_tokens: AccessTokens, username: object
) -> None:
    person = await access_tokens.verify(open_token(issuer.token(preferred_username=username, name=username)))

    assert (person.preferred_username, person.name) == (None, None)


async def test_a_public_key_is_no_shared_secret(issuer: Issuer, access_tokens: AccessTokens) -> None:
    key = issuer.keys[0]
    assert isinstance(key, RSAKey)
    secret = key.as_pem(private=False)
    header = {"alg": "HS256", "kid": key.kid}
    token = sign(header, issuer.claims(), lambda text: hmac.digest(secret, text, "sha256"))

    assert "algorithm" in await refusal(access_tokens, token)
    assert issuer.requests.total() == 0


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "RS512", "PS256", "", 7])
async def test_no_other_algorithm_is_accepted(
    issuer: Issuer, access_tokens: AccessTokens, algorithm: str | int
) -> None:
    unsigned = f"{segment({'alg': algorithm, 'kid': issuer.keys[0].kid})}.{segment(issuer.claims())}."

    assert await refusal(access_tokens, unsigned) in {
        "The access token is signed with an algorithm that is not accepted",
        "The access token is malformed",
    }


async def test_an_algorithm_that_the_key_is_not_made_for(issuer: Issuer, access_tokens: AccessTokens) -> None:
    issuer.keys = [new_key("RSA", {"alg": "PS256"})]
    header, payload, signature = issuer.token(new_key("RSA"), header={"kid": issuer.keys[0].kid}).split(".")

    assert "signature" in await refusal(access_tokens, f"{header}.{payload}.{signature}")


async def test_a_key_of_somebody_else_under_a_known_id(issuer: Issuer, access_tokens: AccessTokens) -> None:
    forged = issuer.token(new_key("RSA"), header={"kid": issuer.keys[0].kid})

    assert "signature" in await refusal(access_tokens, forged)


async def test_a_payload_that_was_changed(issuer: Issuer, access_tokens: AccessTokens) -> None:
    header, _, signature = issuer.token().split(".")

    changed = f"{header}.{segment(issuer.claims(sub='1'))}.{signature}"

    assert "signature" in await refusal(access_tokens, changed)


async def test_a_key_within_the_token_is_not_trusted(issuer: Issuer, access_tokens: AccessTokens) -> None:
    theirs = new_key("EC")
    header = {"jwk": theirs.as_dict(private=False), "kid": issuer.keys[0].kid, "jku": "https://evil.example.org"}

    assert "signature" in await refusal(access_tokens, issuer.token(theirs, header=header))


@pytest.mark.parametrize("token_type", ["logout+jwt", "dpop+jwt", "JWE"])
async def test_tokens_for_other_ends(issuer: Issuer, access_tokens: AccessTokens, token_type: str) -> None:
    assert "not an access token" in await refusal(access_tokens, issuer.token(header={"typ": token_type}))


async def test_an_access_token_may_say_that_it_is_one(issuer: Issuer, access_tokens: AccessTokens) -> None:
    assert await access_tokens.verify(open_token(issuer.token(header={"typ": "at+JWT", "x-vendor": 1})))


async def test_a_token_may_leave_out_the_key_id(issuer: Issuer, access_tokens: AccessTokens) -> None:
    issuer.keys = [new_key("EC"), new_key("RSA"), new_key("RSA")]

    assert await access_tokens.verify(open_token(issuer.token(issuer.keys[2], header={"kid": None})))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b.c",
        "a.b.c.d.e",
        "ü.ü.ü",
        "\ud800",
        f"{segment(['alg'])}.{segment({})}.",
        f"{segment('alg')}.{segment({})}.",
        f"{segment('7')}.{segment({})}.",
        f"{segment({'typ': 'JWT'})}.{segment({})}.",
        f"{segment({'alg': 'RS256'})}.{segment([])}.",
        f"{segment({'alg': 'RS256'})}.{segment('[' * 5000)}.",
        f"{segment('[' * 700)}.{segment({})}.",
        f"{segment({'alg': 'RS256', 'crit': ['b64'], 'b64': False})}.{segment({})}.",
        f"{segment({'alg': 'RS256', 'crit': ['exp']})}.{segment({})}.",
        f"{segment({'alg': 'RS256', 'pad': 'x' * 2000})}.{segment({})}.",
    ],
)
def test_what_is_no_token_at_all(token: str) -> None:
    with pytest.raises(Unauthenticated, match="malformed"):
        open_token(token)


@pytest.mark.parametrize("header", [{"kid": 7}, {"kid": ["a"]}, {"typ": 7}])
async def test_a_header_of_wrong_types(issuer: Issuer, access_tokens: AccessTokens, header: dict[str, Any]) -> None:
    signed = {"alg": "RS256"} | header

    assert "malformed" in await refusal(access_tokens, f"{segment(signed)}.{segment(issuer.claims())}.AAAA")


def test_a_token_has_a_greatest_size(issuer: Issuer) -> None:
    with pytest.raises(Unauthenticated, match=str(MAX_TOKEN_BYTES)):
        open_token(issuer.token(padding="x" * MAX_TOKEN_BYTES))


async def test_the_challenge_quotes_nothing_of_the_token(issuer: Issuer, access_tokens: AccessTokens) -> None:
    token = issuer.token(aud='evil", x="y')

    with pytest.raises(Unauthenticated) as refused:
        await access_tokens.verify(open_token(token))

    assert refused.value.code == "UNAUTHENTICATED"
    assert refused.value.challenge == (
        'Bearer realm="agora", error="invalid_token", '
        'error_description="The access token is meant for another audience"'
    )


async def test_a_token_expires_while_the_process_runs(
    issuer: Issuer, access_tokens: AccessTokens, clock: Clock
) -> None:
    token = issuer.token()
    await access_tokens.verify(open_token(token))

    clock.now += 300 + LEEWAY_S

    assert "expired" in await refusal(access_tokens, token)
