"""Endpoints of an application: made, changed and deleted by a key with the scope `webhooks:write`, seen by any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from datastores import ledger
from datastores import webhooks as store
from datastores.errors import ConflictError, ValidationError
from datastores.ids import new_id
from datastores.mongo import Document
from datastores.paging import decode_cursor, encode_cursor
from datastores.signals import publish
from datastores.webhooks import DisabledReason, EndpointDocument, SecretDocument
from resolvers import partners
from resolvers.connections import HasId
from resolvers.context import WEBHOOKS_WRITE, Context
from resolvers.texts import client_id as checked_client_id
from resolvers.texts import trimmed_or_none

from .addresses import target_of
from .secrets import new_secret, text_of

CHANNEL: Final = "webhooks"
MAX_DESCRIPTION: Final = 140
MAX_SWAPS: Final = 5


@dataclass(frozen=True, slots=True)
class EndpointWithSecret:
    """An endpoint, and the newest of its secrets."""

    endpoint: EndpointDocument
    secret: str


async def by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the endpoint, or None unless it is the application's that asks."""
    if ctx.viewer.partner_id is None:
        return [None] * len(ids)
    found = await store.endpoints_by_ids(ctx.database, ids)
    theirs = [each if each is not None and each["partner_id"] == ctx.viewer.partner_id else None for each in found]
    return cast("list[Document | None]", theirs)


async def endpoints(ctx: Context, applications: Sequence[HasId]) -> list[list[Document]]:
    """For each application its endpoints; at most 20."""
    return [
        cast("list[Document]", await store.endpoints_of(ctx.database, application["_id"]))
        for application in applications
    ]


async def settled_cursors(ctx: Context, endpoints: Sequence[EndpointDocument]) -> list[str]:
    """For each endpoint the cursor of the feed up to which all was delivered, or given up."""
    return [encode_cursor(partners.feed_scope(ctx.viewer), endpoint["cursor"]) for endpoint in endpoints]


async def create_endpoint(
    ctx: Context,
    *,
    url: str,
    types: Sequence[str] | None = None,
    description: str | None = None,
    after: str | None = None,
    client_id: str | None = None,
) -> EndpointWithSecret:
    """An endpoint that gets the events past the cursor `after`, or those from now on; with its secret.

    Again with the same `client_id`: the same endpoint, with the secret that it was made with. Raises ValidationError
    for a URL that no webhook may go to, for a type that there is not, and for a cursor of another feed or from the
    future, and ConflictError for a URL that has an endpoint and for more than 20.
    """
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    target_of(url, private=ctx.private_webhooks)
    cid = checked_client_id(client_id, "clientId")
    now = ctx.now()
    id = new_id("whe")
    secret, _ = new_secret(ctx.keys.master, id, now, cid)
    draft: EndpointDocument = {
        "_id": id,
        "partner_id": partner_id,
        "slot": 0,
        "shard": store.shard_of(id),
        "client_id": cid,
        "url": url,
        "types": partners.checked_types(types),
        "description": trimmed_or_none(description, "description", most=MAX_DESCRIPTION),
        "enabled": True,
        "disabled_reason": None,
        "disabled_at": None,
        "created_at": now,
        "secrets": [secret],
        "cursor": await _place(ctx, after),
        "generation": 0,
        "term": 0,
        "head": None,
        "next_attempt_at": None,
        "dead_in_a_row": 0,
        "last_delivered_at": None,
    }
    made = await store.create_endpoint(ctx.database, draft)
    await tell(ctx, made)
    return EndpointWithSecret(made, text_of(ctx.keys.master, made["_id"], _made_with(made, cid)))


async def update_endpoint(ctx: Context, *, endpoint_id: str, **changes: Any) -> EndpointDocument:
    """The endpoint with these changes: `url`, `types`, `description`, `enabled`; what is not given stays.

    Enabled again it goes on with the event after the last that was settled. Raises NotFoundError, ValidationError and
    ConflictError as `create_endpoint` does.
    """
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    before = await store.endpoint_of(ctx.database, partner_id, endpoint_id)
    wanted: dict[str, Any] = {}
    if "url" in changes:
        if changes["url"] is None:
            raise ValidationError("An endpoint has a URL", "url")
        target_of(changes["url"], private=ctx.private_webhooks)
        wanted["url"] = changes["url"]
    if "types" in changes:
        wanted["types"] = partners.checked_types(changes["types"])
    if "description" in changes:
        wanted["description"] = trimmed_or_none(changes["description"], "description", most=MAX_DESCRIPTION)
    if "enabled" in changes:
        wanted |= _enabled(ctx.now(), before, changes["enabled"])
    if all(before[name] == value for name, value in wanted.items()):  # type: ignore[literal-required]
        return before
    changed = await store.change_endpoint(ctx.database, partner_id, endpoint_id, wanted)
    await tell(ctx, changed)
    return changed


async def delete_endpoint(ctx: Context, *, endpoint_id: str) -> None:
    """Forget the endpoint with its secrets; what is under way to it may still arrive. Raises NotFoundError."""
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    endpoint = await store.endpoint_of(ctx.database, partner_id, endpoint_id)
    await store.delete_endpoint(ctx.database, partner_id, endpoint_id)
    await tell(ctx, endpoint)


async def rotate_secret(ctx: Context, *, endpoint_id: str, client_id: str | None = None) -> EndpointWithSecret:
    """The endpoint with a new secret; the one before it is valid for 24 more hours, in which both sign.

    Again with the same `client_id`: the same secret. Raises NotFoundError, and ConflictError while two are valid.
    """
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    cid = checked_client_id(client_id, "clientId")
    for _ in range(MAX_SWAPS):
        endpoint = await store.endpoint_of(ctx.database, partner_id, endpoint_id)
        now = ctx.now()
        if cid is not None and endpoint["secrets"][-1]["client_id"] == cid:
            return EndpointWithSecret(endpoint, text_of(ctx.keys.master, endpoint_id, endpoint["secrets"][-1]))
        *_, newest = endpoint["secrets"]
        if any(each["expires_at"] is not None and each["expires_at"] > now for each in endpoint["secrets"]):
            raise ConflictError("Two secrets are valid now: rotate again when the older has ended")
        secret, text = new_secret(ctx.keys.master, endpoint_id, now, cid)
        ending: SecretDocument = {**newest, "expires_at": now + store.SECRETS_OVERLAP}
        if (changed := await store.replace_secrets(ctx.database, endpoint, [ending, secret])) is not None:
            await tell(ctx, changed)
            return EndpointWithSecret(changed, text)
    raise ConflictError("The secret is being rotated by others: look at what is there now")


async def replay_from(ctx: Context, *, endpoint_id: str, after: str) -> EndpointDocument:
    """The endpoint, which gets everything past the cursor again, in order, and then what is new.

    Raises NotFoundError, and ValidationError for a cursor of another feed, or one that it has not come to yet.
    """
    partner_id = partners.partner_of(ctx, WEBHOOKS_WRITE)
    endpoint = await store.endpoint_of(ctx.database, partner_id, endpoint_id)
    place = await _place(ctx, after)
    if place > endpoint["cursor"]:
        raise ValidationError("The endpoint has not come to this cursor yet, and nothing is left out", "after")
    changed = await store.change_endpoint(ctx.database, partner_id, endpoint_id, {"cursor": place})
    await tell(ctx, changed)
    return changed


async def tell(ctx: Context, endpoint: EndpointDocument) -> None:
    """Tell whoever delivers to this endpoint that it has changed; it would find out by itself within seconds."""
    await publish(ctx.database, CHANNEL, str(endpoint["shard"]), {"endpoint_id": endpoint["_id"]})


def _enabled(now: datetime, before: EndpointDocument, enabled: bool | None) -> dict[str, Any]:
    if enabled is None:
        raise ValidationError("An endpoint is enabled or not", "enabled")
    if enabled == before["enabled"]:
        return {}
    reason = None if enabled else DisabledReason.REQUESTED.value
    return {"enabled": enabled, "disabled_reason": reason, "disabled_at": None if enabled else now}


def _made_with(endpoint: EndpointDocument, client_id: str | None) -> SecretDocument:
    theirs = [each for each in endpoint["secrets"] if each["client_id"] == client_id]
    return (theirs or endpoint["secrets"])[-1]


async def _place(ctx: Context, after: str | None) -> int:
    head = await ledger.head(ctx.database)
    newest = 0 if head is None else head["n"]
    if after is None:
        return newest
    place = cast(int, decode_cursor(partners.feed_scope(ctx.viewer), after, int)[0])
    if place > newest:
        raise ValidationError("The cursor is past the end of the feed: pass one that the feed gave", "after")
    return place
