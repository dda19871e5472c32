"""Deeds: what a gateway's clients want done, each a row that can be done again after a crash, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from datastores import conversations, ledger, merchants
from datastores.commit import Act, CommitLoops
from datastores.conversations import AddMembers, EditMessage, React, RemoveMember
from datastores.errors import ConflictError, NotFoundError
from datastores.ledger import Command, Outcome
from datastores.merchants import CancelOrder, CompleteOrder, OrderDocument, PayOrder, PlaceOrder, ShipOrder, Wanted
from datastores.mongo import Database
from tests.faults.journals import Row
from tests.faults.town import LOBBY, MERCHANT, MESSAGES_LOOP, PEOPLE, PRICE, SELLER, message, payment

DEADLINE_S: Final = 1.5
EMOJI: Final = "👍"
WEIGHT_OF_MESSAGE: Final = 3 * len(PEOPLE)


class Deeds:
    """Does what an intent says, under this key, in one process."""

    def __init__(self, database: Database, commits: CommitLoops) -> None:
        self._database = database
        self._commits = commits
        self._of: Mapping[str, Callable[[str, Row], Awaitable[Row]]] = {
            "transfer": self._transfer,
            "say": self._say,
            "edit": self._edit,
            "react": self._react,
            "join": self._join,
            "leave": self._leave,
            "place": self._place,
            "pay": self._pay,
            "ship": self._step,
            "complete": self._step,
            "cancel": self._step,
        }

    async def do(self, key: str, intent: Row) -> Row:
        """What came of it: `outcome`, always the same under one key, and whether it was `replayed`."""
        return await self._of[intent["do"]](key, intent)

    async def _money(self, act: Act[Any]) -> Any:
        return await self._commits[ledger.COMMIT_LOOP].submit(act, weight=6, timeout_s=DEADLINE_S)

    async def _talk(self, act: Act[Any], weight: int = 3) -> Any:
        return await self._commits[MESSAGES_LOOP].submit(act, weight=weight, timeout_s=DEADLINE_S)

    async def _transfer(self, key: str, intent: Row) -> Row:
        act = payment(key, intent["payer"], intent["payee"], intent["amount"], intent["currency"])
        return _entry(await self._money(act))

    async def _say(self, key: str, intent: Row) -> Row:
        act = message(key, intent["sender"], intent["conversation"])
        written = await self._talk(act, WEIGHT_OF_MESSAGE)
        found = {"message": written.message["_id"], "seq": written.message["seq"], "n": written.message["n"]}
        return {"outcome": found, "replayed": written.replayed}

    async def _edit(self, key: str, intent: Row) -> Row:
        return _event(await self._talk(EditMessage(intent["message"], intent["sender"], f"Edited by {key}")))

    async def _react(self, key: str, intent: Row) -> Row:
        return _event(await self._talk(React(intent["message"], intent["sender"], EMOJI, present=intent["present"])))

    async def _join(self, key: str, intent: Row) -> Row:
        added = await self._talk(AddMembers(LOBBY, PEOPLE[0], [intent["member"]]))
        return {"outcome": {"members": len(added.conversation["member_ids"])}, "replayed": False}

    async def _leave(self, key: str, intent: Row) -> Row:
        try:
            left = await self._talk(RemoveMember(LOBBY, intent["member"], intent["member"]))
        except NotFoundError:
            return {"outcome": {"members": None}, "replayed": False}
        return {"outcome": {"members": len(left.conversation["member_ids"])}, "replayed": False}

    async def _place(self, key: str, intent: Row) -> Row:
        request = {"listing": intent["listing"], "quantity": intent["quantity"]}
        command = ledger.command(intent["buyer"], key, "placeOrder", request)
        line = Wanted(intent["listing"], intent["quantity"], ledger.money(PRICE, "EUR"))
        about = conversations.order_conversation_id(command.id("ord"))
        decided = await self._money(PlaceOrder(command, intent["buyer"], MERCHANT, SELLER, about, (line,)))
        row = _entry(decided.outcome)
        return row | {"order": decided.order and decided.order["_id"]}

    async def _pay(self, key: str, intent: Row) -> Row:
        order = await self._order(intent)
        command = ledger.command(intent["buyer"], key, "payOrder", {"order": order["_id"]})
        decided = await self._money(PayOrder(command, order, ledger.wallet_id(intent["buyer"], "EUR")))
        return _entry(decided.outcome) | {"order": order["_id"]}

    async def _step(self, key: str, intent: Row) -> Row:
        """Ship, complete or cancel; the salt is made of the key, so that another try knows its own act again."""
        order, kind = await self._order(intent), intent["do"]
        command = ledger.system_command(kind, order["_id"], salt=hashlib.sha256(key.encode()).hexdigest()[:32])
        try:
            changed = await self._money(_step_act(kind, command, order))
        except ConflictError as refused:
            return {"outcome": {"refused": refused.code}, "replayed": False, "order": order["_id"]}
        return {"outcome": {"done": sorted(changed["numbers"])}, "replayed": False, "order": order["_id"]}

    async def _order(self, intent: Row) -> OrderDocument:
        (order,) = await merchants.orders_by_ids(self._database, [intent["order"]])
        if order is None:
            raise LookupError(f"the order {intent['order']} was acknowledged and is not there")
        return order


def _step_act(kind: str, command: Command, order: OrderDocument) -> Act[OrderDocument]:
    if kind == "ship":
        return ShipOrder(command, order, SELLER)
    if kind == "complete":
        return CompleteOrder(command, order, order["buyer_id"])
    return CancelOrder(command, order, order["buyer_id"])


def _entry(outcome: Outcome) -> Row:
    entry = outcome.entry
    found = {"entry": entry["_id"], "seq": entry["seq"], "state": entry["state"], "code": entry["code"]}
    return {"outcome": found, "replayed": outcome.replayed}


def _event(written: conversations.WrittenMessage) -> Row:
    # Where nothing changed, the number is that of some event before.
    return {"outcome": {"n": None if written.replayed else written.n}, "replayed": written.replayed}
