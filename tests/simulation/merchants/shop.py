"""The shop of the model: how orders and stock go on, decided again in the order of the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product

from datastores import ledger
from datastores.errors import ConflictError, OutOfStockError, PriceChangedError
from datastores.mongo import Document
from tests.simulation.ledger.answers import Request, request_of
from tests.simulation.ledger.book import POSTED, Book, Expected

from .wishes import Kind, Wish

UNPAID_FOR = timedelta(minutes=30)
COMPLETES_AFTER = timedelta(days=14)
Decider = Callable[[Book, Document], Expected]
# What a listing costs, and whether it is paused; more than one where that has changed.
Offers = dict[str, set[tuple[int, bool]]]


@dataclass
class Sale:
    """An order of the model; `settled` once its escrow was released or returned."""

    wish: Wish
    due_at: datetime
    state: str = "PLACED"
    settled: str = ""


@dataclass
class Shop:
    """Stock and orders. `offers` says what each listing was offered at for a wish, up to the commit of its entry."""

    stock: dict[str, int | None]
    offers: Callable[[Wish, int], Offers]
    stamps: dict[int, int] = field(default_factory=dict)
    sales: dict[str, Sale] = field(default_factory=dict)
    completes: set[str] = field(default_factory=set)

    def deciders(self, wish: Wish) -> Iterator[tuple[Request, Decider]]:
        """Every entry that this wish may append, and how it is decided."""
        id = wish.order_id
        own = (wish.caller, wish.key, wish.request_hash)
        match wish.kind:
            case Kind.PLACE:
                yield own, lambda book, entry: self._place(wish, entry)
            case Kind.PAY:
                yield own, lambda book, entry: self._pay(book, wish, entry)
                yield _system("pay", id), lambda book, entry: self._step(id, "PAYING", "PAID")
            case Kind.SHIP:
                yield _system("ship", id), lambda book, entry: self._ship(id, entry)
            case Kind.COMPLETE:
                if wish.caller != "system":
                    self.completes.add(id)
                yield _system("release", id), lambda book, entry: self._release(book, id, entry)
                yield _system("complete", id), lambda book, entry: self._step(id, "RELEASED", "COMPLETED")
            case Kind.CANCEL | Kind.EXPIRE:
                yield _system("refund", id), lambda book, entry: self._return(book, id)
                yield _system("cancel", id), lambda book, entry: self._cancel(id)
                yield _system("expire", id), lambda book, entry: self._expire(id, entry)

    def _place(self, wish: Wish, entry: Document) -> Expected:
        offers = self.offers(wish, self.stamps[entry["seq"]])
        possible = {self._refusal(wish, dict(zip(offers, each, strict=True))) for each in product(*offers.values())}
        # Where the price changed meanwhile, the answers for before and after are both right.
        code = entry["code"] if entry["code"] in possible else next(iter(possible))
        if code is not None:
            return "REFUSED", code
        for id, quantity, _ in wish.lines:
            self._put(id, -quantity)
        self.sales[wish.order_id] = Sale(wish, entry["created_at"] + UNPAID_FOR)
        return POSTED

    def _refusal(self, wish: Wish, offers: dict[str, tuple[int, bool]]) -> str | None:
        if any(offers[id][0] != price for id, _, price in wish.lines):
            return PriceChangedError.code
        for id, quantity, _ in wish.lines:
            left = self.stock[id]
            if offers[id][1] or (left is not None and left < quantity):
                return OutOfStockError.code
        return None

    def _pay(self, book: Book, wish: Wish, entry: Document) -> Expected:
        sale = self.sales[wish.order_id]
        if sale.state != "PLACED" or entry["created_at"] >= sale.due_at:
            return "REFUSED", ConflictError.code
        expected = book.move(ledger.wallet_id(wish.caller, "EUR"), _escrow(wish.order_id), _total(sale))
        if expected == POSTED:
            book.spend(ledger.wallet_id(wish.caller, "EUR"), entry, _total(sale))
            sale.state = "PAYING"
        return expected

    def _ship(self, id: str, entry: Document) -> Expected:
        self.sales[id].due_at = entry["created_at"] + COMPLETES_AFTER
        return self._step(id, "PAID", "SHIPPED")

    def _release(self, book: Book, id: str, entry: Document) -> Expected:
        sale = self.sales[id]
        if id not in self.completes and entry["created_at"] < sale.due_at:
            return "not due", None
        expected = book.move(_escrow(id), ledger.wallet_id(sale.wish.seller, "EUR"), _total(sale))
        return self._step(id, "SHIPPED", "RELEASED") if expected == POSTED else expected

    def _return(self, book: Book, id: str) -> Expected:
        sale = self.sales[id]
        expected = book.move(_escrow(id), ledger.wallet_id(sale.wish.caller, "EUR"), _total(sale))
        return self._step(id, "PAID", "RETURNED") if expected == POSTED else expected

    def _cancel(self, id: str) -> Expected:
        is_paid = self.sales[id].state == "RETURNED"
        expected = self._step(id, "RETURNED", "REFUNDED") if is_paid else self._step(id, "PLACED", "CANCELLED")
        if expected == POSTED:
            for listing, quantity, _ in self.sales[id].wish.lines:
                self._put(listing, quantity)
        return expected

    def _expire(self, id: str, entry: Document) -> Expected:
        return ("not due", None) if entry["created_at"] < self.sales[id].due_at else self._cancel(id)

    def _step(self, id: str, before: str, after: str) -> Expected:
        sale = self.sales[id]
        if sale.state != before:
            return f"{sale.state} and not {before}", None
        sale.state = after
        return POSTED

    def _put(self, id: str, quantity: int) -> None:
        left = self.stock[id]
        self.stock[id] = None if left is None else left + quantity


def _system(name: str, order_id: str) -> Request:
    command = ledger.system_command(name, order_id, salt="-")
    return request_of({"caller": command.caller, "key": command.key, "request_hash": command.request_hash})


def _escrow(order_id: str) -> str:
    return ledger.escrow_account_id(order_id)


def _total(sale: Sale) -> int:
    return sum(quantity * price for _, quantity, price in sale.wish.lines)
