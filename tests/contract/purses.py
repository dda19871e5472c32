"""What people of the town have in their wallets, and paying one another."""

from __future__ import annotations

from typing import Any

from tests.contract.acts import done, eur, key
from tests.contract.town import Town

WALLET = '{ viewer { wallet(currency: "EUR") { id posted { amount } available { amount } pendingOut { amount } } } }'
PAID = "replayed transfer { id state amount { amount } }"
EVERYTHING = """id createdAt state amount { amount currency } sender { handle } recipient { handle } memo
  fee { amount } from { id } to { id } refundedAmount { amount } conversation { id } order { id } receipt { body }"""


async def wallet(town: Town, who: str) -> Any:
    """A person's wallet in EUR, or None."""
    return (await town.ask(who, WALLET))["viewer"]["wallet"]


async def posted(town: Town, who: str) -> str:
    """What is posted in it."""
    return str((await wallet(town, who))["posted"]["amount"])


def to(handle: str, amount: str, **more: Any) -> dict[str, Any]:
    """The input of a payment in EUR, but for its key."""
    return {"to": {"handle": handle}, "amount": eur(amount), **more}


async def pay(town: Town, who: str, other: str, amount: str, **more: Any) -> Any:
    """What a payment that succeeds is answered."""
    given: dict[str, Any] = {"idempotencyKey": key(), **to(other, amount), **more}
    return await done(town, who, "transferFunds", PAID, **given)
