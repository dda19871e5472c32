"""Whether a credential that was right when a socket or a stream was opened still is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from datastores.errors import ExpectedError
from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Identity, Partner

Recheck = Callable[[], Awaitable[Identity]]
"""Takes the credential again, as it was taken at first."""


async def still_holds(identity: Identity, recheck: Recheck) -> bool:
    """False once a partner's key was revoked; a key that cannot be looked up just now still holds.

    Partners stay connected for days, so the end of a key must reach them there. Access tokens hold until they expire.
    """
    if not isinstance(identity, Partner):
        return True
    try:
        await recheck()
    except Unauthenticated:
        return False
    except ExpectedError:
        return True
    return True
