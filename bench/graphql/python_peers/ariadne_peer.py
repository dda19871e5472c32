"""Ariadne as its documentation has it: the SDL, resolvers bound to its types, DataLoader in the context."""

# Ariadne may be absent where types are checked, and then its decorators have none.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ariadne import (  # type: ignore[import-not-found,unused-ignore]
    MutationType,
    ObjectType,
    QueryType,
    ScalarType,
    make_executable_schema,
)
from ariadne.asgi import GraphQL  # type: ignore[import-not-found,unused-ignore]
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.dataloader import DataLoader

from . import reads
from .payments import transfer_funds
from .reads import Document, decimal, moment

SDL: Final = Path(__file__).parent.parent / "peers" / "town.graphql"

query, mutation = QueryType(), MutationType()
viewer, user, post, conversation = map(ObjectType, ("Viewer", "User", "Post", "Conversation"))
message, wallet, entry, listing, transfer = map(ObjectType, ("Message", "Wallet", "LedgerEntry", "Listing", "Transfer"))
for each in (user, post, conversation, message, wallet, listing, transfer):
    each.set_alias("id", "_id")


def _money(minor_units: int, currency: str) -> Document:
    return {"amount": decimal(minor_units), "currency": currency}


@query.field("viewer")
def _viewer(_: Any, info: Any) -> Document:
    return {"id": info.context["user_id"]}


@query.field("user")
async def _user(_: Any, info: Any, id: str) -> Any:
    return await info.context["users"].load(id)


@query.field("posts")
async def _posts(_: Any, info: Any, first: int, after: str | None = None) -> Document:
    return {"nodes": await reads.newest_posts(first, after)}


@query.field("listings")
async def _listings(_: Any, info: Any, first: int) -> Document:
    return {"nodes": await reads.newest_listings(first)}


@viewer.field("user")
async def _viewer_user(parent: Document, info: Any) -> Any:
    return await info.context["users"].load(parent["id"])


@viewer.field("conversations")
async def _conversations(parent: Document, info: Any, first: int) -> Document:
    return {"nodes": await reads.conversations_of(parent["id"], first)}


@viewer.field("wallet")
async def _wallet(parent: Document, info: Any, currency: str) -> Any:
    return await reads.wallet_of(parent["id"], currency)


@post.field("author")
async def _author(parent: Document, info: Any) -> Any:
    return await info.context["users"].load(parent["author_id"])


@conversation.field("messages")
async def _messages(parent: Document, info: Any, last: int) -> Document:
    return {"nodes": await info.context["messages"].load((parent["_id"], parent["message_count"], last))}


@message.field("sender")
async def _sender(parent: Document, info: Any) -> Any:
    return await info.context["users"].load(parent["sender_id"])


@wallet.field("available")
def _available(parent: Document, info: Any) -> Document:
    return _money(parent["posted"] - parent["pending_out"], parent["currency"])


@wallet.field("entries")
async def _entries(parent: Document, info: Any, first: int) -> Document:
    return {"nodes": await reads.entries_of(parent["_id"], first)}


@entry.field("amount")
def _amount(parent: Document, info: Any) -> Document:
    return _money(parent["minor_units"], parent["currency"])


@entry.field("counterparty")
async def _counterparty(parent: Document, info: Any) -> Any:
    id = parent["counterparty_id"]
    return None if id is None else await info.context["users"].load(id)


@listing.field("price")
def _price(parent: Document, info: Any) -> Document:
    return _money(parent["price"]["minor_units"], parent["price"]["currency"])


@listing.field("seller")
async def _seller(parent: Document, info: Any) -> Any:
    return await info.context["users"].load(parent["seller_id"])


@transfer.field("amount")
def _paid(parent: Document, info: Any) -> Document:
    return _money(parent["minor_units"], "EUR")


@transfer.field("recipient")
async def _recipient(parent: Document, info: Any) -> Any:
    return await info.context["users"].load(parent["payee_id"])


@mutation.field("transferFunds")
async def _transfer_funds(_: Any, info: Any, input: Document) -> Document:
    asked = (input["idempotency_key"], input["to"]["user_id"], input["amount"]["amount"])
    moved = await transfer_funds(info.context["user_id"], *asked)
    if moved is None:
        return {"__typename": "InsufficientFunds", "message": "There is not enough in the wallet"}
    payment, payer, replayed = moved
    account = {"_id": payer["wallet_id"], "posted": payer["posted"], "pending_out": 0, "currency": "EUR"}
    return {"__typename": "TransferFundsSuccess", "transfer": payment, "wallet": account, "replayed": replayed}


def _context(request: Any, _: Any = None) -> Document:
    loaders = {"users": DataLoader(load_fn=reads.users_by_ids), "messages": DataLoader(load_fn=reads.last_messages)}
    return {"request": request, "user_id": request.headers.get("x-user"), **loaders}


bound = (query, mutation, viewer, user, post, conversation, message, wallet, entry, listing, transfer)
schema = make_executable_schema(
    SDL.read_text(), *bound, ScalarType("DateTime", serializer=moment), convert_names_case=True
)
app = Starlette(routes=[Route("/graphql", GraphQL(schema, context_value=_context))])

if __name__ == "__main__":
    from .serving import serve

    serve(app)
