"""Turns what a caller sends, a header or the payload of `connection_init`, into an identity."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from gateway.identity.development import DevelopmentIssuer, DevelopmentIssuerRefused
from gateway.identity.ended import EndedIdentities
from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import ANONYMOUS, Identity, Partner, Person
from gateway.identity.jwks import IssuerKeys, issuer_client
from gateway.identity.oidc import AccessTokens, open_token
from gateway.identity.partners import FindPartnerKey, is_partner_key, verify_partner_key
from gateway.identity.uses import KeyUses
from gateway.settings import Settings

MAX_REMEMBERED_TOKENS: Final = 10_000
MAX_INIT_HEADERS: Final = 50

OnCredential = Callable[[str, str], None]
"""Told of every credential: `person` or `partner`, and `accepted`, `refused` or `unavailable`."""


class Authenticator:
    """Knows every issuer whose tokens are accepted, and how partner keys are found.

    Verifying a signature costs more than most queries, so a token that was verified is remembered by its hash, at most
    10,000 of them, until it expires or its issuer's keys are replaced. Access tokens are not revoked one by one: they
    hold until `exp`, so issuers should keep them short, unless their person is erased. Partner keys are looked up every
    time and end at once.
    """

    def __init__(
        self,
        issuers: Sequence[AccessTokens],
        find_partner_key: FindPartnerKey,
        *,
        on_credential: OnCredential = lambda kind, outcome: None,
        ended: EndedIdentities | None = None,
        uses: KeyUses | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._find_partner_key = find_partner_key
        self._on_credential = on_credential
        self._ended = ended
        self._uses = uses
        self._now = now
        self._remembered: OrderedDict[bytes, tuple[Person, int]] = OrderedDict()

    async def from_header(self, authorization: str | None) -> Identity:
        """The identity behind an `Authorization` header; anonymous without one.

        Raises `Unauthenticated` for a credential that is not right, `IdentityUnavailable` while it cannot be checked.
        """
        if authorization is None:
            return ANONYMOUS
        scheme, _, credential = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not (credential := credential.strip()):
            raise Unauthenticated("The Authorization header must read: Bearer, a space, and the token")
        kind, outcome = ("partner" if is_partner_key(credential) else "person"), "unavailable"
        try:
            identity = await (self._partner(credential) if kind == "partner" else self._person(credential))
            outcome = "accepted"
            return identity
        except Unauthenticated:
            outcome = "refused"
            raise
        finally:
            self._on_credential(kind, outcome)

    async def from_connection_init(self, payload: object, authorization: str | None = None) -> Identity:
        """The identity behind the payload of `connection_init`: `{"Authorization": "Bearer …"}`, also within `headers`.

        Names are compared without regard to case. `authorization`, of the handshake, counts where the payload has none.
        Raises as `from_header` does.
        """
        if payload is None:
            return await self.from_header(authorization)
        if not isinstance(payload, Mapping):
            raise Unauthenticated("The payload of connection_init must be an object")
        given = _authorization(payload)
        return await self.from_header(authorization if given is None else given)

    async def _partner(self, key: str) -> Partner:
        partner = await verify_partner_key(key, self._find_partner_key, self._now())
        if self._uses is not None:
            self._uses.used(partner.key_id)
        return partner

    async def _person(self, token: str) -> Person:
        person = await self._verified(token)
        if self._ended is not None:
            await self._ended.check(person)
        return person

    async def _verified(self, token: str) -> Person:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if (person := self._recall(digest)) is not None:
            return person
        opened = open_token(token)
        issuer = self._issuers.get(opened.issuer) if isinstance(opened.issuer, str) else None
        if issuer is None:
            raise Unauthenticated("The access token was issued by somebody else")
        person = await issuer.verify(opened)
        # The verifier awaits nothing once it has the keys, so this is the generation that it used.
        self._remember(digest, person, issuer.generation)
        return person

    def _recall(self, digest: bytes) -> Person | None:
        if (entry := self._remembered.get(digest)) is None:
            return None
        person, generation = entry
        if person.expires_at <= self._now() or generation != self._issuers[person.issuer].generation:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return person

    def _remember(self, digest: bytes, person: Person, generation: int) -> None:
        self._remembered[digest] = (person, generation)
        while len(self._remembered) > MAX_REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)


@asynccontextmanager
async def open_authenticator(
    settings: Settings,
    find_partner_key: FindPartnerKey,
    *,
    development: DevelopmentIssuer | None = None,
    on_credential: OnCredential = lambda kind, outcome: None,
    ended: EndedIdentities | None = None,
    uses: KeyUses | None = None,
) -> AsyncIterator[Authenticator]:
    """An authenticator for the issuer of the settings, and for the development issuer where one is given.

    Does not wait for the issuer, which need not be reachable. Raises `DevelopmentIssuerRefused` in production.
    """
    if development is not None and settings.is_production:
        raise DevelopmentIssuerRefused("production takes access tokens from AGORA_OIDC_ISSUER alone")
    issuers = [] if development is None else [development.access_tokens()]
    async with AsyncExitStack() as stack:
        if settings.oidc_issuer is not None and settings.oidc_audience is not None:
            client = await stack.enter_async_context(issuer_client())
            keys = IssuerKeys(
                settings.oidc_issuer, client, https_only=settings.is_production, jwks_url=settings.oidc_jwks_url
            )
            stack.push_async_callback(keys.close)
            keys.warm()
            issuers.append(
                AccessTokens(
                    issuer=settings.oidc_issuer,
                    audience=settings.oidc_audience,
                    algorithms=settings.oidc_algorithms,
                    keys=keys,
                )
            )
        yield Authenticator(issuers, find_partner_key, on_credential=on_credential, ended=ended, uses=uses)


def _authorization(payload: Mapping[object, object]) -> str | None:
    headers = payload.get("headers")
    found = [value for part in (payload, headers) if isinstance(part, Mapping) for value in _values(part)]
    if not found:
        return None
    if len(found) > 1 or not isinstance(found[0], str):
        raise Unauthenticated("The payload of connection_init must hold one Authorization, a text")
    return found[0]


def _values(part: Mapping[object, object]) -> list[object]:
    if len(part) > MAX_INIT_HEADERS:
        raise Unauthenticated(f"The payload of connection_init may hold at most {MAX_INIT_HEADERS} entries")
    return [value for name, value in part.items() if isinstance(name, str) and name.lower() == "authorization"]
