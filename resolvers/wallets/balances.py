"""Following balances: every entry that changes a wallet of the viewer, with the wallet as it stood afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable, Sequence
from contextlib import aclosing
from typing import cast

from datastores import ledger
from datastores.errors import NotFoundError
from datastores.ledger import Entry
from datastores.mongo import Document
from datastores.paging import decode_cursor
from resolvers.audiences import DELIVERY, Delivery
from resolvers.context import Context
from resolvers.streams import follow

from .acting import balance_cursor, balance_scope


async def balance_changed(
    ctx: Context, *, wallet_id: str | None = None, after: str | None = None
) -> AsyncGenerator[Document, None]:
    """Each change of the wallet, or of all the viewer's wallets, past `after` or from now on; in order.

    `coalesced` counts the changes of the same wallet that were left out because the reader was slow. Raises
    NotFoundError for a wallet that is not the viewer's, and what `streams.follow` raises.
    """
    viewer_id = ctx.viewer.person()
    scope = balance_scope(viewer_id)
    place = None if after is None else cast(int, decode_cursor(scope, after, int)[0])
    owned = [account["_id"] for account in await ledger.wallets_of(ctx.database, [viewer_id])]
    if wallet_id is not None and wallet_id not in owned:
        raise NotFoundError("There is no such wallet of yours")

    async def wanted() -> Sequence[str]:
        if wallet_id is not None:
            return [wallet_id]
        return [account["_id"] for account in await ledger.wallets_of(ctx.database, [viewer_id])]

    async def head() -> int:
        found = await ledger.head(ctx.database)
        return 0 if found is None else found["n"]

    async def read(seq: int, limit: int) -> list[Document]:
        rows = await ledger.account_events_after(ctx.database, await wanted(), seq, limit)
        return cast("list[Document]", rows)

    def changed(row: Document) -> Hashable:
        return tuple(leg["account_id"] for leg in row["legs"] if _is_wanted(leg, viewer_id, wallet_id))

    rows = follow(
        ctx,
        "entries",
        [wallet_id or viewer_id],
        after=place,
        head=head,
        read=read,
        number=lambda row: cast(int, row["seq"]),
        scope=scope,
        coalesce=changed,
    )
    versions: dict[str, int] = {}
    async with aclosing(rows):
        async for row in rows:
            for event in _events(cast(Entry, row), viewer_id, wallet_id, versions):
                yield event


def _events(entry: Entry, viewer_id: str, wallet_id: str | None, versions: dict[str, int]) -> list[Document]:
    """One event a leg; only the last carries the entry's own cursor, so that none is lost between two."""
    legs = [
        (index, leg) for index, leg in enumerate(entry["legs"]) if _is_wanted(cast(Document, leg), viewer_id, wallet_id)
    ]
    shown = {leg["wallet_id"]: leg for leg in ledger.leg_documents(entry)} if ledger.has_statement(entry) else {}
    events: list[Document] = []
    for index, leg in legs:
        id, version = leg["account_id"], leg["version_after"]
        left_out = max(version - versions.get(id, version - 1) - 1, 0)
        versions[id] = version
        seq = entry["seq"] if index == legs[-1][0] else entry["seq"] - 1
        events.append(
            {
                "cursor": balance_cursor(viewer_id, seq),
                "wallet": ledger.wallet_after(entry, id),
                "entry": shown.get(id),
                "coalesced": left_out,
                DELIVERY: Delivery(entry["seq"]),
            }
        )
    return events


def _is_wanted(leg: Document, viewer_id: str, wallet_id: str | None) -> bool:
    return bool(leg["owner_id"] == viewer_id and wallet_id in (None, leg["account_id"]))
