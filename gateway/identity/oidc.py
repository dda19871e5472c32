"""What makes an access token acceptable: its size, signature, algorithm, issuer, audience and times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key

from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Person
from gateway.identity.jwks import KeySource

MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_HEADER_BYTES: Final = 1024
MAX_SUBJECT_LENGTH: Final = 255
MAX_NAME_LENGTH: Final = 200
MAX_TRIED_KEYS: Final = 4
LEEWAY_S: Final = 30
# Access tokens by RFC 9068, and the name that most issuers still use. Tokens for other ends carry names of their own.
TOKEN_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
LAST_MOMENT: Final = 253_402_300_799


class _Pinned(jws.JWSRegistry):
    """Accepts the configured algorithms alone; the library's own choice plays no part."""

    max_header_length = MAX_HEADER_BYTES
    max_payload_length = MAX_TOKEN_BYTES

    def __init__(self, algorithms: Sequence[str]) -> None:
        # Header parameters that nobody here knows are ignored, as RFC 7515 asks; `crit` is refused beforehand.
        super().__init__(algorithms=algorithms, strict_check_header=False)
        self._pinned = {name: self.algorithms[name] for name in algorithms}

    def get_alg(self, name: str) -> JWSAlgModel:
        """The algorithm; raises UnsupportedAlgorithmError for every other, `none` included."""
        if name not in self._pinned:
            raise UnsupportedAlgorithmError("not accepted")
        return self._pinned[name]


_ANY_ALGORITHM: Final = _Pinned(())


@dataclass(frozen=True, slots=True)
class OpenedToken:
    """A token that was taken apart but not verified: nothing in it is true yet."""

    signed: jws.CompactSignature
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def issuer(self) -> object:
        """Who it says has issued it; tells which verifier to ask."""
        return self.claims.get("iss")


def open_token(token: str) -> OpenedToken:
    """The token taken apart; raises `Unauthenticated` unless it has the form of a signed JWT of at most 8 KB."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"The access token is longer than {MAX_TOKEN_BYTES} bytes")
    try:
        signed = jws.extract_compact(token.encode("ascii"), registry=_ANY_ALGORITHM)
        header: object = signed.headers()
        claims = json.loads(signed.payload or b"")
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Unauthenticated("The access token is malformed") from None
    if not isinstance(header, dict) or not isinstance(claims, dict) or "crit" in header:
        raise Unauthenticated("The access token is malformed")
    return OpenedToken(signed, header, claims)


class AccessTokens:
    """Verifies the access tokens of one issuer for one audience."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        keys: KeySource,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self._keys = keys
        self._registry = _Pinned(algorithms)
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(now()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )

    @property
    def generation(self) -> int:
        """Grows when the issuer's keys were replaced."""
        return self._keys.generation

    async def verify(self, token: OpenedToken) -> Person:
        """The person whom the token names, once everything about it is right.

        Raises `Unauthenticated` with the first reason found, or `IdentityUnavailable` while the keys are not at hand.
        """
        self._check_header(token.header)
        keys = self._fitting(await self._keys.find(token.header.get("kid")), token.header["alg"])
        if not any(self._is_signed_by(key, token) for key in keys[:MAX_TRIED_KEYS]):
            raise Unauthenticated("The access token's signature is not that of the issuer")
        self._check_claims(token.claims)
        return _person(token.claims)

    def _check_header(self, header: dict[str, Any]) -> None:
        algorithm, key_id, token_type = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or not isinstance(key_id, str | None) or not isinstance(token_type, str):
            raise Unauthenticated("The access token is malformed")
        try:
            self._registry.get_alg(algorithm)
        except UnsupportedAlgorithmError:
            raise Unauthenticated("The access token is signed with an algorithm that is not accepted") from None
        if token_type.lower() not in TOKEN_TYPES:
            raise Unauthenticated("This token is not an access token")

    def _fitting(self, keys: Sequence[Key], algorithm: str) -> list[Key]:
        return [key for key in keys if _fits(self._registry.get_alg(algorithm), key)]

    def _is_signed_by(self, key: Key, token: OpenedToken) -> bool:
        try:
            return jws.validate_compact(token.signed, key, registry=self._registry)
        except (JoseError, ValueError, TypeError):
            return False

    def _check_claims(self, claims: dict[str, Any]) -> None:
        try:
            self._claims.validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated("The access token has expired: get a new one") from None
        except InvalidClaimError as error:
            raise Unauthenticated(_claim_message(error)) from None
        except JoseError:
            raise Unauthenticated("The access token lacks one of iss, aud, sub and exp") from None
        if len(claims["sub"]) > MAX_SUBJECT_LENGTH or not claims["sub"].isprintable():
            raise Unauthenticated(
                f"The access token's subject is not at most {MAX_SUBJECT_LENGTH} printable characters"
            )


def _fits(algorithm: JWSAlgModel, key: Key) -> bool:
    try:
        algorithm.check_key(key)
    except JoseError:
        return False
    return True


def _claim_message(error: InvalidClaimError) -> str:
    match error.claim:
        case "iss":
            return "The access token was issued by somebody else"
        case "aud":
            return "The access token is meant for another audience"
        case "nbf" | "iat":
            return "The access token is not valid yet"
        case _:
            return "The access token is malformed"


def _person(claims: dict[str, Any]) -> Person:
    return Person(
        issuer=claims["iss"],
        subject=claims["sub"],
        preferred_username=_name(claims.get("preferred_username")),
        name=_name(claims.get("name")),
        # The leeway counts here too, so that a socket lives exactly as long as a request would be answered.
        expires_at=float(min(claims["exp"], LAST_MOMENT) + LEEWAY_S),
        issued_at=float(claims["iat"]) if isinstance(claims.get("iat"), int | float) else None,
    )


def _name(claim: object) -> str | None:
    if not isinstance(claim, str) or len(claim) > MAX_NAME_LENGTH or not claim.isprintable():
        return None
    return claim.strip() or None
