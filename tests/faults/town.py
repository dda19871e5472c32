"""Who takes part: people with little money in two currencies, a merchant who hears of it all, two conversations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from datastores import conversations, ledger
from datastores.commit import CommitLoops
from datastores.conversations import ConversationKind, MemberRole, SendMessage, StartConversation
from datastores.ids import derived_id
from datastores.indexes import create_indexes
from datastores.ledger import Command, Party, PostTransfer, Transfer
from datastores.merchants import ListingDocument, ListingKind, insert_listings, listing_document
from datastores.mongo import Database, Driver, WrongDatabaseError

PEOPLE: Final = [derived_id("usr", "faults", str(i)) for i in range(24)]
CURRENCIES: Final = ("EUR", "USD")
MERCHANT: Final = derived_id("mer", "faults")
CONVERSATION: Final = derived_id("cnv", "faults")
LOBBY: Final = derived_id("cnv", "faults", "lobby")
LOBBYISTS: Final = PEOPLE[:8]
COME_AND_GO: Final = LOBBYISTS[4:]
SELLER: Final = PEOPLE[0]
PRICE: Final = 50
STOCKS: Final = (40, 100_000)
FIRST: Final = "first "
FIRST_BALANCE: Final = 4_000
MOST: Final = 2_500
MESSAGES_LOOP: Final = "conversations"
OPENED_AT: Final = datetime(2026, 1, 1)
CONNECT_TIMEOUT_S: Final = 60.0


@asynccontextmanager
async def open_database(uri: str, name: str, driver: Driver) -> AsyncIterator[Database]:
    """A connected database, tried for 60 s, since it may be started in the middle of a fault."""
    database = await _connected(uri, name, driver)
    try:
        yield database
    finally:
        await database.close()


async def _connected(uri: str, name: str, driver: Driver) -> Database:
    give_up = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            return await Database.connect(uri, name=name, driver=driver)
        except WrongDatabaseError:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(0.2)


async def plant(database: Database) -> None:
    """Make the indexes, fill everybody's wallets and the shop, start the conversations."""
    await create_indexes(database)
    await insert_listings(database, [_listing(stock) for stock in STOCKS])
    commits = CommitLoops(database)
    tops = (_top_up(person, currency) for person in PEOPLE for currency in CURRENCIES)
    for outcome in await asyncio.gather(*(commits[ledger.COMMIT_LOOP].submit(act) for act in tops)):
        outcome.accepted()
    roles = dict.fromkeys(PEOPLE, MemberRole.MEMBER)
    start = StartConversation(CONVERSATION, ConversationKind.GROUP, "Faults", roles)
    await commits[MESSAGES_LOOP].submit(start)
    ranks = [MemberRole.OWNER, *[MemberRole.ADMIN] * 3, *[MemberRole.MEMBER] * len(COME_AND_GO)]
    lobby = StartConversation(LOBBY, ConversationKind.GROUP, "Lobby", dict(zip(LOBBYISTS, ranks, strict=True)))
    await commits[MESSAGES_LOOP].submit(lobby)
    await commits.drain()


def payment(key: str, payer: str, payee: str, amount: int, currency: str) -> PostTransfer:
    """A transfer between two people of which the merchant hears."""
    transfer = Transfer(
        Party(ledger.wallet_id(payer, currency), owner_id=payer),
        Party(ledger.wallet_id(payee, currency), owner_id=payee),
        amount,
        currency,
        sender_id=payer,
        recipient_id=payee,
        merchants=(MERCHANT,),
    )
    return PostTransfer(_command(payer, key, payee, amount, currency), transfer)


def message(client_id: str, sender: str, conversation_id: str = CONVERSATION) -> SendMessage:
    """A message that its client knows by `client_id`."""
    id = conversations.client_message_id(conversation_id, sender, client_id)
    return SendMessage(id, conversation_id, sender, f"This is {client_id}", client_id=client_id)


def _listing(stock: int) -> ListingDocument:
    return listing_document(
        merchant_id=MERCHANT,
        seller_id=SELLER,
        title=f"One of {stock}",
        description="",
        category="things",
        kind=ListingKind.GOOD,
        price=ledger.money(PRICE, "EUR"),
        stock=stock,
        created_at=OPENED_AT,
        random_bits=stock,
    )


def listing_id(stock: int) -> str:
    """The listing of which there were so many at first."""
    return _listing(stock)["_id"]


def _top_up(person: str, currency: str) -> PostTransfer:
    rail = Party(ledger.rail_account_id("sandbox", currency), ledger.AccountKind.RAIL)
    wallet = Party(ledger.wallet_id(person, currency), owner_id=person)
    kind = ledger.EntryKind.TOP_UP
    transfer = Transfer(rail, wallet, FIRST_BALANCE, currency, recipient_id=person, kind=kind)
    return PostTransfer(_command(person, f"{FIRST}{currency}", person, FIRST_BALANCE, currency), transfer)


def _command(payer: str, key: str, payee: str, amount: int, currency: str) -> Command:
    return ledger.command(payer, key, "transferFunds", {"to": payee, "amount": amount, "currency": currency})
