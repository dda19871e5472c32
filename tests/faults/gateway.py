"""A process that moves money and sends messages, writing down what it wants before it asks and what it heard after."""

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

from datastores import ledger
from datastores.commit import CommitLoops
from datastores.errors import OutcomeUnknownError, RateLimitedError, UnavailableError
from datastores.mongo import Driver
from tests.faults.journals import Journal, Row
from tests.faults.town import CURRENCIES, MESSAGES_LOOP, MOST, PEOPLE, message, open_database, payment

PAYERS: Final = 10
REPLAYED: Final = 0.1
PAUSE_S: Final = 0.12
MESSAGE_PAUSE_S: Final = 0.3
DEADLINE_S: Final = 1.5
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

    def __init__(self, plan: Plan, commits: CommitLoops) -> None:
        folder = Path(plan.folder)
        self._plan = plan
        self._commits = commits
        self._intents = Journal(folder / "intents")
        self._answers = Journal(folder / "answers")
        self._tries = Journal(folder / "tries")
        self._random = random.Random(f"{plan.seed} {len(self._intents.rows)}")
        self._stopping = asyncio.Event()
        answered = {row["key"] for row in self._answers.rows}
        # Without stable keys a replay would be a second transfer by intent; there only faults may double.
        self._replayed = REPLAYED if plan.stable_keys else 0.0
        again = [row for row in self._intents.rows if row["key"] not in answered or self._is_replayed()]
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
        await self._commits.drain()
        self._tries.append({"unclear": self._unclear})

    async def _pay(self) -> None:
        while True:
            if self._again:
                intent = self._again.popleft()
            elif self._stopping.is_set():
                return
            elif self._answers.rows and self._is_replayed():
                intent = self._by_key[self._random.choice(self._answers.rows)["key"]]
            else:
                intent = self._new_payment()
            await self._until_answered(intent)
            await asyncio.sleep(self._random.uniform(0, PAUSE_S))

    async def _talk(self) -> None:
        while not self._stopping.is_set():
            intent = {"key": self._key(), "sender": self._random.choice(PEOPLE)}
            self._intend(intent)
            await self._until_answered(intent)
            await asyncio.sleep(self._random.uniform(0, MESSAGE_PAUSE_S))

    def _new_payment(self) -> Row:
        payer, payee = self._random.sample(PEOPLE, 2)
        amount, currency = self._random.randint(1, MOST), self._random.choice(CURRENCIES)
        intent = {"key": self._key(), "payer": payer, "payee": payee, "amount": amount, "currency": currency}
        self._intend(intent)
        return intent

    def _intend(self, intent: Row) -> None:
        self._intents.append(intent)
        self._by_key[intent["key"]] = intent

    def _is_replayed(self) -> bool:
        return self._random.random() < self._replayed

    def _key(self) -> str:
        return f"{Path(self._plan.folder).name}-{len(self._intents.rows)}"

    async def _until_answered(self, intent: Row) -> None:
        give_up = time.monotonic() + MAX_TRIES_S
        tries = 0
        while True:
            tries += 1
            key = intent["key"] if self._plan.stable_keys else f"{intent['key']}/{time.time_ns()}"
            try:
                answer = await (self._transfer(key, intent) if "payer" in intent else self._say(key, intent))
            except UNCLEAR as error:
                self._unclear[type(error).__name__] += 1
                if time.monotonic() > give_up:
                    raise
            else:
                self._answers.append({"key": intent["key"], "at": time.time(), "tries": tries, **answer})
                return
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _transfer(self, key: str, intent: Row) -> Row:
        act = payment(key, intent["payer"], intent["payee"], intent["amount"], intent["currency"])
        outcome = await self._commits[ledger.COMMIT_LOOP].submit(act, weight=6, timeout_s=DEADLINE_S)
        entry = outcome.entry
        found = {"entry": entry["_id"], "seq": entry["seq"], "state": entry["state"], "code": entry["code"]}
        return {"outcome": found, "replayed": outcome.replayed}

    async def _say(self, key: str, intent: Row) -> Row:
        act = message(key, intent["sender"])
        written = await self._commits[MESSAGES_LOOP].submit(act, weight=3 * len(PEOPLE), timeout_s=DEADLINE_S)
        found = {"message": written.message["_id"], "seq": written.message["seq"], "n": written.message["n"]}
        return {"outcome": found, "replayed": written.replayed}


async def main() -> None:
    plan = Plan(**json.loads(sys.argv[1]))
    async with open_database(plan.uri, plan.database, plan.driver) as database:
        await Gateway(plan, CommitLoops(database)).run()


if __name__ == "__main__":
    asyncio.run(main())
