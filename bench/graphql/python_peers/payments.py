"""How the servers in Python move money: a transaction for each transfer, the answer to its key kept in it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from .reads import Document, client, db


async def transfer_funds(payer_id: str, key: str, payee_id: str, amount: str) -> tuple[Document, Document, bool] | None:
    """The payment, the payer's account and whether the key was known; None where there is not enough."""
    minor_units = round(float(amount) * 100)
    made = {"_id": str(uuid4()), "payer_id": payer_id, "key": key, "payee_id": payee_id, "minor_units": minor_units}
    try:
        async with await client.start_session() as session:
            payer = await session.with_transaction(lambda session: _move(made, session))
    except DuplicateKeyError:
        earlier = await db.peer_payments.find_one({"payer_id": payer_id, "key": key})
        return earlier, await db.peer_accounts.find_one({"_id": payer_id}), True
    return None if payer is None else (made, payer, False)


async def _move(made: Document, session: Any) -> Document | None:
    units = made["minor_units"]
    payer: Document | None = await db.peer_accounts.find_one_and_update(
        {"_id": made["payer_id"], "posted": {"$gte": units}},
        {"$inc": {"posted": -units}},
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    if payer is not None:
        await db.peer_accounts.update_one({"_id": made["payee_id"]}, {"$inc": {"posted": units}}, session=session)
        await db.peer_payments.insert_one(made, session=session)
    return payer
