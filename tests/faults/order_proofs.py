"""What must hold of orders once all is quiet: stock, escrow, what each order came to, and both its people's logs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from datastores import ledger
from datastores.ledger import EntryKind
from datastores.ledger.accounts import ACCOUNTS
from datastores.ledger.entries import ENTRIES
from datastores.merchants import EVENTS, LISTINGS, ORDERS
from datastores.mongo import Database
from tests.faults.findings import MAX_ROWS, Findings, Written
from tests.faults.journals import Row
from tests.faults.town import STOCKS, listing_id

ALIVE: Final = ("PLACED", "PAID", "SHIPPED", "COMPLETED")
IN_ESCROW: Final = ("PAID", "SHIPPED")
_DONE: Final = {"ship": {"shipped"}, "complete": {"completed"}, "cancel": {"cancelled", "refunded"}}
# How often money went into an order's escrow, and out of it, once it has come to a state.
_MOVED: Final = {"PLACED": (0, 0), "CANCELLED": (0, 0), "PAID": (1, 0), "SHIPPED": (1, 0)}


async def check_orders(findings: Findings, database: Database, written: Written) -> None:
    """Every order, its stock, its escrow and its events."""
    orders = {each["_id"]: each for each in await database.find(ORDERS, {}, limit=MAX_ROWS)}
    listings = await database.find(LISTINGS, {}, limit=MAX_ROWS)
    escrows = await database.find(ACCOUNTS, {"kind": "ESCROW"}, limit=MAX_ROWS)
    findings.orders = len(orders)
    findings.broken += wrong_stock(listings, list(orders.values())) + wrong_escrows(escrows, list(orders.values()))
    await _check_money(findings, database, orders)
    await _check_logs(findings, database, orders)
    for answer in written.answers:
        if answer["do"] in ("place", "pay") and answer["outcome"]["state"] == "POSTED":
            findings.demand(answer["order"] in orders, f"order {answer['key']} was acknowledged only")
        elif answer["do"] in _DONE and "done" in answer["outcome"]:
            there = orders.get(answer["order"], {"numbers": {}})["numbers"]
            done = _DONE[answer["do"]] & there.keys() and set(answer["outcome"]["done"]) <= there.keys()
            findings.demand(bool(done), f"{answer['do']} {answer['key']} was acknowledged only")


def wrong_stock(listings: Sequence[Row], orders: Sequence[Row]) -> list[str]:
    """Listings of which not as much is left and ordered as there was, and those of which less than nothing is left."""
    reserved: Counter[str] = Counter()
    for order in orders:
        for line in order["lines"]:
            reserved[line["listing_id"]] += line["reserved"] if order["state"] in ALIVE else 0
    first = {listing_id(stock): stock for stock in STOCKS}
    return [
        f"of {first[each['_id']]} {each['stock']} are left and {reserved[each['_id']]} ordered"
        for each in listings
        if each["stock"] < 0 or each["stock"] + reserved[each["_id"]] != first[each["_id"]]
    ]


def wrong_escrows(accounts: Sequence[Row], orders: Sequence[Row]) -> list[str]:
    """Orders whose escrow is not exactly their total while they are paid and not settled, and nothing otherwise."""
    held = {account["_id"]: account["posted"] for account in accounts}
    wrong: list[str] = []
    for order in orders:
        there = held.pop(ledger.escrow_account_id(order["_id"]), 0)
        if there != (order["total"]["minor_units"] if order["state"] in IN_ESCROW else 0):
            wrong.append(f"an order that is {order['state']} holds {there} of {order['total']['minor_units']}")
    return [*wrong, *(f"{id} is of no order" for id in held)]


async def _check_money(findings: Findings, database: Database, orders: Mapping[str, Row]) -> None:
    moves = {"order_id": {"$type": "string"}, "state": "POSTED", "kind": {"$ne": EntryKind.NOTICE.value}}
    entries = await database.find(ENTRIES, moves, limit=MAX_ROWS, projection={"order_id": 1, "legs": 1})
    moved: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entry in entries:
        deltas = {leg["account_id"]: leg["delta"] for leg in entry["legs"]}
        moved[entry["order_id"]][deltas[ledger.escrow_account_id(entry["order_id"])] < 0] += 1
    for id, order in orders.items():
        wanted = _MOVED.get(order["state"], (1, 1))
        findings.demand(
            tuple(moved[id]) == wanted, f"money of an order that is {order['state']} moved {moved[id]} times"
        )


async def _check_logs(findings: Findings, database: Database, orders: Mapping[str, Row]) -> None:
    rows = await database.find(EVENTS, {}, limit=MAX_ROWS, sort=[("n", 1)])
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        numbers[row["user_id"]].append(row["n"])
    whole = all(each == list(range(1, len(each) + 1)) for each in numbers.values())
    findings.demand(whole, "the numbers of a log of orders have a hole")
    told = Counter((row["user_id"], row["order_id"], row["kind"], row["n"]) for row in rows)
    wanted = Counter(
        (user, id, kind, n)
        for id, order in orders.items()
        for kind, pair in order["numbers"].items()
        for user, n in zip((order["buyer_id"], order["merchant_owner_id"]), pair, strict=True)
    )
    findings.demand(told == wanted, "the logs of orders are not what the orders say")
