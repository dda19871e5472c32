"""The domain of partners, and what its files share."""

from __future__ import annotations

from typing import Final

import strawberry

from datastores.partners import EVENT_TYPES, Mode, PartnerDocument, PartnerKeyDocument
from datastores.webhooks import AttemptError, DeliveryDocument, DeliveryState, DisabledReason, EndpointDocument
from resolvers import partners as use_cases
from resolvers import webhooks as webhook_use_cases
from schema.composition import Domain
from schema.entities import Application, PartnerKey, PaymentEvent, WebhookDelivery, WebhookEndpoint

TYPES: Final = f"Only events of these types, one or more of {', '.join(f'`{each}`' for each in EVENT_TYPES)}."
CLIENT_ID: Final = (
    "Yours to choose, 1 to 100 printable characters: sent again with the same one, "
    "it is the same act with the same answer."
)

partners = Domain("partners")
partners.owns(PaymentEvent, use_cases.by_id, document=use_cases.PaymentEventDocument)
partners.owns(Application, use_cases.applications_by_id, document=PartnerDocument)
partners.owns(PartnerKey, use_cases.keys_by_id, document=PartnerKeyDocument)
partners.owns(WebhookEndpoint, webhook_use_cases.endpoints_by_id, document=EndpointDocument)
partners.owns(WebhookDelivery, webhook_use_cases.deliveries_by_id, document=DeliveryDocument)

strawberry.enum(
    Mode,
    name="ApplicationMode",
    description="Whether an application follows merchants that are for real, or such as are there to try things out.",
)
strawberry.enum(
    DeliveryState,
    name="WebhookDeliveryState",
    description="PENDING is tried again, DELIVERED was answered with 200 to 299, DEAD was given up: replay it.",
)
strawberry.enum(
    DisabledReason,
    name="WebhookDisabledReason",
    description="REQUESTED by the application; GONE: it answered 410; DEAD_LETTERS: two events in a row were given up.",
)
strawberry.enum(
    AttemptError,
    name="WebhookError",
    description=(
        "STATUS: not 200 to 299. REDIRECT: they are not followed. TIMEOUT: 15 s were over. CONNECTION, NAME, TLS, "
        "PROTOCOL: there is nobody, no such name, no valid certificate, no HTTP. ADDRESS, URL: webhooks may not go "
        "there. FORBIDDEN: the application may not see the event any more, so nothing was sent."
    ),
)
