"""Applications in the graph: what one sees of itself by its key, and what it does with its keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import strawberry
from strawberry import UNSET

from datastores.mongo import Document
from datastores.partners import Mode
from resolvers import partners as use_cases
from resolvers import webhooks as webhook_use_cases
from resolvers.context import SCOPES
from schema.arguments import Info, or_none
from schema.composition import batched, plain, root
from schema.entities import Application, PartnerKey, WebhookEndpoint
from schema.errors import ConflictError, ForbiddenError, NotFoundError, ValidationError
from schema.values import Connection

from .domain import partners

ALL_SCOPES: Final = ", ".join(f"`{each}`" for each in SCOPES)


@partners.extends(Application)
class ApplicationFields:
    name: str = plain(description="What it is called.")
    mode: Mode = plain(description="LIVE or SANDBOX, for ever: one never sees the merchants of the other.")
    created_at: datetime = plain(description="When it was made.")
    keys: Connection[PartnerKey] = batched(
        use_cases.keys,
        description="Its keys, those that have ended too, the newest first.",
        first="At most this many, 0–100; 20 if absent.",
        after="Go on after this cursor",
    )
    webhook_endpoints: list[WebhookEndpoint] = batched(
        webhook_use_cases.endpoints, description="Where its events are sent; at most 20."
    )


@partners.extends(PartnerKey)
class PartnerKeyFields:
    name: str = plain(description="What it is called; no two valid keys of an application share a name.")
    scopes: list[str] = plain(description=f"What it may do: {ALL_SCOPES}.")
    created_at: datetime = plain(description="When it was made.")
    expires_at: datetime | None = plain(description="When it ends by itself, since it was rotated; null for never.")
    revoked_at: datetime | None = plain(description="When it was revoked; null unless it was.")
    last_used_at: datetime | None = plain(
        description="When it was last used, or up to a minute earlier; null for never."
    )


@strawberry.input(description="Another key.")
class CreatePartnerKeyInput:
    name: str = strawberry.field(description="What to call it, 1–100 characters.")
    scopes: list[str] = strawberry.field(description=f"What it may do, of {ALL_SCOPES}; no more than the asking key.")


@strawberry.input(description="Which key, and for how long it lives on.")
class RotatePartnerKeyInput:
    key_id: strawberry.ID = strawberry.field(description="The key.")
    overlap_hours: int | None = strawberry.field(
        default=UNSET, description="How long both are valid, 0–168; 24 if absent. With 0 the old one ends at once."
    )


@strawberry.input(description="Which key.")
class RevokePartnerKeyInput:
    key_id: strawberry.ID = strawberry.field(description="The key.")


@strawberry.type(description="A key was made.")
class CreatePartnerKeySuccess:
    key: PartnerKey = plain(description="The key.")
    secret: str = plain(description="The key itself, `agora_pk_…`: shown this once.")


@strawberry.type(description="There are two keys now, until the old one ends.")
class RotatePartnerKeySuccess:
    key: PartnerKey = plain(description="The new key, with the name and the scopes of the old one.")
    secret: str = plain(description="The new key itself, `agora_pk_…`: shown this once.")
    previous: PartnerKey = plain(description="The old key, with the time at which it ends.")


@strawberry.type(description="The key is of no use any more.")
class RevokePartnerKeySuccess:
    key: PartnerKey = plain(description="The key.")


CreatePartnerKeyResult = Annotated[
    CreatePartnerKeySuccess | ForbiddenError | ValidationError | ConflictError,
    strawberry.union("CreatePartnerKeyResult", description="What came of `createPartnerKey`."),
]
RotatePartnerKeyResult = Annotated[
    RotatePartnerKeySuccess | NotFoundError | ForbiddenError | ValidationError | ConflictError,
    strawberry.union("RotatePartnerKeyResult", description="What came of `rotatePartnerKey`."),
]
RevokePartnerKeyResult = Annotated[
    RevokePartnerKeySuccess | NotFoundError | ForbiddenError,
    strawberry.union("RevokePartnerKeyResult", description="What came of `revokePartnerKey`."),
]


@partners.root
class Query:
    @root(Application | None, description="The application whose key is used; null for everybody else.")
    async def application(self, info: Info) -> Document | None:
        return await use_cases.application(info.context)


@partners.root
class Mutation:
    @root(
        CreatePartnerKeyResult | None,
        description=(
            "Make another key of the application, by one with the scope `keys:write`. `ConflictError` where a valid "
            "key has this name, so sent twice it makes one; and for more than 20 valid keys."
        ),
    )
    async def create_partner_key(
        self, info: Info, input: Annotated[CreatePartnerKeyInput, strawberry.argument(description="The key.")]
    ) -> Document:
        made = await use_cases.create_key(info.context, name=input.name, scopes=input.scopes)
        return {"__typename": "CreatePartnerKeySuccess", "key": made.key, "secret": made.text}

    @root(
        RotatePartnerKeyResult | None,
        description=(
            "Replace a key by another, and let it end when the overlap is over. `ConflictError` for one that has "
            "ended, or whose successor is valid, so sent twice it makes one; revoke the successor to rotate again."
        ),
    )
    async def rotate_partner_key(
        self, info: Info, input: Annotated[RotatePartnerKeyInput, strawberry.argument(description="Which key.")]
    ) -> Document:
        made, previous = await use_cases.rotate_key(
            info.context, key_id=input.key_id, overlap_hours=or_none(input.overlap_hours)
        )
        return {"__typename": "RotatePartnerKeySuccess", "key": made.key, "secret": made.text, "previous": previous}

    @root(
        RevokePartnerKeyResult | None,
        description=(
            "End a key at once, with the streams that it opened, also the asking one itself. Revoked twice it keeps "
            "its time. An application without a valid key is sent no webhooks."
        ),
    )
    async def revoke_partner_key(
        self, info: Info, input: Annotated[RevokePartnerKeyInput, strawberry.argument(description="Which key.")]
    ) -> Document:
        ended: Any = await use_cases.revoke_key(info.context, key_id=input.key_id)
        return {"__typename": "RevokePartnerKeySuccess", "key": ended}
