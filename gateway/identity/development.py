"""The development issuer: tokens for the demo town's people, signed with a key that never leaves the data folder."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from datastores.errors import ExpectedError
from datastores.ids import derived_id
from gateway.identity.jwks import FixedKeys
from gateway.identity.oidc import AccessTokens
from gateway.identity.partners import KEY_ID_PREFIX, NewPartnerKey, partner_key
from gateway.settings import DEVELOPMENT_ISSUER, Environment

DEVELOPMENT_AUDIENCE: Final = "agora"
KEY_FILE: Final = "development-issuer.json"
TOKEN_LIFETIME_S: Final = 30 * 24 * 3600
MAX_HANDLE_LENGTH: Final = 64
_ALGORITHM: Final = "Ed25519"


class DevelopmentIssuerRefused(ExpectedError):
    """There is no development issuer here: this is production, or its key cannot be read."""


class DevelopmentIssuer:
    """Signs tokens for anybody, without asking for a password; open it with `DevelopmentIssuer.open`."""

    def __init__(self, key: OKPKey, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    @classmethod
    def open(
        cls, data_dir: Path, environment: Environment, *, now: Callable[[], float] = time.time
    ) -> DevelopmentIssuer:
        """The issuer whose key is in the data folder, where it is made on first use, readable by its owner alone.

        Raises `DevelopmentIssuerRefused` in production, and where the key is not readable.
        """
        if environment is Environment.PRODUCTION:
            raise DevelopmentIssuerRefused("production takes access tokens from AGORA_OIDC_ISSUER alone")
        path = data_dir / KEY_FILE
        try:
            if not path.exists():
                _create(path)
            path.chmod(0o600)
            return cls(OKPKey.import_key(json.loads(path.read_bytes())), now)
        except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
            raise DevelopmentIssuerRefused(f"{path} is not usable ({error}): remove it to make a new key") from None

    def token(self, handle: str, *, name: str | None = None, lifetime_s: int = TOKEN_LIFETIME_S) -> str:
        """An access token for that person; raises ValueError unless the handle has 1 to 64 printable characters."""
        if not 1 <= len(handle) <= MAX_HANDLE_LENGTH or not handle.isprintable():
            raise ValueError(f"a handle has 1 to {MAX_HANDLE_LENGTH} printable characters")
        issued_at = int(self._now())
        claims = {
            "iss": DEVELOPMENT_ISSUER,
            "aud": DEVELOPMENT_AUDIENCE,
            "sub": handle,
            "preferred_username": handle,
            "iat": issued_at,
            "exp": issued_at + lifetime_s,
        }
        if name is not None:
            claims["name"] = name
        header = {"alg": _ALGORITHM, "kid": self._key.kid, "typ": "at+jwt"}
        return jwt.encode(header, claims, self._key, algorithms=[_ALGORITHM])

    def partner_key(self, name: str) -> NewPartnerKey:
        """The key of a demo partner: the same each time, so it can be shown again without being kept anywhere."""
        secret = hmac.digest(self._key.as_bytes(private=True), f"partner {name}".encode(), hashlib.sha256)
        return partner_key(derived_id(KEY_ID_PREFIX, "demo", name), int.from_bytes(secret, "big"))

    def access_tokens(self) -> AccessTokens:
        """A verifier of the tokens that this issuer signs."""
        return AccessTokens(
            issuer=DEVELOPMENT_ISSUER,
            audience=DEVELOPMENT_AUDIENCE,
            algorithms=(_ALGORITHM,),
            keys=FixedKeys([OKPKey.import_key(self._key.as_dict(private=False))]),
            now=self._now,
        )


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = OKPKey.generate_key(_ALGORITHM, parameters={"use": "sig", "alg": _ALGORITHM}, auto_kid=True)
    # Written whole and then linked: of two processes that start at once one wins, and neither reads half a key.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(key.as_dict(private=True), file)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
