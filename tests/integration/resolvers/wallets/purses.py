"""People with money, for the tests of wallets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from datastores import ledger
from datastores.ledger import WalletStatus
from datastores.mongo import Database, Document
from resolvers import wallets
from resolvers.wallets import AmountInput, MoneyMoved, Target
from tests.integration.resolvers.people import Ask

NO_WALLET = "wal_01JD0000000000000000000000"
NO_TRANSFER = "trf_01JD0000000000000000000000"
NO_REQUEST = "preq_01JD0000000000000000000000"


def amount(text: str, currency: str = "EUR") -> AmountInput:
    """An amount as a client gives it."""
    return {"amount": Decimal(text), "currency": currency}


def key() -> str:
    """A new idempotency key."""
    return uuid4().hex


async def fill(ask: Ask, user_id: str, text: str, currency: str = "EUR") -> str:
    """Top up a person's wallet; its id."""
    wallet = await wallets.open_wallet(ask(user_id), currency=currency)
    await wallets.top_up_wallet(
        ask(user_id), idempotency_key=key(), wallet_id=wallet["_id"], amount=amount(text, currency), source="sandbox:ok"
    )
    return wallet["_id"]


async def pay(ask: Ask, payer: str, payee: str, text: str, **more: Any) -> MoneyMoved:
    """A transfer between two people."""
    given = {"idempotency_key": key(), "amount": amount(text), "to": Target(user_id=payee), **more}
    return await wallets.transfer_funds(ask(payer), **given)


async def balance(ask: Ask, user_id: str, currency: str = "EUR") -> tuple[int, int]:
    """What a person has posted and available, in minor units."""
    (wallet,) = await wallets.wallet(ask(user_id), [{"_id": user_id}], currency=currency)
    assert wallet is not None
    return wallet["posted"]["minor_units"], wallet["available"]["minor_units"]


async def freeze(ask: Ask, wallet_id: str, status: WalletStatus = WalletStatus.FROZEN) -> None:
    """Freeze a wallet, or open it again."""
    command = ledger.system_command(f"{status.value}-{key()}", wallet_id)
    await ask(None).commits["ledger"].submit(ledger.SetStatus(command, wallet_id, status))


async def transfer(ask: Ask, viewer: str | None, id: str) -> Document | None:
    """The transfer as this person sees it."""
    (found,) = await wallets.transfers_by_id(ask(viewer), [id])
    return found


def later(ask: Ask, seconds: float) -> Ask:
    """As `ask`, at a later time."""
    return lambda user_id: replace(ask(user_id), now=lambda: _now(ask) + timedelta(seconds=seconds))


async def deltas(ask: Ask, user_id: str, wallet_id: str, **more: Any) -> list[int]:
    """The amounts of a wallet's entries, newest first."""
    (page,) = await wallets.entries(ask(user_id), [{"_id": wallet_id}], **more)
    assert not isinstance(page, Exception), page
    return [edge["node"]["amount"]["minor_units"] for edge in page["edges"]]


async def journal(database: Database) -> Sequence[Document]:
    """All entries of the ledger."""
    return await database.find("entries", {}, sort=[("seq", 1)], limit=10_000)


def _now(ask: Ask) -> datetime:
    return ask(None).now()
