"""The two ways in which a credential is not accepted: it is wrong, or it cannot be checked just now."""

from __future__ import annotations

from typing import Final

from datastores.errors import UnauthenticatedError, UnavailableError

RETRY_AFTER_S: Final = 10


class Unauthenticated(UnauthenticatedError):
    """The credential is malformed, expired, revoked or not meant for us: 401, or 4403 on a socket.

    The message is made for the caller and never quotes the credential.
    """

    @property
    def challenge(self) -> str:
        """The value of the `WWW-Authenticate` header (RFC 6750)."""
        return f'Bearer realm="agora", error="invalid_token", error_description="{self.message}"'


class PersonEnded(Unauthenticated):
    """The credential was right, but the person whom it names has been erased since it was issued."""


class IdentityUnavailable(UnavailableError):
    """The issuer's keys are not at hand, so the credential is neither right nor wrong: 503 with `Retry-After`."""

    retry_after_s = RETRY_AFTER_S
