"""Reversals as people and partners see them: an entry of the wallet, an event of the merchant, and nothing left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datastores import ledger
from datastores.errors import ConflictError
from tests.contract.acts import attempt, done, eur, key, newcomer, refused
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENTRIES = """{ viewer { wallet(currency: "EUR") { posted { amount } entries(first: 1) {
  nodes { kind amount { amount } counterparty { handle } transfer { id state fee { amount }
  receipt { body } } } } } } }"""
TRANSFER = "query ($id: ID!) { transfer(id: $id) { state refundedAmount { amount currency } } }"
PAID = "transfer { id } wallet { id }"


async def pay(town: Town, who: str, other: str, amount: str) -> str:
    """The id of a transfer that was made."""
    given: dict[str, Any] = {"to": {"handle": other}, "amount": eur(amount)}
    return str((await done(town, who, "transferFunds", PAID, idempotencyKey=key(), **given))["transfer"]["id"])


async def reverse(town: Town, transfer_id: str) -> ledger.Outcome:
    """Undo a transfer as the command does."""
    (original,) = await ledger.entries_by_ids(town.gateway.database, [ledger.sibling_id(transfer_id, "ent")])
    assert original is not None
    return await town.gateway.commits[ledger.COMMIT_LOOP].submit(ledger.reversal(original, "It was a mistake"))


async def newest(town: Town, who: str) -> tuple[str, Any]:
    wallet = (await town.ask(who, ENTRIES))["viewer"]["wallet"]
    return wallet["posted"]["amount"], wallet["entries"]["nodes"][0]


async def test_both_wallets_show_it_and_hear_of_it(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)
    paid = await pay(town, one, other, "4.00")
    document = "subscription { balanceChanged { wallet { posted { amount } } entry { kind } } }"

    async with town.subscribed(one, document) as heard:
        await reverse(town, paid)
        event = (await heard.next())["balanceChanged"]

    assert event == {"wallet": {"posted": {"amount": "10.00"}}, "entry": {"kind": "REVERSAL"}}
    for who, posted, amount, counterparty in ((one, "10.00", "4.00", other), (other, "0.00", "-4.00", one)):
        balance, entry = await newest(town, who)
        assert (balance, entry["kind"], entry["amount"]["amount"]) == (posted, "REVERSAL", amount)
        assert entry["counterparty"] == {"handle": counterparty}
        assert entry["transfer"]["state"] == "POSTED"
        assert entry["transfer"]["fee"] is None
        assert '"reverses":"' in entry["transfer"]["receipt"]["body"]
        assert "It was a mistake" not in entry["transfer"]["receipt"]["body"]
        shown = (await town.ask(who, TRANSFER, id=paid))["transfer"]
        assert shown == {"state": "REFUNDED", "refundedAmount": eur("4.00")}


async def test_many_at_once_are_one_reversal(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town, funds="10.00")
    paid = await pay(town, one, other, "4.00")

    outcomes = await asyncio.gather(*(reverse(town, paid) for _ in range(16)))

    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert ((await newest(town, one))[0], (await newest(town, other))[0]) == ("10.00", "10.00")


async def test_it_and_refunds_share_what_there_is(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town, funds="10.00")
    paid, gone = await pay(town, one, other, "4.00"), await pay(town, one, other, "2.00")
    await done(town, other, "refundTransfer", PAID, idempotencyKey=key(), transferId=paid, amount=eur("1.50"))
    await done(town, other, "refundTransfer", PAID, idempotencyKey=key(), transferId=gone)

    await reverse(town, paid)

    assert (await newest(town, one))[0] == "10.00"
    assert await refused(town, other, "refundTransfer", idempotencyKey=key(), transferId=paid) == "ConflictError"
    with pytest.raises(ConflictError):
        await reverse(town, gone)
    reversal = (await newest(town, one))[1]["transfer"]["id"]
    answer = await attempt(town, one, "refundTransfer", idempotencyKey=key(), transferId=reversal)
    assert answer["__typename"] == "ForbiddenError"


async def test_a_merchant_hears_of_it(town: Town) -> None:
    one = await newcomer(town, funds="10.00")
    paid = await pay(town, one, "carol", "4.00")
    document = """{ paymentEvents(first: 100, types: ["payment.reversed"]) {
      nodes { type eventAmount { amount } transfer { sender { handle } recipient { handle } } } } }"""

    await reverse(town, paid)

    events = (await town.ask("carol", document))["paymentEvents"]["nodes"]
    assert events[-1]["type"] == "payment.reversed"
    assert events[-1]["eventAmount"] == {"amount": "4.00"}
    assert events[-1]["transfer"] == {"sender": {"handle": "carol"}, "recipient": {"handle": one}}
