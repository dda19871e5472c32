"""Plain Strawberry as its documentation has it: a class for each type, DataLoader in the context, its own ASGI view."""

from datetime import datetime
from typing import Annotated, Any, NewType

import strawberry
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info

from bench.graphql.python_peers import reads
from bench.graphql.python_peers.payments import transfer_funds
from bench.graphql.python_peers.reads import Document, decimal, moment

DateTime = NewType("DateTime", datetime)
Cursor = NewType("Cursor", str)
CurrencyCode = NewType("CurrencyCode", str)
Decimal = NewType("Decimal", str)
URL = NewType("URL", str)


@strawberry.type
class Money:
    amount: Decimal
    currency: CurrencyCode

    @classmethod
    def of(cls, minor_units: int, currency: str) -> "Money":
        return cls(amount=Decimal(decimal(minor_units)), currency=CurrencyCode(currency))


@strawberry.type
class User:
    id: strawberry.ID
    handle: str
    display_name: str
    avatar_url: URL | None

    @classmethod
    def of(cls, user: Document) -> "User":
        return cls(
            id=user["_id"],
            handle=user["handle"],
            display_name=user["display_name"],
            avatar_url=user["avatar_url"],
        )


@strawberry.type
class Post:
    id: strawberry.ID
    text: str
    created_at: DateTime
    edited_at: DateTime | None
    like_count: int
    reply_count: int
    repost_count: int
    hashtags: list[str]
    author_id: strawberry.Private[str]

    @strawberry.field
    async def author(self, info: Info) -> User | None:
        user: User | None = await info.context["users"].load(self.author_id)
        return user

    @classmethod
    def of(cls, post: Document) -> "Post":
        return cls(
            id=post["_id"],
            text=post["text"],
            created_at=post["created_at"],
            edited_at=post["edited_at"],
            like_count=post["like_count"],
            reply_count=post["reply_count"],
            repost_count=post["repost_count"],
            hashtags=post["hashtags"],
            author_id=post["author_id"],
        )


@strawberry.type
class PostConnection:
    nodes: list[Post]


@strawberry.type
class Message:
    id: strawberry.ID
    text: str
    created_at: DateTime
    sender_id: strawberry.Private[str]

    @strawberry.field
    async def sender(self, info: Info) -> User | None:
        user: User | None = await info.context["users"].load(self.sender_id)
        return user

    @classmethod
    def of(cls, message: Document) -> "Message":
        return cls(
            id=message["_id"],
            text=message["text"],
            created_at=message["created_at"],
            sender_id=message["sender_id"],
        )


@strawberry.type
class MessageConnection:
    nodes: list[Message]


@strawberry.type
class Conversation:
    id: strawberry.ID
    title: str
    message_count: strawberry.Private[int]

    @strawberry.field
    async def messages(self, info: Info, last: int = 20) -> MessageConnection:
        found = await info.context["messages"].load((self.id, self.message_count, last))
        return MessageConnection(nodes=[Message.of(message) for message in found])


@strawberry.type
class ConversationConnection:
    nodes: list[Conversation]


@strawberry.type
class LedgerEntry:
    id: strawberry.ID
    created_at: DateTime
    amount: Money
    counterparty_id: strawberry.Private[str | None]

    @strawberry.field
    async def counterparty(self, info: Info) -> User | None:
        id = self.counterparty_id
        user: User | None = None if id is None else await info.context["users"].load(id)
        return user


@strawberry.type
class LedgerEntryConnection:
    nodes: list[LedgerEntry]


@strawberry.type
class Wallet:
    id: strawberry.ID
    available: Money

    @strawberry.field
    async def entries(self, first: int = 20) -> LedgerEntryConnection:
        nodes = [
            LedgerEntry(
                id=entry["id"],
                created_at=entry["created_at"],
                amount=Money.of(entry["minor_units"], entry["currency"]),
                counterparty_id=entry["counterparty_id"],
            )
            for entry in await reads.entries_of(self.id, first)
        ]
        return LedgerEntryConnection(nodes=nodes)


@strawberry.type
class Media:
    url: URL
    width: int | None
    height: int | None


@strawberry.type
class Listing:
    id: strawberry.ID
    title: str
    description: str
    created_at: DateTime
    price: Money
    photos: list[Media]
    seller_id: strawberry.Private[str]

    @strawberry.field
    async def seller(self, info: Info) -> User | None:
        user: User | None = await info.context["users"].load(self.seller_id)
        return user

    @classmethod
    def of(cls, listing: Document) -> "Listing":
        photos = [Media(url=each["url"], width=each["width"], height=each["height"]) for each in listing["photos"]]
        return cls(
            id=listing["_id"],
            title=listing["title"],
            description=listing["description"],
            created_at=listing["created_at"],
            price=Money.of(listing["price"]["minor_units"], listing["price"]["currency"]),
            photos=photos,
            seller_id=listing["seller_id"],
        )


@strawberry.type
class ListingConnection:
    nodes: list[Listing]


@strawberry.type
class Viewer:
    id: strawberry.Private[str]

    @strawberry.field
    async def user(self, info: Info) -> User:
        user: User = await info.context["users"].load(self.id)
        return user

    @strawberry.field
    async def conversations(self, first: int = 20) -> ConversationConnection:
        found = await reads.conversations_of(self.id, first)
        return ConversationConnection(
            nodes=[
                Conversation(id=each["_id"], title=each["title"], message_count=each["message_count"]) for each in found
            ]
        )

    @strawberry.field
    async def wallet(self, currency: CurrencyCode) -> Wallet | None:
        wallet = await reads.wallet_of(self.id, currency)
        if wallet is None:
            return None
        available = Money.of(wallet["posted"] - wallet["pending_out"], wallet["currency"])
        return Wallet(id=wallet["_id"], available=available)


@strawberry.type
class Transfer:
    id: strawberry.ID
    amount: Money
    recipient_id: strawberry.Private[str]

    @strawberry.field
    async def recipient(self, info: Info) -> User | None:
        user: User | None = await info.context["users"].load(self.recipient_id)
        return user


@strawberry.type
class TransferFundsSuccess:
    transfer: Transfer
    wallet: Wallet | None
    replayed: bool


@strawberry.type
class InsufficientFunds:
    message: str


@strawberry.input
class MoneyInput:
    amount: Decimal
    currency: CurrencyCode


@strawberry.input
class TransferTargetInput:
    user_id: strawberry.ID


@strawberry.input
class TransferFundsInput:
    idempotency_key: strawberry.ID
    amount: MoneyInput
    to: TransferTargetInput


TransferFundsResult = Annotated[TransferFundsSuccess | InsufficientFunds, strawberry.union(name="TransferFundsResult")]


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self, info: Info) -> Viewer | None:
        return Viewer(id=info.context["user_id"])

    @strawberry.field
    async def user(self, info: Info, id: strawberry.ID | None = None) -> User | None:
        user: User | None = await info.context["users"].load(id)
        return user

    @strawberry.field
    async def posts(self, first: int = 20, after: Cursor | None = None) -> PostConnection:
        return PostConnection(nodes=[Post.of(post) for post in await reads.newest_posts(first, after)])

    @strawberry.field
    async def listings(self, first: int = 20) -> ListingConnection:
        return ListingConnection(nodes=[Listing.of(listing) for listing in await reads.newest_listings(first)])


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def transfer_funds(self, info: Info, input: TransferFundsInput) -> TransferFundsResult:
        asked = (input.idempotency_key, input.to.user_id, input.amount.amount)
        moved = await transfer_funds(info.context["user_id"], *asked)
        if moved is None:
            return InsufficientFunds(message="There is not enough in the wallet")
        payment, payer, replayed = moved
        amount = Money.of(payment["minor_units"], "EUR")
        return TransferFundsSuccess(
            transfer=Transfer(id=payment["_id"], amount=amount, recipient_id=payment["payee_id"]),
            wallet=Wallet(id=payer["wallet_id"], available=Money.of(payer["posted"], "EUR")),
            replayed=replayed,
        )


async def load_users(ids: list[str]) -> list[User | None]:
    return [None if user is None else User.of(user) for user in await reads.users_by_ids(ids)]


class Town(GraphQL[Any, Any]):
    async def get_context(self, request: Any, response: Any) -> Document:
        return {
            "request": request,
            "user_id": request.headers.get("x-user"),
            "users": DataLoader(load_fn=load_users),
            "messages": DataLoader(load_fn=reads.last_messages),
        }


def _as_it_is(value: Any) -> Any:
    return value


def _scalar(name: str) -> Any:
    return strawberry.scalar(name=name, serialize=_as_it_is, parse_value=_as_it_is)


SCALARS: dict[object, Any] = {
    DateTime: strawberry.scalar(name="DateTime", serialize=moment, parse_value=datetime.fromisoformat),
    Cursor: _scalar("Cursor"),
    CurrencyCode: _scalar("CurrencyCode"),
    Decimal: _scalar("Decimal"),
    URL: _scalar("URL"),
}
schema = strawberry.Schema(Query, Mutation, config=StrawberryConfig(scalar_map=SCALARS))
app = Starlette(routes=[Route("/graphql", Town(schema))])

if __name__ == "__main__":
    from bench.graphql.python_peers.serving import serve

    serve(app)
