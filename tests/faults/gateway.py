"""A process whose clients pay, talk and shop, writing down what they want before they ask and what they heard after."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pymongo.errors import PyMongoError

from datastores.commit import CommitLoops
from datastores.errors import OutcomeUnknownError, RateLimitedError, UnavailableError
from datastores.mongo import Database, Driver
from tests.faults.deeds import Deeds
from tests.faults.journals import Journal, Row
from tests.faults.town import (
    COME_AND_GO,
    CONVERSATION,
    CURRENCIES,
    LOBBY,
    LOBBYISTS,
    MOST,
    PEOPLE,
    SELLER,
    STOCKS,
    listing_id,
    open_database,
)

PAYERS: Final = 10
REPLAYED: Final = 0.1
PAUSE_S: Final = 0.12
MESSAGE_PAUSE_S: Final = 0.3
SHOPPERS: Final = 2
# What a key has one outcome of for ever, so that it may be asked for again at any time.
KEYED: Final = ("transfer", "say", "place", "pay")
MAX_TRIES_S: Final = 90.0
UNCLEAR: Final = (OutcomeUnknownError, UnavailableError, RateLimitedError, PyMongoError)


@dataclass(frozen=True)
class Plan:
    """What the process is told. Without `stable_keys` every try takes a new key, which is how money moves twice."""

    uri: str
    database: str
    driver: Driver
    folder: str
    seed: int
    stable_keys: bool = True


class Gateway:
    """One process's clients. An answer that does not come is asked for again, with the same key."""

    def __init__(self, plan: Plan, database: Database, commits: CommitLoops) -> None:
        folder = Path(plan.folder)
        self._plan = plan
        self._commits = commits
        self._deeds = Deeds(database, commits)
        self._intents = Journal(folder / "intents")
        self._answers = Journal(folder / "answers")
        self._tries = Journal(folder / "tries")
        self._random = random.Random(f"{plan.seed} {len(self._intents.rows)}")
        self._stopping = asyncio.Event()
        answered = {row["key"] for row in self._answers.rows}
        self._keyed = [row["key"] for row in self._answers.rows if row["do"] in KEYED]
        # Without stable keys a replay would be a second transfer by intent; there only faults may double.
        self._replayed = REPLAYED if plan.stable_keys else 0.0
        rows = self._intents.rows
        again = [row for row in rows if row["key"] not in answered or (row["do"] in KEYED and self._is_replayed())]
        self._random.shuffle(again)
        self._again = deque(again)
        self._by_key = {row["key"]: row for row in self._intents.rows}
        self._unclear: Counter[str] = Counter()

    async def run(self) -> None:
        """Go on until told to stop; then until everything asked for has its answer."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        async with asyncio.TaskGroup() as group:
            for _ in range(PAYERS):
                group.create_task(self._pay())
            group.create_task(self._talk())
            if self._plan.stable_keys:
                group.create_task(self._visit())
                for _ in range(SHOPPERS):
                    group.create_task(self._shop())
        await self._commits.drain()
        self._tries.append({"unclear": self._unclear})

    async def _pay(self) -> None:
        while True:
            if self._again:
                intent = self._again.popleft()
            elif self._stopping.is_set():
                return
            elif self._keyed and self._is_replayed():
                intent = self._by_key[self._random.choice(self._keyed)]
            else:
                intent = self._new_payment()
            await self._until_answered(intent)
            await asyncio.sleep(self._random.uniform(0, PAUSE_S))

    async def _talk(self) -> None:
        while not self._stopping.is_set():
            said = await self._want("say", sender=self._random.choice(PEOPLE), conversation=CONVERSATION)
            await self._about(said["outcome"]["message"], self._by_key[said["key"]]["sender"])
            await asyncio.sleep(self._random.uniform(0, MESSAGE_PAUSE_S))

    async def _about(self, message: str, sender: str) -> None:
        """Change what was just said, or react to it, perhaps."""
        chance = self._random.random()
        if chance < 0.25:
            await self._want("edit", message=message, sender=sender)
        elif chance < 0.5:
            reader = self._random.choice(PEOPLE)
            await self._want("react", message=message, sender=reader, present=True)
            if chance < 0.3:
                await self._want("react", message=message, sender=reader, present=False)

    async def _visit(self) -> None:
        """Come into the lobby and go, while others talk there."""
        while not self._stopping.is_set():
            await self._want(self._random.choice(("join", "leave")), member=self._random.choice(COME_AND_GO))
            sender = self._random.choice(LOBBYISTS[: -len(COME_AND_GO)])
            await self._want("say", sender=sender, conversation=LOBBY)
            await asyncio.sleep(self._random.uniform(0, MESSAGE_PAUSE_S))

    async def _shop(self) -> None:
        """Order something, and go on with it as far as it comes."""
        while not self._stopping.is_set():
            stock, quantity = self._random.choice(STOCKS), self._random.randint(1, 3)
            buyer = self._random.choice([person for person in PEOPLE if person != SELLER])
            placed = await self._want("place", buyer=buyer, listing=listing_id(stock), quantity=quantity)
            if placed["order"]:
                await self._go_on(placed["order"], buyer)
            await asyncio.sleep(self._random.uniform(0, MESSAGE_PAUSE_S))

    async def _go_on(self, order: str, buyer: str) -> None:
        chance = self._random.random()
        if chance < 0.2:
            await self._want("cancel", order=order, buyer=buyer)
            return
        paid = await self._want("pay", order=order, buyer=buyer)
        if paid["outcome"]["state"] != "POSTED":
            return
        if chance < 0.4:
            # The buyer changes their mind while the seller sends it: one of them is late.
            await asyncio.gather(*(self._want(kind, order=order, buyer=buyer) for kind in ("cancel", "ship")))
            return
        await self._want("ship", order=order, buyer=buyer)
        await self._want("complete", order=order, buyer=buyer)

    def _new_payment(self) -> Row:
        payer, payee = self._random.sample(PEOPLE, 2)
        amount, currency = self._random.randint(1, MOST), self._random.choice(CURRENCIES)
        return self._intend("transfer", payer=payer, payee=payee, amount=amount, currency=currency)

    async def _want(self, do: str, **what: object) -> Row:
        return await self._until_answered(self._intend(do, **what))

    def _intend(self, do: str, **what: object) -> Row:
        intent = {"key": f"{Path(self._plan.folder).name}-{len(self._intents.rows)}", "do": do, **what}
        self._intents.append(intent)
        self._by_key[intent["key"]] = intent
        return intent

    def _is_replayed(self) -> bool:
        return self._random.random() < self._replayed

    async def _until_answered(self, intent: Row) -> Row:
        give_up = time.monotonic() + MAX_TRIES_S
        tries = 0
        while True:
            tries += 1
            key = intent["key"] if self._plan.stable_keys else f"{intent['key']}/{time.time_ns()}"
            try:
                answer = await self._deeds.do(key, intent)
            except UNCLEAR as error:
                self._unclear[type(error).__name__] += 1
                if time.monotonic() > give_up:
                    raise
            else:
                row = {"key": intent["key"], "do": intent["do"], "at": time.time(), "tries": tries, **answer}
                self._answers.append(row)
                if intent["do"] in KEYED:
                    self._keyed.append(intent["key"])
                return row
            await asyncio.sleep(self._random.uniform(0.05, 0.3))


async def main() -> None:
    plan = Plan(**json.loads(sys.argv[1]))
    async with (
        open_database(plan.uri, plan.database, plan.driver) as database,
        CommitLoops(database) as commits,
    ):
        await Gateway(plan, database, commits).run()


if __name__ == "__main__":
    asyncio.run(main())
