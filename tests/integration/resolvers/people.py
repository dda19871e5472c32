"""People, for the tests of use cases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from datastores import accounts
from datastores.mongo import Database
from resolvers.context import Context

Ask = Callable[[str | None], Context]
START = datetime(2026, 1, 1)
NO_USER = "usr_01JD0000000000000000000000"


async def people(database: Database, *handles: str) -> list[str]:
    """The ids of new people with these handles, each a second older than the next."""
    documents = [
        accounts.user_document(handle=handle, display_name=handle.title(), created_at=START + timedelta(seconds=n))
        for n, handle in enumerate(handles)
    ]
    await accounts.insert_users(database, documents)
    return [document["_id"] for document in documents]
