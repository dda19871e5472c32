"""A living town: its people post, like, chat, pay and shop at a gentle pace, for as long as it is watched."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import structlog

from datastores.tasks import cancelled
from gateway.app import Gateway

from . import operations as ops
from .actors import Actors, DemoError
from .script import REMARKS, REPLIES, RESIDENTS

PAUSE_S: Final = (1.0, 4.0)
MAX_PENCE: Final = 300
ACT_TIMEOUT_S: Final = 10.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def live(gateway: Gateway) -> AsyncIterator[None]:
    """The town is alive while the block runs."""
    task = asyncio.create_task(_day(Actors(gateway)), name="lively town")
    try:
        yield
    finally:
        await cancelled([task])


async def _day(actors: Actors) -> None:
    chance = random.Random()  # nobody's secret depends on it
    habits: list[Callable[[Actors, random.Random], Awaitable[None]]] = [_chat, _chat, _pay, _post, _like, _shop]
    while True:
        await asyncio.sleep(chance.uniform(*PAUSE_S))
        habit = chance.choice(habits)
        try:
            async with asyncio.timeout(ACT_TIMEOUT_S):
                await habit(actors, chance)
        except DemoError as refusal:
            # Somebody is short of money, or a shelf is empty: that is life, and the town goes on.
            _log.info("lively_act_refused", act=habit.__name__, reason=str(refusal))
        except Exception:
            _log.warning("lively_act_failed", act=habit.__name__, exc_info=True)


async def _chat(actors: Actors, chance: random.Random) -> None:
    who = chance.choice(("alice", "bob", "niaj", "dave", "carol", "lena"))
    chats = (await actors.act(who, ops.CHATS))["conversations"]["nodes"]
    if chats:
        text = chance.choice((*REPLIES[:6], *REMARKS))
        message = {"conversationId": chance.choice(chats)["id"], "text": text, "clientId": uuid4().hex}
        await actors.act(who, ops.SAY, input=message)


async def _pay(actors: Actors, chance: random.Random) -> None:
    sender, to = chance.sample(("alice", "bob", "carol", "dave", "erin", "niaj"), 2)
    amount = chance.randint(1, MAX_PENCE)
    gift = {
        "idempotencyKey": uuid4().hex,
        "amount": {"amount": f"{amount // 100}.{amount % 100:02}", "currency": "EUR"},
        "to": {"handle": to},
        "memo": chance.choice(("Coffee", "Thanks!", "For yesterday", "Half the tickets", "You know what for")),
    }
    await actors.act(sender, ops.TRANSFER, input=gift)


async def _post(actors: Actors, chance: random.Random) -> None:
    text = chance.choice(REMARKS)
    await actors.act(chance.choice(RESIDENTS).handle, ops.POST, input={"text": text, "clientId": uuid4().hex})


async def _like(actors: Actors, chance: random.Random) -> None:
    liked = await _someone(actors, chance.choice(("alice", "bob", "carol")))
    if posts := liked["posts"]["nodes"]:
        post = {"postId": chance.choice(posts)["id"]}
        await actors.act(chance.choice(RESIDENTS).handle, ops.LIKE, input=post)


async def _shop(actors: Actors, chance: random.Random) -> None:
    wares = (await actors.act("carol", ops.WARES))["listings"]["nodes"]
    offered = [ware for ware in wares if ware["state"] == "ACTIVE" and (ware["stock"] or 0) > 0]
    if offered:
        ware = min(chance.sample(offered, min(3, len(offered))), key=lambda one: float(one["price"]["amount"]))
        buyer = chance.choice(("alice", "bob", "erin", "grace", "heidi"))
        line = {"listingId": ware["id"], "quantity": 1, "expectedUnitPrice": ware["price"]}
        placed = await actors.act(buyer, ops.ORDER, input={"idempotencyKey": uuid4().hex, "lines": [line]})
        await actors.act(buyer, ops.PAY, input={"idempotencyKey": uuid4().hex, "orderId": placed["order"]["id"]})


async def _someone(actors: Actors, handle: str) -> Any:
    return await actors.act(handle, ops.PEOPLE, handle=handle)
