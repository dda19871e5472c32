"""Merchants: opening one, and seeing anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datastores import merchants as store
from datastores.errors import ForbiddenError
from datastores.merchants import MerchantDocument
from resolvers.connections import HasId
from resolvers.context import Context
from resolvers.texts import trimmed

MAX_NAME: Final = 140
MAX_DESCRIPTION: Final = 10_000


async def merchants_by_id(ctx: Context, ids: Sequence[str]) -> list[MerchantDocument | None]:
    """For each id the merchant or None; everybody may see every merchant."""
    return await store.merchants_by_ids(ctx.database, ids)


async def merchant(ctx: Context, *, id: str) -> MerchantDocument | None:
    """The merchant with this id, or None."""
    return (await store.merchants_by_ids(ctx.database, [id]))[0]


async def merchants_of_users(ctx: Context, users: Sequence[HasId]) -> list[MerchantDocument | None]:
    """For each user the merchant that they own, or None; one read."""
    return await store.merchants_by_ids(ctx.database, [store.merchant_id(user["_id"]) for user in users])


async def open_merchant(ctx: Context, *, name: str, description: str | None = None) -> MerchantDocument:
    """The viewer's new merchant.

    Raises ValidationError for a name without or with more than 140 characters, or a description of more than 10,000;
    ConflictError where the viewer has a merchant already.
    """
    made = store.merchant_document(
        owner_id=ctx.viewer.person(),
        name=trimmed(name, "name", most=MAX_NAME),
        description=trimmed(description or "", "description", most=MAX_DESCRIPTION, least=0),
        created_at=ctx.now(),
    )
    await store.open_merchant(ctx.database, made)
    return made


async def merchant_of_viewer(ctx: Context) -> MerchantDocument:
    """The merchant that the viewer owns; raises ForbiddenError where they have none."""
    (found,) = await merchants_of_users(ctx, [{"_id": ctx.viewer.person()}])
    if found is None:
        raise ForbiddenError("Open a merchant first")
    return found
