"""Plants the demo town: the same people, posts, chats, shops and payments each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from datastores import accounts, partners, plantings, posts
from datastores.clock import utc_now
from datastores.ids import derived_id
from gateway.app import Gateway
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import DEVELOPMENT_ISSUER
from resolvers.context import SCOPES

from . import operations as ops
from .actors import Actors
from .script import (
    CHAT,
    DEFAULT_PURSE,
    FOREIGN_PURSES,
    PARTNER,
    PURSES,
    REMARKS,
    REPLIES,
    RESIDENTS,
    SHOPS,
    SUPPER,
    Shop,
)

PLANTING: Final = "town"
SEED: Final = 2026
POSTS: Final = 160
DAYS: Final = 14
FRIENDS: Final = ("alice", "bob", "carol")
FIRST_GIFTS: Final = (
    ("alice", "bob", "24.50", "Bike repair, and the bell"),
    ("bob", "alice", "6.00", "For the loaf"),
    ("dave", "alice", "3.20", "You forgot your change"),
    ("erin", "bob", "15.00", "Inner tube"),
    ("alice", "niaj", "8.00", "Friday's lentils"),
    ("bob", "niaj", "8.00", "Friday's lentils"),
)


@dataclass(frozen=True, slots=True)
class _Town:
    """What planting goes by: a seeded chance, the ids of the people, and their actors."""

    gateway: Gateway
    actors: Actors
    chance: random.Random
    user_ids: dict[str, str]
    now: datetime


async def plant(gateway: Gateway, issuer: DevelopmentIssuer, say: Callable[[str], None]) -> None:
    """Plant the town where it is not there yet, and `say` so; one that was interrupted is gone on with."""
    started = await plantings.begin(gateway.database, PLANTING, utc_now())
    if started is None:
        return
    say("planting the demo town")
    town = await _settle(gateway, started)
    await _write_posts(town)
    await asyncio.gather(_talk(town), _fill_purses(town), _open_shops(town, issuer))
    await _trade(town)
    await plantings.finish(gateway.database, PLANTING, utc_now())


async def _settle(gateway: Gateway, now: datetime) -> _Town:
    chance = random.Random(SEED)  # the same town each time
    users = [
        accounts.user_document(
            handle=one.handle,
            display_name=one.name,
            bio=one.bio,
            verified=one.verified,
            created_at=now - timedelta(days=400 - place),
            random_bits=chance.getrandbits(80),
        )
        for place, one in enumerate(RESIDENTS)
    ]
    known = await accounts.by_handles(gateway.database, [one.handle for one in RESIDENTS])
    await accounts.insert_users(
        gateway.database, [user for user, there in zip(users, known, strict=True) if there is None]
    )
    found = await accounts.by_handles(gateway.database, [one.handle for one in RESIDENTS])
    user_ids = {user["handle"]: user["_id"] for user in found if user is not None}
    await accounts.insert_identities(
        gateway.database,
        [accounts.identity_document(DEVELOPMENT_ISSUER, handle, id) for handle, id in user_ids.items()],
    )
    pairs = {(one, other) for one in FRIENDS for other in FRIENDS if one != other}
    for one in user_ids:
        pairs |= {(one, other) for other in chance.sample(list(user_ids), 9) if other != one}
    await accounts.insert_follows(
        gateway.database,
        [
            accounts.follow_document(user_ids[one], user_ids[other], now - timedelta(days=300, minutes=place))
            for place, (one, other) in enumerate(sorted(pairs))
        ],
    )
    return _Town(gateway, Actors(gateway), chance, user_ids, now)


async def _write_posts(town: _Town) -> None:
    people = list(town.user_ids)
    written: list[Any] = []
    for place in range(POSTS):
        at = town.now - timedelta(days=DAYS) * (1 - (place + 1) / (POSTS + 1))
        answered = town.chance.choice(written) if written and town.chance.random() < 0.3 else None
        text = town.chance.choice(REPLIES) if answered else REMARKS[place % len(REMARKS)]
        written.append(
            posts.post_document(
                author_id=town.user_ids[town.chance.choice(people)],
                text=text,
                created_at=at.replace(microsecond=at.microsecond // 1000 * 1000),
                reply_to_id=answered["_id"] if answered else None,
                root_id=(answered["root_id"] or answered["_id"]) if answered else None,
                mention_ids=[town.user_ids["peggy"]] if "@peggy" in text else [],
                random_bits=town.chance.getrandbits(80),
            )
        )
    await posts.insert_posts(town.gateway.database, written)
    liked = {(town.chance.choice(people), town.chance.choice(written)["_id"]) for _ in range(POSTS * 4)}
    shared = {(town.chance.choice(people), town.chance.choice(written)["_id"]) for _ in range(POSTS // 6)}
    times = {post["_id"]: post["created_at"] for post in written}
    await posts.insert_likes(
        town.gateway.database,
        [
            posts.reaction_document(town.user_ids[one], id, times[id] + timedelta(minutes=7))
            for one, id in sorted(liked)
        ],
    )
    await posts.insert_reposts(
        town.gateway.database,
        [posts.reaction_document(town.user_ids[one], id, times[id] + timedelta(hours=1)) for one, id in sorted(shared)],
    )


async def _talk(town: _Town) -> None:
    direct = {"memberIds": [town.user_ids["bob"]]}
    conversation = (await town.actors.act("alice", ops.CONVERSE, input=direct))["conversation"]["id"]
    for place, (who, text) in enumerate(CHAT):
        await _say(town, who, conversation, text, f"chat-{place}")
    table = sorted({who for who, _ in SUPPER} - {"niaj"})
    group = {"memberIds": [town.user_ids[who] for who in table], "title": "Friday supper"}
    supper = (await town.actors.act("niaj", ops.CONVERSE, input=group))["conversation"]["id"]
    for place, (who, text) in enumerate(SUPPER):
        sent = await _say(town, who, supper, text, f"supper-{place}")
        if who == "carol":
            await town.actors.act("alice", ops.REACT, input={"messageId": sent, "emoji": "❤️"})


async def _say(town: _Town, who: str, conversation: str, text: str, client_id: str) -> str:
    message = {"conversationId": conversation, "text": text, "clientId": client_id}
    return str((await town.actors.act(who, ops.SAY, input=message))["node"]["id"])


async def _fill_purses(town: _Town) -> None:
    purses = [(who, *PURSES.get(who, DEFAULT_PURSE)) for who in town.user_ids]
    purses += [(who, amount, currency) for who, more in FOREIGN_PURSES.items() for amount, currency in more]
    await asyncio.gather(*(_fill_purse(town, *purse) for purse in purses))


async def _fill_purse(town: _Town, who: str, amount: str, currency: str) -> None:
    wallet = (await town.actors.act(who, ops.OPEN_WALLET, input={"currency": currency}))["wallet"]["id"]
    top_up = {
        "idempotencyKey": f"demo-purse-{currency}",
        "walletId": wallet,
        "amount": {"amount": amount, "currency": currency},
        "source": "sandbox:ok",
    }
    await town.actors.act(who, ops.TOP_UP, input=top_up)


async def _open_shops(town: _Town, issuer: DevelopmentIssuer) -> None:
    merchant_ids = await asyncio.gather(*(_open_shop(town, shop) for shop in SHOPS))
    merchants = dict(zip((shop.owner for shop in SHOPS), merchant_ids, strict=True))
    key = issuer.partner_key(PARTNER)
    await partners.create_partner(
        town.gateway.database,
        partner_id=derived_id("ptn", PARTNER),
        name=PARTNER,
        merchant_ids=[merchants["carol"]],
        key_id=key.id,
        secret_hash=key.secret_hash,
        scopes=SCOPES,
    )


async def _open_shop(town: _Town, shop: Shop) -> str:
    merchant = (await town.actors.act(shop.owner, ops.SHOP, handle=shop.owner))["merchant"]
    if merchant is None:
        about = {"name": shop.name, "description": shop.description}
        merchant = (await town.actors.act(shop.owner, ops.OPEN_MERCHANT, input=about))["merchant"]
    offered = {listing["title"] for listing in merchant["listings"]["nodes"]}
    for ware in shop.wares:
        if ware.title not in offered:
            listing = {
                "title": ware.title,
                "description": ware.description,
                "category": ware.category,
                "kind": ware.kind,
                "price": {"amount": ware.price, "currency": shop.currency},
                "stock": ware.stock,
                "state": "ACTIVE",
            }
            await town.actors.act(shop.owner, ops.OFFER, input=listing)
    return str(merchant["id"])


async def _trade(town: _Town) -> None:
    for place, (sender, to, amount, memo) in enumerate(FIRST_GIFTS):
        gift = {
            "idempotencyKey": f"demo-gift-{place}",
            "amount": {"amount": amount, "currency": "EUR"},
            "to": {"handle": to},
            "memo": memo,
        }
        await town.actors.act(sender, ops.TRANSFER, input=gift)
    wares = (await town.actors.act("alice", ops.WARES))["listings"]["nodes"]
    goods = [ware for ware in wares if ware["kind"] == "GOOD"]
    finished = await _buy(town, "bob", goods[0], "demo-bowl")
    await town.actors.act("carol", ops.SHIP, input={"orderId": finished})
    await town.actors.act("bob", ops.COMPLETE, input={"orderId": finished})
    await _buy(town, "alice", goods[-1], "demo-plates")
    await town.actors.act(
        "carol",
        ops.POST,
        input={"text": "Fresh from the kiln. #pottery", "listingId": goods[0]["id"], "clientId": "demo-kiln"},
    )
    asked = {
        "idempotencyKey": "demo-request",
        "payerId": town.user_ids["alice"],
        "amount": {"amount": "12.00", "currency": "EUR"},
        "memo": "Ferry tickets, yours and mine",
    }
    await town.actors.act("bob", ops.REQUEST, input=asked)
    deposit = {
        "idempotencyKey": "demo-deposit",
        "amount": {"amount": "40.00", "currency": "EUR"},
        "to": {"handle": "bob"},
        "memo": "Deposit for the touring bike",
    }
    held = (await town.actors.act("erin", ops.HOLD, input=deposit))["transfer"]["id"]
    scratch = {"amount": "5.00", "currency": "EUR"}
    part = {"idempotencyKey": "demo-scratch", "transferId": held, "amount": scratch}
    await town.actors.act("bob", ops.CAPTURE, input=part)


async def _buy(town: _Town, buyer: str, ware: Any, key: str) -> str:
    line = {"listingId": ware["id"], "quantity": 1, "expectedUnitPrice": ware["price"]}
    placed = await town.actors.act(buyer, ops.ORDER, input={"idempotencyKey": key, "lines": [line]})
    order = str(placed["order"]["id"])
    await town.actors.act(buyer, ops.PAY, input={"idempotencyKey": f"{key}-paid", "orderId": order})
    return order
