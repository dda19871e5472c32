"""What a credential proves about its bearer, before anything is known of their account."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Nobody in particular: no credential was sent."""

    expires_at: None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A person, known by `issuer` and `subject` together; the names are what the issuer calls them, if it says.

    `expires_at` is the Unix time in seconds after which the credential is no longer honoured; `issued_at` that at which
    it was issued, if it says.
    """

    issuer: str
    subject: str
    preferred_username: str | None
    name: str | None
    expires_at: float
    issued_at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Partner:
    """An application of a partner with the scopes of the key that it used; `expires_at` as for a person, or never."""

    partner_id: str
    key_id: str
    scopes: frozenset[str]
    expires_at: float | None = None


Identity = Anonymous | Person | Partner
ANONYMOUS: Final = Anonymous()
