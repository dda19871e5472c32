"""The town that all servers read: planted posts and people, and what one person says, owns and could buy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient

from datastores import accounts, ledger
from datastores.ledger import AccountKind, EntryKind, Party, PostTransfer, Transfer
from gateway.app import Gateway, open_gateway
from gateway.demo import operations as ops
from gateway.demo.actors import Actors
from gateway.demo.scale import plant_at_scale
from gateway.demo.script import CHAT, REMARKS
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import DEVELOPMENT_ISSUER, Environment, MongoDriver, Settings

DATABASE: Final = "bench"
CURRENCY: Final = "EUR"
POSTS: Final = 10_000
FUNDS: Final = 1_000_000_000
# A page of 20 of each, and one more, so that no list ends with its page.
LIST: Final = 21
MESSAGES: Final = 8
MEMBERS: Final = 5
PHOTOS: Final = 3
PAGE: Final = 100
PAGES: Final = 5

_CURSOR: Final = """query ($first: Int, $after: Cursor) {
  posts(first: $first, after: $after) { pageInfo { endCursor } }
}"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks: their id, and a token that says so."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Town:
    """Who reads, who pays whom, and where each page of posts but the first begins."""

    reader: Person
    payers: Sequence[Person]
    cursors: Sequence[str]


async def plant(folder: Path, uri: str, driver: str) -> Town:
    """Plant the town through the gateway itself; `folder` keeps the keys that it must be served with."""
    settings = Settings(data_dir=folder, database=DATABASE, mongo_driver=MongoDriver(driver))
    issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
    async with open_gateway(settings, uri, issuer=issuer) as gateway:
        await plant_at_scale(gateway.database, POSTS, lambda kind, count: None)
        people = await gateway.database.find("users", {}, sort=[("_id", 1)], limit=PAGE)
        handles = {person["handle"]: person["_id"] for person in people}
        identities = [accounts.identity_document(DEVELOPMENT_ISSUER, *pair) for pair in handles.items()]
        await accounts.insert_identities(gateway.database, identities)
        await _show_faces(uri)
        await _fund(gateway, list(handles.values()))
        actors = Actors(gateway)
        reader, *others = handles
        await asyncio.gather(
            _pay(actors, reader, others), _offer(actors, others), _talk(actors, reader, handles, others)
        )
        await _open_peer_accounts(uri, list(handles.values()))
        known = [Person(id, issuer.token(handle)) for handle, id in handles.items()]
        return Town(known[0], known[1:], await _cursors(actors, reader))


async def _show_faces(uri: str) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    face = {"$concat": ["https://media.example/faces/", "$_id", ".jpg"]}
    await client[DATABASE]["users"].update_many({}, [{"$set": {"avatar_url": face}}])
    await client.close()


async def _open_peer_accounts(uri: str, owners: Sequence[str]) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    database = client[DATABASE]
    await database["peer_accounts"].insert_many(
        [{"_id": owner, "wallet_id": ledger.wallet_id(owner, CURRENCY), "posted": FUNDS} for owner in owners]
    )
    await database["peer_payments"].create_index([("payer_id", 1), ("key", 1)], unique=True)
    await client.close()


async def _fund(gateway: Gateway, owners: Sequence[str]) -> None:
    rail = Party(ledger.rail_account_id("sandbox", CURRENCY), AccountKind.RAIL)

    async def fill(owner: str) -> None:
        wallet = Party(ledger.wallet_id(owner, CURRENCY), owner_id=owner)
        filled = Transfer(rail, wallet, FUNDS, CURRENCY, recipient_id=owner, kind=EntryKind.TOP_UP)
        asked = ledger.command(owner, "first", "topUp", {"amount": FUNDS})
        await gateway.commits[ledger.COMMIT_LOOP].submit(PostTransfer(asked, filled))

    await asyncio.gather(*map(fill, owners))


async def _pay(actors: Actors, reader: str, others: Sequence[str]) -> None:
    for place, other in enumerate(others[:LIST]):
        payer, payee = (reader, other) if place % 3 else (other, reader)
        amount = {"amount": f"{place + 1}.50", "currency": CURRENCY}
        gift = {"idempotencyKey": f"gift-{place}", "amount": amount, "to": {"handle": payee}}
        await actors.act(payer, ops.TRANSFER, input=gift)


async def _offer(actors: Actors, others: Sequence[str]) -> None:
    for place, seller in enumerate(others[:LIST]):
        await actors.act(seller, ops.OPEN_MERCHANT, input={"name": f"Shop {place}", "description": REMARKS[0]})
        address = f"https://media.example/wares/{place}"
        photos = [
            {"url": f"{address}/{photo}.jpg", "kind": "IMAGE", "width": 1024, "height": 768} for photo in range(PHOTOS)
        ]
        listing = {
            "title": f"Ware {place}",
            "description": " ".join(REMARKS[at % len(REMARKS)] for at in range(place, place + 4)),
            "category": "things",
            "kind": "GOOD",
            "price": {"amount": f"{place + 10}.90", "currency": CURRENCY},
            "photos": photos,
        }
        await actors.act(seller, ops.OFFER, input=listing)


async def _talk(actors: Actors, reader: str, handles: dict[str, str], others: Sequence[str]) -> None:
    for place in range(LIST):
        members = [others[(place * 3 + at) % len(others)] for at in range(MEMBERS)]
        group = {"memberIds": [handles[member] for member in members], "title": f"Group {place}"}
        started = (await actors.act(reader, ops.CONVERSE, input=group))["conversation"]["id"]
        for said in range(MESSAGES):
            text = CHAT[(place + said) % len(CHAT)][1]
            sender = [reader, *members][said % (MEMBERS + 1)]
            await actors.act(
                sender, ops.SAY, input={"conversationId": started, "text": text, "clientId": f"said-{said}"}
            )


async def _cursors(actors: Actors, reader: str) -> list[str]:
    cursors: list[str] = []
    for _ in range(PAGES - 1):
        after = cursors[-1] if cursors else None
        found = await actors.act(reader, _CURSOR, first=PAGE, after=after)
        cursors.append(found["pageInfo"]["endCursor"])
    return cursors
