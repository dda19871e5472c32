"""The merchants' quarter: stock that is never sold twice, and escrow that is given out once."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, Final

from datastores import ledger
from datastores.errors import ConflictError, ForbiddenError, NotFoundError
from datastores.merchants import EVENTS, FOLLOW_UPS, LISTINGS, ORDERS, Decided
from datastores.mongo import Document
from tests.simulation.ledger.quarter import LedgerQuarter
from tests.simulation.processes import Process
from tests.simulation.quarters import Asked, Problems
from tests.simulation.shapes import Shape
from tests.simulation.storage import Changes, Storage

from .plan import Plan
from .shop import Offers, Shop
from .wishes import Kind, Wish

_ALIVE: Final = ("PLACED", "PAID", "SHIPPED", "COMPLETED")
_IN_ESCROW: Final = ("PAID", "SHIPPED")
_STEPS: Final = {
    "PLACED": ("PAID", "SHIPPED", "COMPLETED", "CANCELLED", "REFUNDED"),
    "PAID": ("SHIPPED", "COMPLETED", "REFUNDED"),
    "SHIPPED": ("COMPLETED",),
}
_BEFORE: Final = {
    Kind.SHIP: ("PAID",),
    Kind.COMPLETE: ("SHIPPED",),
    Kind.CANCEL: ("PLACED", "PAID"),
    Kind.EXPIRE: ("PLACED",),
}
_AFTER: Final = {
    Kind.SHIP: ("shipped",),
    Kind.COMPLETE: ("completed",),
    Kind.CANCEL: ("cancelled", "refunded"),
    Kind.EXPIRE: ("cancelled",),
}


class MerchantsQuarter:
    """One shop; its orders are in the ledger, whose quarter decides their entries again by the rules of the shop."""

    def __init__(
        self, random: Random, shape: Shape, storage: Storage, problems: Problems, money: LedgerQuarter
    ) -> None:
        self._plan = Plan(random, shape.people)
        self._storage = storage
        self._problems = problems
        self._money = money
        self._wishes: dict[Wish, None] = {}
        self._done: set[tuple[Kind, str]] = set()
        self._stock = {each["_id"]: each["stock"] for each in self._plan.listings}
        self._listings: dict[str, Document] = {}
        self._orders: dict[str, Any] = {}
        self._updates: dict[str, set[tuple[int, bool]]] = {}
        self._asked: dict[Wish, int] = {}
        self._rows: dict[str, list[tuple[str, str]]] = {}
        self._shop = Shop(dict(self._stock), self._offers)

    def plant(self) -> None:
        self._storage.plant(LISTINGS, *({**each} for each in self._plan.listings))

    def next(self) -> Wish:
        wish = self._plan.next(list(self._orders.values()), list(self._wishes))
        if wish.kind is Kind.UPDATE:
            ((id, _, price),) = wish.lines
            self._updates.setdefault(id, set()).add((price, wish.state == "PAUSED"))
        else:
            self._asked.setdefault(wish, self._storage.stamp)
            for request, decide in self._shop.deciders(wish):
                self._money.expect(request, str(wish), decide)
        self._wishes.setdefault(wish)
        return wish

    def audit(self, changes: Changes) -> None:
        for (name, id), document in changes.items():
            if name == LISTINGS and document is not None:
                self._listings[id] = document
        for (name, id), document in changes.items():
            if name == "entries" and document is not None:
                self._shop.stamps[document["seq"]] = self._storage.stamp
            elif name == ORDERS and document is not None:
                self._check_step(self._orders.get(id), document)
                self._orders[id] = document
        self._check_rows(changes)
        self._check_stock()
        self._check_escrows(changes)

    def _offers(self, wish: Wish, stamp: int) -> Offers:
        """What each listing was offered at when this was decided, which was after it was asked for, up to this commit.

        A refusal writes no listing, so that one may change while it is decided: then both answers are right.
        """
        found: Offers = {}
        for id, _, _ in wish.lines:
            since = self._storage.seen_since(LISTINGS, id, self._asked[wish])
            until = len(self._storage.seen_since(LISTINGS, id, stamp)) - 1
            found[id] = {_offer(each) for each in since[: len(since) - until] if each is not None}
            if len(since) > 1:
                # Of two changes in one batch the first is never seen, and an order may stand between them.
                found[id] |= self._updates.get(id, set())
        return found

    def _check_step(self, before: Document | None, order: Document) -> None:
        if before is not None and order["state"] not in (before["state"], *_STEPS.get(before["state"], ())):
            self._problems.append(f"an order that was {before['state']} is {order['state']}")

    def _check_rows(self, changes: Changes) -> None:
        rows = [row for (name, _), row in changes.items() if name == EVENTS and row is not None]
        for row in sorted(rows, key=lambda row: int(row["n"])):
            of_user = self._rows.setdefault(row["user_id"], [])
            event = (row["order_id"], row["kind"])
            if event in of_user:
                self._problems.append(f"{row['user_id']} hears twice that an order is {row['kind']}")
            of_user.append(event)
            if row["n"] != len(of_user):
                self._problems.append(f"row {row['n']} is the {len(of_user)}th in the log of {row['user_id']}")
            order = self._orders[row["order_id"]]
            place = 0 if row["user_id"] == order["buyer_id"] else 1
            if order["numbers"][row["kind"]][place] != row["n"]:
                self._problems.append(f"an order that is {row['kind']} names another row of {row['user_id']}")
        followed = {id for (name, id), document in changes.items() if name == FOLLOW_UPS and document is not None}
        if followed != {f"{row['order_id']}/{row['kind']}" for row in rows}:
            self._problems.append(f"what must follow of orders is {sorted(followed)}")

    def _check_stock(self) -> None:
        reserved = dict.fromkeys(self._stock, 0)
        for order in self._orders.values():
            for line in order["lines"]:
                reserved[line["listing_id"]] += line["reserved"] if order["state"] in _ALIVE else 0
        for id, listing in self._listings.items():
            stock, first = listing["stock"], self._stock[id]
            if first is not None and (stock < 0 or stock + reserved[id] != first):
                self._problems.append(f"of {first} {stock} are left and {reserved[id]} ordered")

    def _check_escrows(self, changes: Changes) -> None:
        for (name, id), order in changes.items():
            if name == "accounts" and id.startswith("acct_escrow_"):
                self._check_escrow(self._orders[id.removeprefix("acct_escrow_")])
            elif name == ORDERS and order is not None:
                self._check_escrow(order)

    def _check_escrow(self, order: Document) -> None:
        account = self._storage.get("accounts", ledger.escrow_account_id(order["_id"]))
        held = account["posted"] if account else 0
        if held != (order["total"]["minor_units"] if order["state"] in _IN_ESCROW else 0):
            self._problems.append(f"an order of {order['total']} that is {order['state']} holds {held} in escrow")

    def answered(self, wish: Wish, outcome: Any, asked: Asked) -> str:
        if wish.kind is Kind.UPDATE:
            return "updated"
        if isinstance(outcome, Decided):
            return self._money.answers.take(wish, outcome.outcome, asked)
        self._done.add((wish.kind, wish.order_id))
        return str(outcome["state"])

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        if wish.kind in (Kind.PLACE, Kind.PAY):
            if self._money.answers.refused(wish, error, asked):
                return
            wallet = ledger.wallet_id(wish.caller, "EUR")
            if isinstance(error, NotFoundError) and wish.kind is Kind.PAY:
                may_be = None in self._storage.seen_since("accounts", wallet, asked.stamp)
            else:
                may_be = isinstance(error, ForbiddenError) and wish.caller == wish.seller
        else:
            may_be = isinstance(error, ConflictError) and self._may_conflict(wish, asked)
        if not may_be:
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def _may_conflict(self, wish: Wish, asked: Asked) -> bool:
        orders = [order for order in self._storage.seen_since(ORDERS, wish.order_id, asked.stamp) if order is not None]
        if any(order["state"] not in _BEFORE[wish.kind] for order in orders):
            return True
        if wish.caller == "system" and any(order["due_at"] > asked.earliest for order in orders):
            return True
        payee = wish.seller if wish.kind is Kind.COMPLETE else orders[0]["buyer_id"]
        return wish.kind is not Kind.SHIP and self._was_frozen(ledger.wallet_id(payee, "EUR"))

    def _was_frozen(self, account_id: str) -> bool:
        entries = self._storage.committed("entries").values()
        return any(
            leg["account_id"] == account_id and leg["status_after"] != "OPEN" for e in entries for leg in e["legs"]
        )

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        if wish.kind in (Kind.PLACE, Kind.PAY):
            self._money.answers.unanswered(wish, error, alone)

    async def finish(self, process: Process) -> None:
        return None

    async def check(self, process: Process) -> None:
        for kind, order_id in self._done:
            if not any(name in self._orders[order_id]["numbers"] for name in _AFTER[kind]):
                self._problems.append(f"acknowledged and not there: {kind} {order_id}")
        for id, order in self._orders.items():
            if order["state"] != (sale := self._shop.sales[id]).state:
                self._problems.append(f"an order is {order['state']}, and the model says {sale.state}")
        for id, listing in self._storage.committed(LISTINGS).items():
            if listing["stock"] != self._shop.stock[id]:
                self._problems.append(f"{listing['stock']} are left, and the model says {self._shop.stock[id]}")

    def counts(self) -> dict[str, int]:
        states = Counter(f"orders that are {order['state']}" for order in self._orders.values())
        return {**dict(sorted(states.items())), "rows of orders' logs": sum(map(len, self._rows.values()))}


def _offer(listing: Document) -> tuple[int, bool]:
    return listing["price"]["minor_units"], listing["state"] == "PAUSED"
