"""What a person sees of money: wallets and legs, transfers and requests that concern them or were shown to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

from datastores import conversations, ledger
from datastores import wallets as store
from datastores.errors import ValidationError
from datastores.ids import is_id
from datastores.ledger import EntryState, LegDocument, Memo, TransferDocument, WalletDocument
from datastores.mongo import Document
from datastores.paging import PageDocument, Window, window
from datastores.wallets import PaymentRequestDirection, PaymentRequestDocument, PaymentRequestState
from resolvers.connections import HasId
from resolvers.context import PAYMENTS_READ, Context

from .acting import read_memos

MAX_STATES: Final = 10
DEFAULT_STATES: Final = [EntryState.PENDING, EntryState.POSTED]
_REQUEST_KEY: Final = (datetime, str)
# What the members of a conversation see of a transfer that is shown there; the rest is null.
_SHOWN: Final = ("_id", "created_at", "amount", "sender_id", "recipient_id", "sealed_memo", "memo", "state")
# A partner sees the money of its merchants, but not what people wrote to one another.
_SHOWN_TO_PARTNERS: Final = (
    *("_id", "created_at", "amount", "sender_id", "recipient_id", "state", "order_id", "fee"),
    *("captured_amount", "expires_at"),
)


async def wallets_by_id(ctx: Context, ids: Sequence[str]) -> list[WalletDocument | None]:
    """For each id the wallet, or None unless it is the viewer's; one read."""
    viewer_id = ctx.viewer.user_id
    if viewer_id is None:
        return [None] * len(ids)
    found = await ledger.accounts_by_ids(ctx.database, [id if ledger.is_wallet_id(id) else "" for id in ids])
    return [
        ledger.wallet_document(account) if account is not None and account["owner_id"] == viewer_id else None
        for account in found
    ]


async def wallets(ctx: Context, viewers: Sequence[HasId]) -> list[list[WalletDocument]]:
    """The wallets of each viewer, the first opened first; at most one a currency."""
    found = await ledger.wallets_of(ctx.database, [viewer["_id"] for viewer in viewers])
    documents = [ledger.wallet_document(account) for account in found]
    return [[wallet for wallet in documents if wallet["owner_id"] == viewer["_id"]] for viewer in viewers]


async def wallet(ctx: Context, viewers: Sequence[HasId], *, currency: str) -> list[WalletDocument | None]:
    """The wallet of each viewer in this currency, or None where it is not open."""
    ids = [ledger.wallet_id(viewer["_id"], currency) for viewer in viewers]
    return await wallets_by_id(ctx, ids)


async def entries(
    ctx: Context,
    wallets: Sequence[HasId],
    *,
    states: list[EntryState] | None = DEFAULT_STATES,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> list[PageDocument | Exception]:
    """A page of each wallet's legs in these states, the newest first; one command, whatever the number of wallets."""
    windows: dict[str, Window] = {}
    errors: dict[str, ValidationError] = {}
    for each in wallets:
        try:
            scope = f"entries/{each['_id']}"
            windows[each["_id"]] = window(scope, int, first=first, after=after, last=last, before=before)
        except ValidationError as error:
            errors[each["_id"]] = error
    wanted = (DEFAULT_STATES if states is None else states)[:MAX_STATES]
    pages = await ledger.legs_of_accounts(ctx.database, windows, wanted) if windows else {}
    return [errors.get(each["_id"]) or pages[each["_id"]] for each in wallets]


async def legs_by_id(ctx: Context, ids: Sequence[str]) -> list[LegDocument | None]:
    """For each id the leg, or None unless it is of a wallet of the viewer; one read."""
    viewer_id = ctx.viewer.user_id
    if viewer_id is None:
        return [None] * len(ids)
    found = await ledger.legs_by_ids(ctx.database, ids)
    return [leg if leg is not None and leg["owner_id"] == viewer_id else None for leg in found]


async def memos(ctx: Context, legs: Sequence[LegDocument]) -> list[str | None]:
    """The memo of each leg's transfer; one read, and one of keys."""
    sealed = await ledger.memos_of(ctx.database, [leg["transfer_id"] for leg in legs])
    return [memo.text if memo else None for memo in await read_memos(ctx, sealed)]


async def transfers_by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the transfer as the viewer may see it, or None.

    Its people see all of it (of one that was refused, who asked for it), the members of a conversation where it is
    shown what `_SHOWN` names. Two reads, one of keys, and one more where some are not the viewer's own.
    """
    if ctx.viewer.kind == "anonymous":
        return [None] * len(ids)
    found = await ledger.transfers_by_ids(ctx.database, ids)
    others = [each["_id"] for each in found if each is not None and not _is_party(ctx, each)]
    shown = await _shown(ctx, "transfer_id", others)
    seen = [None if each is None else shown_transfer(ctx, each, shown) for each in found]
    await read_memos_of(ctx, seen)
    return seen


async def read_memos_of(ctx: Context, transfers: Sequence[Document | None]) -> None:
    """Put their memos into these transfers, where the viewer may see them; at most one read, of keys."""
    shown = [each for each in transfers if each is not None and "sealed_memo" in each]
    memos = await read_memos(ctx, [each.pop("sealed_memo") for each in shown])
    for each, memo in zip(shown, memos, strict=True):
        each["memo"] = memo.text if memo else None
        if "memo_salt" in each:
            each["memo_salt"] = memo.salt if memo else None


def shown_transfer(ctx: Context, transfer: TransferDocument, shown: set[str]) -> Document | None:
    """The transfer with what the viewer may see of it, or None; `shown` are those in conversations of theirs."""
    if _is_party(ctx, transfer):
        return {**transfer, "is_party": True}
    names: tuple[str, ...] = ()
    if transfer["_id"] in shown:
        names = _SHOWN
    elif PAYMENTS_READ in ctx.viewer.scopes and set(transfer["merchants"]) & set(ctx.viewer.merchant_ids):
        names = _SHOWN_TO_PARTNERS
    return {name: value for name, value in transfer.items() if name in names} if names else None


async def receipts(ctx: Context, transfers: Sequence[Document]) -> list[Document | None]:
    """The receipt of each transfer for the viewer, of the entry that moved or ended it; None unless they take part.

    Three reads, whatever the number of transfers.
    """
    mine = [each for each in transfers if each.get("is_party")]
    memos = [Memo(each["memo"], each["memo_salt"]) if each["memo"] else None for each in mine]
    made = await _receipts_of(ctx, [each["moved_by"] for each in mine], memos)
    by_transfer = {each["_id"]: receipt for each, receipt in zip(mine, made, strict=True)}
    return [by_transfer.get(each["_id"]) for each in transfers]


async def entry_receipts(ctx: Context, legs: Sequence[LegDocument]) -> list[Document | None]:
    """The receipt of each leg's own entry for the viewer; None unless the leg is theirs.

    Five reads at most, whatever the number of legs.
    """
    mine = [leg for leg in legs if leg["owner_id"] == ctx.viewer.user_id]
    sealed = await ledger.memos_of(ctx.database, [leg["transfer_id"] for leg in mine])
    made = await _receipts_of(ctx, [leg["entry_id"] for leg in mine], await read_memos(ctx, sealed))
    by_leg = {leg["_id"]: receipt for leg, receipt in zip(mine, made, strict=True)}
    return [by_leg.get(leg["_id"]) for leg in legs]


async def _receipts_of(ctx: Context, entry_ids: Sequence[str], memos: Sequence[Memo | None]) -> list[Document | None]:
    viewer_id = ctx.viewer.user_id
    head = await ledger.head(ctx.database) if entry_ids else None
    if viewer_id is None or head is None:
        return [None] * len(entry_ids)
    key = await ledger.signing_key(ctx.database, ctx.keys.master, ctx.now())
    made: list[Document | None] = []
    for entry, memo in zip(await ledger.entries_by_ids(ctx.database, entry_ids), memos, strict=True):
        text, salt = (memo.text, memo.salt) if memo else (None, None)
        receipt = None if entry is None else ledger.receipt(entry, viewer_id, head, key, memo=text, memo_salt=salt)
        made.append(cast("Document | None", receipt))
    return made


async def payment_requests_by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the request, or None unless the viewer makes or gets it, or a conversation of theirs shows it."""
    viewer_id = ctx.viewer.user_id
    if viewer_id is None:
        return [None] * len(ids)
    found = await store.requests_by_ids(ctx.database, [id if is_id("preq", id) else "" for id in ids])
    others = [each["_id"] for each in found if each is not None and viewer_id not in each["people"]]
    shown = await _shown(ctx, "payment_request_id", others)
    mine = [each for each in found if each is not None and (viewer_id in each["people"] or each["_id"] in shown)]
    seen = {each["_id"]: each for each in await request_documents(ctx, mine)}
    return [seen.get(id) for id in ids]


async def request_documents(ctx: Context, requests: Sequence[PaymentRequestDocument | Document]) -> list[Document]:
    """Each request with its state of this moment and its memo opened; at most one read, of keys."""
    memos = await read_memos(ctx, [request["memo"] for request in requests])
    return [
        {**request, "state": store.state_at(request, ctx.now()).value, "memo": memo.text if memo else None}
        for request, memo in zip(requests, memos, strict=True)
    ]


async def payment_requests(
    ctx: Context,
    viewers: Sequence[HasId],
    *,
    direction: PaymentRequestDirection | None = None,
    state: PaymentRequestState | None = None,
    first: int | None = None,
    after: str | None = None,
) -> list[PageDocument | Exception]:
    """A page of the requests that each viewer makes or gets, the newest first."""
    pages: list[PageDocument | Exception] = []
    for viewer in viewers:
        try:
            place = window(f"payment_requests/{viewer['_id']}", *_REQUEST_KEY, first=first, after=after)
        except ValidationError as error:
            pages.append(error)
            continue
        page = await store.requests_of(ctx.database, viewer["_id"], direction, state, ctx.now(), place)
        documents = await request_documents(ctx, [edge["node"] for edge in page["edges"]])
        for edge, document in zip(page["edges"], documents, strict=True):
            edge["node"] = document
        pages.append(page)
    return pages


async def may_attach_transfer(ctx: Context, id: str) -> bool:
    """Whether the viewer may show this transfer in a conversation: its sender may, and its recipient if it was paid."""
    (found,) = await ledger.transfers_by_ids(ctx.database, [id])
    return found is not None and _is_party(ctx, found)


async def may_attach_payment_request(ctx: Context, id: str) -> bool:
    """Whether the viewer may show this request in a conversation: its requester and its payer may."""
    viewer_id = ctx.viewer.person()
    (found,) = await store.requests_by_ids(ctx.database, [id if is_id("preq", id) else ""])
    return found is not None and viewer_id in found["people"]


def _is_party(ctx: Context, transfer: TransferDocument) -> bool:
    viewer_id = ctx.viewer.user_id
    if viewer_id is None:
        return False
    if transfer["state"] == ledger.TransferState.REFUSED:
        return transfer["caller"] == viewer_id
    return viewer_id in (transfer["sender_id"], transfer["recipient_id"])


async def _shown(ctx: Context, key: Any, ids: Sequence[str]) -> set[str]:
    if ctx.viewer.user_id is None or not ids:
        return set()
    return await conversations.shown_to(ctx.database, ctx.viewer.user_id, key, ids)
