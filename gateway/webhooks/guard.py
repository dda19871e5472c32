"""Which address a webhook connects to: its name is looked up once, and nothing but what was judged is connected to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final

from datastores.webhooks import AttemptError
from resolvers.webhooks import Target, is_public

LOOKUP_TIMEOUT_S: Final = 5.0
MAX_ADDRESSES: Final = 3

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name, as text, in the order in which to try them; raises OSError where there are none."""


class Refused(Exception):
    """Nothing was sent, for the reason that `error` names."""

    def __init__(self, error: AttemptError) -> None:
        super().__init__(error)
        self.error = error


async def look_up(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver says."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(each[4][0]) for each in found]


class Guard:
    """Judges where webhooks may connect to. With `private`, for development, that is anywhere."""

    def __init__(self, *, private: bool, look_up: LookUp = look_up) -> None:
        self.private = private
        self._look_up = look_up

    async def addresses(self, target: Target) -> list[str]:
        """The addresses to try in turn, at most 3; raises Refused.

        Where one address of a name is not public none is used: a name that points inside is no accident.
        """
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                found = list(dict.fromkeys(await self._look_up(target.host, target.port)))
            judged = [ip_address(each) for each in found]
        except (OSError, UnicodeError, TimeoutError, ValueError):
            raise Refused(AttemptError.NAME) from None
        if not judged:
            raise Refused(AttemptError.NAME)
        if not self.private and not all(is_public(each) for each in judged):
            raise Refused(AttemptError.ADDRESS)
        return found[:MAX_ADDRESSES]
