"""The rules of the book: what it decides of each kind of wish, in the order of the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from datastores import ledger
from datastores.errors import ConflictError
from datastores.ledger import WalletStatus
from datastores.mongo import Document

from .book import POSTED, Book, Expected
from .holds import RESOLVED, Hold
from .spending import LIMIT, MAX_BALANCE
from .wishes import Kind, Wish

Rule = Callable[[Book, Wish, Document], Expected]


def _refusal(book: Book, wish: Wish, entry: Document) -> str | None:
    limits_at = entry["created_at"] if wish.limited else None
    return book.refusal(wish.source, wish.target, wish.amount or 0, fee=wish.fee, limits_at=limits_at)


def _transfer(book: Book, wish: Wish, entry: Document) -> Expected:
    if (code := _refusal(book, wish, entry)) is not None:
        return "REFUSED", code
    amount = wish.amount or 0
    book.purse(wish.source).posted -= amount + wish.fee
    book.purse(wish.target).posted += amount
    book.purse(ledger.fees_account_id(wish.currency)).posted += wish.fee
    _began(book, wish, entry, amount + wish.fee)
    return POSTED


def _reserve(book: Book, wish: Wish, entry: Document) -> Expected:
    if (code := _refusal(book, wish, entry)) is not None:
        return "REFUSED", code
    amount = wish.amount or 0
    book.purse(wish.source).out += amount
    book.purse(wish.target).into += amount
    book.reserves[entry["_id"]] = wish
    _began(book, wish, entry, amount)
    return "PENDING", None


def _began(book: Book, wish: Wish, entry: Document, amount: int) -> None:
    if wish.payer:
        book.spend(wish.source, entry, amount)
    if wish.follows:
        book.follow_ups.add(f"message:{entry['_id']}")


def _hold(book: Book, wish: Wish, entry: Document) -> Expected:
    expected = _reserve(book, wish, entry)
    if book.reserves.pop(entry["_id"], None) is not None:
        source, target = book.purse(wish.source), book.purse(wish.target)
        book.holds[entry["_id"]] = Hold(entry["_id"], source, target, wish.amount or 0, entry["expires_at"])
        lasts = entry["expires_at"] - entry["created_at"]
        if entry["expires_at"] != wish.expires_at and (wish.expires_at or lasts != timedelta(days=7)):
            return f"lasts {lasts}", None
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
    elif wish.subject:
        source.spending.give_back(wish.subject["_id"], amount)
    return POSTED


def _refund(book: Book, wish: Wish, _entry: Document) -> Expected:
    subject = wish.subject
    assert subject is not None
    payer, payee = (leg["account_id"] for leg in subject["legs"][:2])
    left = _moved(book, subject["_id"], subject["amount"]) - book.refunded.get(subject["_id"], 0)
    amount = left if wish.amount is None else wish.amount
    if not 0 < amount <= left:
        return "REFUSED", ConflictError.code
    expected = book.move(payee, payer, amount)
    if expected == POSTED:
        book.refunded[subject["_id"]] = book.refunded.get(subject["_id"], 0) + amount
    return expected


def _moved(book: Book, id: str, amount: int) -> int:
    """How much a transfer has moved: of a hold it is what was captured."""
    return book.holds[id].captured if id in book.holds else amount


def _reverse(book: Book, wish: Wish, _entry: Document) -> Expected:
    """Frozen wallets are no obstacle; whatever is one is not kept, so that there is no entry of it."""
    subject = wish.subject
    assert subject is not None
    root = subject["pending_id"] or subject["_id"]
    refunded = book.refunded.get(root, 0)
    left = min(subject["amount"], _moved(book, root, subject["amount"]) - refunded)
    if left <= 0:
        return "nothing is left", None
    sent_back = subject["amount"] - left
    for place, leg in enumerate(subject["legs"]):
        purse = book.purse(leg["account_id"])
        purse.posted += {0: -sent_back, 1: sent_back}.get(place, 0) - leg["delta"]
        if purse.status == WalletStatus.CLOSED:
            return "is closed", None
        if leg["account_id"].startswith("wal_") and leg["delta"] > 0 and purse.posted < purse.out:
            return "the money is gone", None
    book.refunded[root] = refunded + left
    return POSTED


def _exchange(book: Book, wish: Wish, entry: Document) -> Expected:
    quote = wish.quote
    assert quote is not None
    if quote["_id"] in book.used_quotes:
        return "REFUSED", ConflictError.code
    if quote["expires_at"] <= entry["created_at"]:
        return "REFUSED", "QUOTE_EXPIRED"
    sold, bought, fee = (quote[name]["minor_units"] for name in ("sell", "buy", "fee"))
    limits_at = entry["created_at"] if wish.limited else None
    payer, payee = book.purse(wish.source), book.purse(wish.target)
    if payer.status != WalletStatus.OPEN or payee.status != WalletStatus.OPEN:
        return "REFUSED", "ACCOUNT_FROZEN"
    if (code := book.refusal(wish.source, wish.source, sold, fee=fee)) is not None:
        return "REFUSED", code
    if limits_at is not None and (code := payer.spending.refusal(sold + fee, limits_at)) is not None:
        return "REFUSED", code
    if limits_at is not None and payee.posted + payee.into + bought > MAX_BALANCE:
        return "REFUSED", f"{LIMIT} balance"
    sell, buy = quote["sell"]["currency"], quote["buy"]["currency"]
    payer.posted -= sold + fee
    payee.posted += bought
    book.purse(ledger.fees_account_id(sell)).posted += fee
    book.purse(ledger.exchange_account_id(sell)).posted += quote["taken"]
    book.purse(ledger.rounding_account_id(sell)).posted += sold - quote["taken"]
    book.purse(ledger.exchange_account_id(buy)).posted -= quote["given"]
    book.purse(ledger.rounding_account_id(buy)).posted += quote["given"] - bought
    book.spend(wish.source, entry, sold + fee)
    book.used_quotes.add(quote["_id"])
    return POSTED


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
    Kind.EXCHANGE: _exchange,
    Kind.REVERSE: _reverse,
    Kind.STATUS: _status,
}
