"""People with money, for tests of the ledger: opening wallets and filling them through the sandbox rail's account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.ledger import Command, Outcome, Party, Transfer
from datastores.mongo import Database, Document

Runner = Callable[[Callable[[Database], Awaitable[None]]], None]


def loop(database: Database) -> CommitLoop:
    """A commit loop of the ledger, as each process has one."""
    return CommitLoop(database, ledger.COMMIT_LOOP)


def command(caller: str, key: str | None = None, **request: object) -> Command:
    """A command of a caller with a key of its own, or this one."""
    return ledger.command(caller, key or uuid4().hex, "transferFunds", request)


async def fill(commits: CommitLoop, owner: str, amount: int, currency: str = "EUR") -> str:
    """Put money into a person's wallet, which is opened; returns its id."""
    wallet = ledger.wallet_id(owner, currency)
    rail = Party(ledger.rail_account_id("sandbox", currency), ledger.AccountKind.RAIL)
    transfer = Transfer(
        rail, Party(wallet, owner_id=owner), amount, currency, recipient_id=owner, kind=ledger.EntryKind.TOP_UP
    )
    outcome = await commits.submit(ledger.PostTransfer(command(owner), transfer))
    outcome.accepted()
    return wallet


def transfer(payer: str, payee: str, amount: int, currency: str = "EUR") -> Transfer:
    """A transfer between two people's wallets."""
    return Transfer(
        Party(ledger.wallet_id(payer, currency), owner_id=payer),
        Party(ledger.wallet_id(payee, currency), owner_id=payee),
        amount,
        currency,
        sender_id=payer,
        recipient_id=payee,
    )


async def pay(
    commits: CommitLoop, payer: str, payee: str, amount: int, *, key: str | None = None, currency: str = "EUR"
) -> Outcome:
    """Transfer between two people; the outcome may be a refusal."""
    asked = command(payer, key, amount=amount, currency=currency, to=payee)
    return await commits.submit(ledger.PostTransfer(asked, transfer(payer, payee, amount, currency)))


async def account(database: Database, id: str) -> Document:
    """The account as it is stored."""
    found = await database.find_one("accounts", {"_id": id})
    assert found is not None
    return found


async def entries(database: Database) -> list[Document]:
    """The whole journal, in order."""
    return await database.find("entries", {}, sort=[("seq", 1)], limit=10_000)
