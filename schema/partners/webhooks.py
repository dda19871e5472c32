"""Webhooks in the graph: endpoints of an application, what is done with them, and the log of what was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from datastores.mongo import Document
from datastores.webhooks import AttemptError, DeliveryState, DisabledReason
from resolvers import webhooks as use_cases
from schema.arguments import Info, or_none, present
from schema.composition import batched, loads, plain, root
from schema.entities import PaymentEvent, WebhookDelivery, WebhookEndpoint
from schema.errors import ConflictError, ForbiddenError, IdempotencyKeyReused, NotFoundError, ValidationError
from schema.scalars import URL, BigInt, Cursor
from schema.values import Connection

from .domain import CLIENT_ID, TYPES, partners


@strawberry.federation.type(shareable=True, description="A signing secret; the secret itself is shown when it is made.")
class WebhookSecret:
    created_at: datetime = plain(description="When it was made.")
    expires_at: datetime | None = plain(description="Until when it signs; null for no end.")


@strawberry.federation.type(shareable=True, description="One request to an endpoint.")
class WebhookAttempt:
    at: datetime = plain(description="When it was begun.")
    status_code: int | None = plain(description="What the endpoint answered; null where it did not answer.")
    duration_ms: int = plain(description="How long it took.")
    error: AttemptError | None = plain(description="What went wrong; null where nothing did.")


@partners.extends(WebhookEndpoint)
class WebhookEndpointFields:
    url: URL = plain(description="Where webhooks are sent.")
    types: list[str] | None = plain(description="Only events of these types; null for all.")
    description: str | None = plain(description="What the application noted, at most 140 characters.")
    enabled: bool = plain(description="Whether anything is sent.")
    disabled_reason: DisabledReason | None = plain(description="Why not; null while it is enabled.")
    disabled_at: datetime | None = plain(description="Since when not; null while it is enabled.")
    created_at: datetime = plain(description="When it was made.")
    secrets: list[WebhookSecret] = plain(description="One secret, or two for 24 hours after a rotation: each signs.")
    next_attempt_at: datetime | None = plain(
        description="When the event that failed is tried again; those after it wait. Null while nothing fails."
    )
    last_delivered_at: datetime | None = plain(description="When an event was last delivered; null for never.")
    settled_cursor: Cursor = batched(
        use_cases.settled_cursors,
        description="The cursor of the feed up to which every event was delivered, or given up.",
    )
    deliveries: Connection[WebhookDelivery] = batched(
        use_cases.deliveries,
        description="What was sent and is being tried, the newest first. It goes back 30 days.",
        state="Only those in this state",
        first="At most this many, 0–100; 20 if absent.",
        after="Go on after this cursor",
    )


@partners.extends(WebhookDelivery)
class WebhookDeliveryFields:
    endpoint: WebhookEndpoint | None = loads(
        WebhookEndpoint, key="endpoint_id", description="The endpoint; null once it is deleted."
    )
    type: str = plain(description="That of the event; of what is none, `webhook.test` or `webhook.disabled`.")
    seq: BigInt | None = plain(description="The number of the event; null for what is none.")
    event: PaymentEvent | None = loads(
        PaymentEvent, key="event_id", description="The event, as far as the key may see it; null for what is none."
    )
    state: DeliveryState = plain(description="What has become of it.")
    attempts: list[WebhookAttempt] = plain(description="The newest 20 attempts, the oldest first.")
    attempt_count: int = plain(description="How many there were in all.")
    next_attempt_at: datetime | None = plain(description="When it is tried again; null for never.")
    created_at: datetime = plain(description="When it was first tried.")
    delivered_at: datetime | None = plain(description="When it was last delivered; null for never.")


@strawberry.input(description="A new endpoint.")
class CreateWebhookEndpointInput:
    url: URL = strawberry.field(
        description="An https:// URL on the internet, port 443 or 8443, without user name and fragment."
    )
    types: list[str] | None = strawberry.field(default=UNSET, description=TYPES)
    description: str | None = strawberry.field(default=UNSET, description="A note, at most 140 characters.")
    after: Cursor | None = strawberry.field(
        default=UNSET, description="Begin after this cursor of the feed; with what happens from now on if absent."
    )
    client_id: str | None = strawberry.field(default=UNSET, description=CLIENT_ID)


@strawberry.input(description="What changes; what is absent stays.")
class UpdateWebhookEndpointInput:
    endpoint_id: strawberry.ID = strawberry.field(description="The endpoint.")
    url: URL | None = strawberry.field(default=UNSET, description="Where webhooks are sent from now on.")
    types: list[str] | None = strawberry.field(default=UNSET, description=f"{TYPES} Null: of all types.")
    description: str | None = strawberry.field(default=UNSET, description="A note, at most 140 characters; null: none.")
    enabled: bool | None = strawberry.field(
        default=UNSET, description="Whether anything is sent. Enabled again, it goes on where it stopped."
    )


@strawberry.input(description="Which endpoint.")
class WebhookEndpointRefInput:
    endpoint_id: strawberry.ID = strawberry.field(description="The endpoint.")


@strawberry.input(description="Whose secret.")
class RotateWebhookSecretInput:
    endpoint_id: strawberry.ID = strawberry.field(description="The endpoint.")
    client_id: str | None = strawberry.field(default=UNSET, description=CLIENT_ID)


@strawberry.input(description="From where on.")
class ReplayWebhooksInput:
    endpoint_id: strawberry.ID = strawberry.field(description="The endpoint.")
    after: Cursor = strawberry.field(description="A cursor of the feed: all past it is sent again, in order.")


@strawberry.input(description="Which delivery.")
class ReplayWebhookDeliveryInput:
    delivery_id: strawberry.ID = strawberry.field(description="The delivery: the `webhook-id` of what was sent.")


@strawberry.type(description="The endpoint with its secret.")
class WebhookEndpointWithSecretSuccess:
    endpoint: WebhookEndpoint = plain(description="The endpoint.")
    secret: str = plain(description="The newest signing secret, `whsec_…`: shown this once.")


@strawberry.type(description="The endpoint as it is now.")
class WebhookEndpointSuccess:
    endpoint: WebhookEndpoint = plain(description="The endpoint.")


@strawberry.type(description="The endpoint is gone.")
class DeleteWebhookEndpointSuccess:
    endpoint_id: strawberry.ID = plain(description="The id that it had.")


@strawberry.type(description="It is sent as soon as may be: what comes of it stands in the delivery.")
class WebhookDeliverySuccess:
    delivery: WebhookDelivery = plain(description="The delivery.")


CreateWebhookEndpointResult = Annotated[
    WebhookEndpointWithSecretSuccess | ForbiddenError | ValidationError | ConflictError | IdempotencyKeyReused,
    strawberry.union("CreateWebhookEndpointResult", description="What came of `createWebhookEndpoint`."),
]
RotateWebhookSecretResult = Annotated[
    WebhookEndpointWithSecretSuccess | NotFoundError | ForbiddenError | ValidationError | ConflictError,
    strawberry.union("RotateWebhookSecretResult", description="What came of `rotateWebhookSecret`."),
]
WebhookEndpointResult = Annotated[
    WebhookEndpointSuccess | NotFoundError | ForbiddenError | ValidationError | ConflictError,
    strawberry.union("WebhookEndpointResult", description="What came of a change of an endpoint."),
]
DeleteWebhookEndpointResult = Annotated[
    DeleteWebhookEndpointSuccess | NotFoundError | ForbiddenError,
    strawberry.union("DeleteWebhookEndpointResult", description="What came of `deleteWebhookEndpoint`."),
]
WebhookDeliveryResult = Annotated[
    WebhookDeliverySuccess | NotFoundError | ForbiddenError | ConflictError,
    strawberry.union("WebhookDeliveryResult", description="What came of asking for a webhook."),
]


@partners.root
class Mutation:
    @root(
        CreateWebhookEndpointResult | None,
        description=(
            "Have events sent to a URL, signed as Standard Webhooks has it. By a key with the scope `webhooks:write`, "
            "as all that is done with endpoints. `ConflictError` for a URL that has an endpoint, and for more than 20."
        ),
    )
    async def create_webhook_endpoint(
        self, info: Info, input: Annotated[CreateWebhookEndpointInput, strawberry.argument(description="The endpoint.")]
    ) -> Document:
        made = await use_cases.create_endpoint(
            info.context,
            url=input.url,
            types=or_none(input.types),
            description=or_none(input.description),
            after=or_none(input.after),
            client_id=or_none(input.client_id),
        )
        return _with_secret(made)

    @root(
        WebhookEndpointResult | None,
        description="Change an endpoint, disable or enable it. Its event that failed is tried again at once.",
    )
    async def update_webhook_endpoint(
        self, info: Info, input: Annotated[UpdateWebhookEndpointInput, strawberry.argument(description="What changes.")]
    ) -> Document:
        changes = present(url=input.url, types=input.types, description=input.description, enabled=input.enabled)
        changed: Any = await use_cases.update_endpoint(info.context, endpoint_id=input.endpoint_id, **changes)
        return {"__typename": "WebhookEndpointSuccess", "endpoint": changed}

    @root(
        DeleteWebhookEndpointResult | None,
        description="Delete an endpoint with its secrets. Its log stays for 30 days, by the ids of the deliveries.",
    )
    async def delete_webhook_endpoint(
        self, info: Info, input: Annotated[WebhookEndpointRefInput, strawberry.argument(description="Which endpoint.")]
    ) -> Document:
        await use_cases.delete_endpoint(info.context, endpoint_id=input.endpoint_id)
        return {"__typename": "DeleteWebhookEndpointSuccess", "endpoint_id": input.endpoint_id}

    @root(
        RotateWebhookSecretResult | None,
        description=(
            "Make a new signing secret. For 24 hours webhooks carry a signature by each of both. `ConflictError` while "
            "two are valid."
        ),
    )
    async def rotate_webhook_secret(
        self, info: Info, input: Annotated[RotateWebhookSecretInput, strawberry.argument(description="Whose secret.")]
    ) -> Document:
        made = await use_cases.rotate_secret(
            info.context, endpoint_id=input.endpoint_id, client_id=or_none(input.client_id)
        )
        return _with_secret(made)

    @root(
        WebhookDeliveryResult | None,
        description="Send a test, of type `webhook.test` and without an event: once, out of turn.",
    )
    async def send_test_webhook(
        self, info: Info, input: Annotated[WebhookEndpointRefInput, strawberry.argument(description="Which endpoint.")]
    ) -> Document:
        sent: Any = await use_cases.send_test(info.context, endpoint_id=input.endpoint_id)
        return {"__typename": "WebhookDeliverySuccess", "delivery": sent}

    @root(
        WebhookEndpointResult | None,
        description="Send everything past a cursor again, in order and with the same ids; then what is new.",
    )
    async def replay_webhooks(
        self, info: Info, input: Annotated[ReplayWebhooksInput, strawberry.argument(description="From where on.")]
    ) -> Document:
        changed: Any = await use_cases.replay_from(info.context, endpoint_id=input.endpoint_id, after=input.after)
        return {"__typename": "WebhookEndpointSuccess", "endpoint": changed}

    @root(
        WebhookDeliveryResult | None,
        description="Send one event again, such as a dead letter: once, out of turn, with the same id.",
    )
    async def replay_webhook_delivery(
        self,
        info: Info,
        input: Annotated[ReplayWebhookDeliveryInput, strawberry.argument(description="Which delivery.")],
    ) -> Document:
        sent: Any = await use_cases.replay_delivery(info.context, delivery_id=input.delivery_id)
        return {"__typename": "WebhookDeliverySuccess", "delivery": sent}


def _with_secret(made: use_cases.EndpointWithSecret) -> Document:
    return {"__typename": "WebhookEndpointWithSecretSuccess", "endpoint": made.endpoint, "secret": made.secret}
