"""Whether a credential that was right when a socket or a stream was opened still is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from datastores.errors import ExpectedError
from gateway.identity.errors import PersonEnded, Unauthenticated
from gateway.identity.identities import Anonymous, Identity, Partner

Recheck = Callable[[], Awaitable[Identity]]
"""Takes the credential again, as it was taken at first."""


async def still_holds(identity: Identity, recheck: Recheck) -> bool:
    """False once a partner's key was revoked or a person erased; what cannot be looked up just now still holds.

    Partners stay connected for days, so the end of a key must reach them there. Access tokens of people who are not
    erased hold until they expire.
    """
    if isinstance(identity, Anonymous):
        return True
    try:
        await recheck()
    except PersonEnded:
        return False
    except Unauthenticated:
        return not isinstance(identity, Partner)
    except ExpectedError:
        return True
    return True
