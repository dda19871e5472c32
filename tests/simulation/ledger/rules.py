"""The rules of the book: what it decides of each kind of wish, in the order of the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from datastores.errors import ConflictError
from datastores.mongo import Document

from .book import POSTED, Book, Expected
from .holds import RESOLVED, Hold
from .wishes import Kind, Wish

Rule = Callable[[Book, Wish, Document], Expected]


def _transfer(book: Book, wish: Wish, entry: Document) -> Expected:
    expected = book.move(wish.source, wish.target, wish.amount or 0)
    if expected == POSTED and wish.follows:
        book.follow_ups.add(f"message:{entry['_id']}")
    return expected


def _reserve(book: Book, wish: Wish, entry: Document) -> Expected:
    amount = wish.amount or 0
    if (code := book.refusal(wish.source, wish.target, amount)) is not None:
        return "REFUSED", code
    book.purse(wish.source).out += amount
    book.purse(wish.target).into += amount
    book.reserves[entry["_id"]] = wish
    return "PENDING", None


def _hold(book: Book, wish: Wish, entry: Document) -> Expected:
    expected = _reserve(book, wish, entry)
    if book.reserves.pop(entry["_id"], None) is not None:
        source, target = book.purse(wish.source), book.purse(wish.target)
        book.holds[entry["_id"]] = Hold(source, target, wish.amount or 0, entry["expires_at"])
        lasts = entry["expires_at"] - entry["created_at"]
        if entry["expires_at"] != wish.expires_at and (wish.expires_at or lasts != timedelta(days=7)):
            return f"lasts {lasts}", None
        if wish.follows:
            book.follow_ups.add(f"message:{entry['_id']}")
    return expected


def _about_hold(book: Book, wish: Wish, entry: Document) -> Expected:
    assert wish.subject is not None
    hold = book.holds[wish.subject["_id"]]
    if wish.kind is Kind.EXPIRE:
        code = hold.expire(entry)
    else:
        code = hold.capture(wish, entry) if wish.kind is Kind.CAPTURE else hold.void(wish, entry)
    return POSTED if code is None else ("REFUSED", code)


def give_back(book: Book, wish: Wish, entry: Document) -> Expected:
    """What follows from a final capture: the rest goes back."""
    assert wish.subject is not None
    hold = book.holds[wish.subject["_id"]]
    if hold.ended:
        return "it has ended", None
    hold.give_back(RESOLVED)
    return POSTED


def _resolve(book: Book, wish: Wish, _entry: Document) -> Expected:
    reserved = book.reserves.pop(wish.subject["_id"], None) if wish.subject else None
    if reserved is None:
        return "nothing is reserved", None
    amount = reserved.amount or 0
    source, target = book.purse(reserved.source), book.purse(reserved.target)
    source.out -= amount
    target.into -= amount
    if wish.kind is Kind.SETTLE:
        source.posted -= amount
        target.posted += amount
    return POSTED


def _refund(book: Book, wish: Wish, _entry: Document) -> Expected:
    subject = wish.subject
    assert subject is not None
    payer, payee = (leg["account_id"] for leg in subject["legs"])
    left = subject["amount"] - book.refunded.get(subject["_id"], 0)
    amount = left if wish.amount is None else wish.amount
    if not 0 < amount <= left:
        return "REFUSED", ConflictError.code
    expected = book.move(payee, payer, amount)
    if expected == POSTED:
        book.refunded[subject["_id"]] = subject["amount"] - left + amount
    return expected


def _status(book: Book, wish: Wish, _entry: Document) -> Expected:
    book.purse(wish.target).status = wish.status.value
    return POSTED


RULES: Final[Mapping[Kind, Rule]] = {
    Kind.TRANSFER: _transfer,
    Kind.TOP_UP: _transfer,
    Kind.RESERVE: _reserve,
    Kind.SETTLE: _resolve,
    Kind.RELEASE: _resolve,
    Kind.REFUND: _refund,
    Kind.HOLD: _hold,
    Kind.CAPTURE: _about_hold,
    Kind.VOID: _about_hold,
    Kind.EXPIRE: _about_hold,
    Kind.STATUS: _status,
}
