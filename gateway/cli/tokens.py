"""Development tokens, and the demo partner's key, for the command line to hand out."""

from __future__ import annotations

import re
from typing import Final

from gateway.demo.script import PARTNER
from gateway.identity.development import DevelopmentIssuer, DevelopmentIssuerRefused
from gateway.settings import Settings

from .errors import CommandError

HANDLE: Final = re.compile(r"[a-z0-9_]{1,30}\Z")


def development_token(settings: Settings, handle: str) -> str:
    """A token for that person, or the demo partner's key; raises CommandError in production."""
    try:
        issuer = DevelopmentIssuer.open(settings.data_dir, settings.environment)
    except DevelopmentIssuerRefused as error:
        raise CommandError(str(error)) from None
    if handle == PARTNER:
        return issuer.partner_key(PARTNER).text
    if not HANDLE.match(handle):
        raise CommandError(f"{handle!r} is not a handle: 1 to 30 of a-z, 0-9 and _")
    return issuer.token(handle)
