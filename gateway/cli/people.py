"""Erasing people on the command line."""

from __future__ import annotations

from collections.abc import Callable

from datastores import accounts
from datastores.commit import CommitLoops
from datastores.ids import is_id
from datastores.mongo import Database, Document
from datastores.person_keys import PersonKeys
from datastores.sealing import check_master_key
from gateway.live.hub import Hub
from gateway.master_key import master_key
from gateway.settings import Settings
from resolvers.context import Context
from resolvers.erasure import erase_person

from .databases import open_database
from .errors import CommandError


async def erase(settings: Settings, named: str, confirm: Callable[[str], bool] | None) -> str:
    """A line that says that this person, by handle or id, is erased; `confirm` is asked before.

    Raises CommandError where there is nobody or the answer is no, and ConflictError with all that stands in the way.
    """
    master = master_key(settings)
    async with open_database(settings) as database:
        await check_master_key(database, master)
        user = await _person(database, named)
        question = f"Erase {user['handle']} ({user['display_name']}, {user['_id']}) for ever?"
        if confirm is not None and not confirm(question):
            raise CommandError("nothing was erased")
        commits = CommitLoops(database)
        context = Context(database, commits, Hub(database, {}), keys=PersonKeys(master))
        try:
            await erase_person(context, user["_id"])
        finally:
            await commits.drain()
    return f"erased {user['_id']}, who is {accounts.erased_handle(user['_id'])} now"


async def _person(database: Database, named: str) -> Document:
    if is_id("usr", named):
        (user,) = await accounts.by_ids(database, [named])
    else:
        (user,) = await accounts.by_handles(database, [named.removeprefix("@")])
    if user is None:
        raise CommandError(f"{named!r} is neither a person's handle nor their id")
    return user
