"""The same answers without GraphQL: MongoDB read by hand, JSON put together by hand, Starlette and orjson."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import reads
from .payments import transfer_funds
from .reads import Document, decimal, moment


async def _people(ids: Iterable[str | None]) -> dict[str | None, Document]:
    wanted = list(dict.fromkeys(id for id in ids if id is not None))
    found = await reads.users_by_ids(wanted)
    return {user["_id"]: _card(user) for user in found if user is not None}


def _card(user: Document) -> Document:
    shown = ("handle", user["handle"]), ("displayName", user["display_name"]), ("avatarUrl", user["avatar_url"])
    return {"id": user["_id"], **dict(shown)}


def _money(minor_units: int, currency: str) -> Document:
    return {"amount": decimal(minor_units), "currency": currency}


def _post(post: Document) -> Document:
    return {
        "id": post["_id"],
        "text": post["text"],
        "createdAt": moment(post["created_at"]),
        "likeCount": post["like_count"],
        "replyCount": post["reply_count"],
        "repostCount": post["repost_count"],
    }


def _whole_post(post: Document) -> Document:
    edited = post["edited_at"] and moment(post["edited_at"])
    return {**_post(post), "editedAt": edited, "hashtags": post["hashtags"]}


async def _q1(asked: Mapping[str, Any], user_id: str) -> Document:
    (user,) = await reads.users_by_ids([asked["id"]])
    shown = user and {"id": user["_id"], "handle": user["handle"], "displayName": user["display_name"]}
    return {"user": shown}


async def _q2(asked: Mapping[str, Any], user_id: str) -> Document:
    posts = await reads.newest_posts(asked["first"])
    people = await _people(post["author_id"] for post in posts)
    return {"posts": {"nodes": [{**_whole_post(post), "author": people[post["author_id"]]} for post in posts]}}


async def _q3(asked: Mapping[str, Any], user_id: str) -> Document:
    first, last = asked["first"], asked["last"]
    people, conversations, wallet, posts, listings = await asyncio.gather(
        _people([user_id]), _conversations(user_id, first, last), _wallet(user_id, first), _posts(first), _shop(first)
    )
    viewer = {"user": people[user_id], "conversations": conversations, "wallet": wallet}
    return {"viewer": viewer, "posts": posts, "listings": listings}


async def _conversations(user_id: str, first: int, last: int) -> Document:
    found = await reads.conversations_of(user_id, first)
    messages = await reads.last_messages([(each["_id"], each["message_count"], last) for each in found])
    people = await _people(message["sender_id"] for said in messages for message in said)
    shown = [
        [
            {
                "id": message["_id"],
                "text": message["text"],
                "createdAt": moment(message["created_at"]),
                "sender": people[message["sender_id"]],
            }
            for message in said
        ]
        for said in messages
    ]
    return {
        "nodes": [
            {"id": each["_id"], "title": each["title"], "messages": {"nodes": said}}
            for each, said in zip(found, shown, strict=True)
        ]
    }


async def _wallet(user_id: str, first: int) -> Document | None:
    if (wallet := await reads.wallet_of(user_id, "EUR")) is None:
        return None
    entries = await reads.entries_of(wallet["_id"], first)
    people = await _people(entry["counterparty_id"] for entry in entries)
    shown = [
        {
            "id": entry["id"],
            "createdAt": moment(entry["created_at"]),
            "amount": _money(entry["minor_units"], entry["currency"]),
            "counterparty": people.get(entry["counterparty_id"]),
        }
        for entry in entries
    ]
    available = _money(wallet["posted"] - wallet["pending_out"], wallet["currency"])
    return {"id": wallet["_id"], "available": available, "entries": {"nodes": shown}}


async def _posts(first: int) -> Document:
    posts = await reads.newest_posts(first)
    people = await _people(post["author_id"] for post in posts)
    return {"nodes": [{**_post(post), "author": people[post["author_id"]]} for post in posts]}


async def _shop(first: int) -> Document:
    listings = await reads.newest_listings(first)
    people = await _people(listing["seller_id"] for listing in listings)
    return {
        "nodes": [
            {
                "id": listing["_id"],
                "title": listing["title"],
                "description": listing["description"],
                "createdAt": moment(listing["created_at"]),
                "price": _money(listing["price"]["minor_units"], listing["price"]["currency"]),
                "photos": [{name: photo[name] for name in ("url", "width", "height")} for photo in listing["photos"]],
                "seller": people[listing["seller_id"]],
            }
            for listing in listings
        ]
    }


async def _q4(asked: Mapping[str, Any], user_id: str) -> Document:
    names = ("a", "b", "c", "d", "e")
    pages = await asyncio.gather(*(reads.newest_posts(asked["first"], asked.get(name)) for name in names))
    return {name: {"nodes": [*map(_whole_post, page)]} for name, page in zip(names, pages, strict=True)}


async def _pay(asked: Mapping[str, Any], user_id: str) -> Document:
    wanted = asked["input"]
    moved = await transfer_funds(user_id, wanted["idempotencyKey"], wanted["to"]["userId"], wanted["amount"]["amount"])
    if moved is None:
        return {"transferFunds": {"__typename": "InsufficientFunds"}}
    payment, payer, replayed = moved
    people = await _people([payment["payee_id"]])
    return {
        "transferFunds": {
            "__typename": "TransferFundsSuccess",
            "replayed": replayed,
            "transfer": {
                "id": payment["_id"],
                "amount": _money(payment["minor_units"], "EUR"),
                "recipient": people[payment["payee_id"]],
            },
            "wallet": {"id": payer["wallet_id"], "available": _money(payer["posted"], "EUR")},
        }
    }


OPERATIONS: Final[dict[str, Callable[[Mapping[str, Any], str], Awaitable[Document]]]] = {
    "PointRead": _q1,
    "Timeline": _q2,
    "EveryDomain": _q3,
    "ManyPosts": _q4,
    "Pay": _pay,
}


async def answer(request: Request) -> Response:
    body = orjson.loads(await request.body())
    data = await OPERATIONS[body["operationName"]](body["variables"], request.headers["x-user"])
    return Response(orjson.dumps({"data": data}), media_type="application/json")


app = Starlette(routes=[Route("/graphql", answer, methods=["POST"])])

if __name__ == "__main__":
    from .serving import serve

    serve(app)
