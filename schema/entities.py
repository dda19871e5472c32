"""The entities: each holds only its key, and domains contribute its fields."""

from __future__ import annotations

from typing import Final

import strawberry

from resolvers.context import Context


@strawberry.interface(description="Anything that has an id. Ids are opaque, globally unique and never reused.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque and globally unique; pass it to `node(id:)`.")


@strawberry.federation.type(keys=["id"], description="A person. Everybody may see their profile.")
class User(Node):
    pass


@strawberry.federation.type(keys=["id"], description="The signed-in person: everything here is private to them.")
class Viewer:
    id: strawberry.ID = strawberry.field(description="The id of the viewer's user.")

    @staticmethod
    def may_reference(context: Context, id: str) -> bool:
        """Whether the caller is the viewer that a subgraph was asked about."""
        return context.viewer.user_id == id


@strawberry.federation.type(keys=["id"], description="A post. Everybody may read it.")
class Post(Node):
    pass


@strawberry.federation.type(keys=["id"], description="A conversation. Only its members may see it.")
class Conversation(Node):
    pass


@strawberry.federation.type(keys=["id"], description="A message. Only members of its conversation may see it.")
class Message(Node):
    pass


@strawberry.federation.type(keys=["id"], description="A person's account in one currency. Only its owner may see it.")
class Wallet(Node):
    pass


@strawberry.federation.type(
    keys=["id"],
    description="One leg of an entry of the ledger: its id names entry and wallet, its amounts are that wallet's.",
)
class LedgerEntry(Node):
    pass


@strawberry.federation.type(
    keys=["id"],
    description=(
        "Money on its way from one person to another. Sender and recipient see all of it; members of a conversation "
        "where it is shown see id, createdAt, amount, people, memo and state."
    ),
)
class Transfer(Node):
    pass


@strawberry.federation.type(
    keys=["id"], description="Somebody asks somebody for money. Requester and payer may see it."
)
class PaymentRequest(Node):
    pass


@strawberry.federation.type(keys=["id"], description="A shop. Everybody may see it.")
class Merchant(Node):
    pass


@strawberry.federation.type(
    keys=["id"], description="Something a merchant offers. Everybody may see it unless it is a draft."
)
class Listing(Node):
    pass


@strawberry.federation.type(keys=["id"], description="A purchase. Its buyer and its merchant's owner may see it.")
class Order(Node):
    pass


@strawberry.federation.type(keys=["id"], description="Something that happened to the viewer. Theirs alone.")
class Notification(Node):
    pass


@strawberry.federation.type(
    keys=["id"], description="Something that happened to a merchant's money or orders, numbered for partners."
)
class PaymentEvent(Node):
    pass


@strawberry.federation.type(
    keys=["id"], description="An application of a partner. Its keys alone may see it, and what belongs to it."
)
class Application(Node):
    pass


@strawberry.federation.type(keys=["id"], description="A key of an application, without the key itself.")
class PartnerKey(Node):
    pass


@strawberry.federation.type(keys=["id"], description="Where an application has its events sent.")
class WebhookEndpoint(Node):
    pass


@strawberry.federation.type(
    keys=["id"], description="What was sent to an endpoint for one event; its id is the `webhook-id`."
)
class WebhookDelivery(Node):
    pass


PREFIXES: Final[dict[str, type]] = {
    "usr": User,
    "post": Post,
    "cnv": Conversation,
    "msg": Message,
    "wal": Wallet,
    "leg": LedgerEntry,
    "trf": Transfer,
    "preq": PaymentRequest,
    "mer": Merchant,
    "lst": Listing,
    "ord": Order,
    "ntf": Notification,
    "pev": PaymentEvent,
    "ptn": Application,
    "key": PartnerKey,
    "whe": WebhookEndpoint,
    "whd": WebhookDelivery,
}
ENTITIES: Final[tuple[type, ...]] = (Viewer, *PREFIXES.values())
