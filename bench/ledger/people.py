"""Who pays whom: people with money, and requests whose traffic is uniform, on one hot account, or Zipf's."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal
from uuid import UUID

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.ledger import AccountKind, EntryKind, Party, PostTransfer, Transfer

CURRENCY: Final = "EUR"
FUNDS: Final = 10_000_000
MAX_AMOUNT: Final = 500
HOT: Final = 0
BATCH: Final = 512

Workload = Literal["uniform", "hot", "zipf"]


@dataclass(frozen=True, slots=True)
class Request:
    """One transfer to make: payer and payee by number, minor units, and a key of its own."""

    payer: int
    payee: int
    amount: int
    key: str


def person_id(number: int) -> str:
    """The id of a person by number."""
    return f"usr_{number:026d}"


def wallet_id(number: int) -> str:
    """The id of that person's wallet."""
    return ledger.wallet_id(person_id(number), CURRENCY)


def requests(workload: Workload, people: int, count: int, seed: int) -> list[Request]:
    """The same requests for the same seed, keys included."""
    chance = random.Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, people + 1))) if workload == "zipf" else []

    def somebody() -> int:
        return bisect(weights, chance.random() * weights[-1]) if weights else chance.randrange(people)

    made: list[Request] = []
    while len(made) < count:
        payer, payee = somebody(), HOT if workload == "hot" else somebody()
        if payer != payee:
            made.append(Request(payer, payee, chance.randint(1, MAX_AMOUNT), UUID(int=chance.getrandbits(128)).hex))
    return made


def transfer(request: Request) -> PostTransfer:
    """The act of the ledger that a request stands for."""
    payer, payee = person_id(request.payer), person_id(request.payee)
    asked = ledger.command(payer, request.key, "transferFunds", {"amount": request.amount, "to": payee})
    movement = Transfer(
        Party(ledger.wallet_id(payer, CURRENCY), owner_id=payer),
        Party(ledger.wallet_id(payee, CURRENCY), owner_id=payee),
        request.amount,
        CURRENCY,
        sender_id=payer,
        recipient_id=payee,
    )
    return PostTransfer(asked, movement)


def top_up(number: int) -> PostTransfer:
    """The act that gives a person their first money."""
    person = person_id(number)
    rail = Party(ledger.rail_account_id("sandbox", CURRENCY), AccountKind.RAIL)
    wallet = Party(wallet_id(number), owner_id=person)
    filled = Transfer(rail, wallet, FUNDS, CURRENCY, recipient_id=person, kind=EntryKind.TOP_UP)
    return PostTransfer(ledger.command(person, "first", "topUp", {"amount": FUNDS}), filled)


async def fund(commits: CommitLoop, people: int) -> None:
    """Open a wallet for each and put money into it, through the ledger itself."""
    for first in range(0, people, BATCH):
        numbers = range(first, min(first + BATCH, people))
        await asyncio.gather(*(commits.submit(top_up(number), timeout_s=60) for number in numbers))
