"""How a money mutation is carried out: its key first, then its reasons, then the ledger, then what follows from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Final, TypedDict, TypeVar

from datastores import ledger, merchants
from datastores.commit import Act
from datastores.errors import ExpectedError, NotFoundError, OutcomeUnknownError, TransferRefusedError, ValidationError
from datastores.ledger import Command, Memo, Money, Outcome, TransferRecord, WalletDocument
from datastores.mongo import Document
from datastores.paging import encode_cursor
from datastores.person_keys import SealedText
from resolvers.context import Context
from resolvers.texts import is_storable, trimmed_or_none

MAX_MEMO: Final = 280
# Less than an operation has by default: its deadline would hide the answer that names the key to retry with.
ANSWER_TIMEOUT_S: Final = 8.0
T = TypeVar("T")


class AmountInput(TypedDict):
    """An amount as it was given."""

    amount: Decimal
    currency: str


class MoneyMoved(TypedDict):
    """What a mutation that moves money answers; `cursor` is one of `balanceChanged`."""

    transfer: Document
    wallet: WalletDocument | None
    replayed: bool
    cursor: str


async def submit(ctx: Context, act: Act[T], key: str, *, weight: int = 6) -> T:
    """The outcome of an act of the ledger; OutcomeUnknownError, after 8 s, names the key to retry with."""
    try:
        return await ctx.commits[ledger.COMMIT_LOOP].submit(act, weight=weight, timeout_s=ANSWER_TIMEOUT_S)
    except OutcomeUnknownError as unknown:
        raise outcome_unknown(unknown, key) from unknown


def outcome_unknown(error: ExpectedError, key: str) -> OutcomeUnknownError:
    """The error that tells a client to retry with the key."""
    return OutcomeUnknownError(f"{error.message}. Retry with the same key to learn which", idempotency_key=key)


async def decided(ctx: Context, command: Command, prepare: Callable[[], Awaitable[Act[Outcome]]]) -> Outcome:
    """What the ledger decided for this command, now or at an earlier try.

    An act that was decided before is answered with that, whatever would speak against it now.
    """
    try:
        act = await prepare()
    except ExpectedError:
        if (outcome := await ledger.stored(ctx.database, command)) is not None:
            return outcome
        raise
    return await submit(ctx, act, command.key)


def command(caller: str, key: str, name: str, **request: object) -> Command:
    """The command of a mutation; raises ValidationError for a key that is empty, too long, or no text."""
    if not is_storable(key):
        raise ValidationError("The key has characters that are not text", "idempotencyKey")
    return ledger.command(caller, key, name, request)


def amount_of(given: AmountInput) -> Money:
    """The amount; raises ValidationError unless it is more than zero and exact in its currency."""
    return ledger.positive(given["amount"], given["currency"], "amount")


def memo_text(memo: str | None) -> str | None:
    """The memo, trimmed, or None; raises ValidationError past 280 characters."""
    return trimmed_or_none(memo, "memo", most=MAX_MEMO)


async def memo_of(ctx: Context, writer_id: str, text: str | None) -> Memo | None:
    """The memo that this person writes, sealed under their key; raises UnauthenticatedError once they are erased."""
    if not text:
        return None
    key = await ctx.keys.key(ctx.database, writer_id, ctx.now())
    return ledger.written_memo(text, writer_id, key)


async def read_memos(ctx: Context, sealed: Sequence[SealedText | None]) -> list[Memo | None]:
    """Each memo; None where there is none, or its writer has been erased. At most one read, of keys."""
    return [ledger.read_memo(plain) for plain in await ctx.keys.open(ctx.database, sealed)]


def fingerprint(memo: Memo | None) -> str | None:
    """What stands for the memo in the hash of a request, which outlives the memo."""
    return memo.fingerprint if memo else None


def record_of(memo: Memo | None, conversation_id: str | None = None) -> TransferRecord:
    """What is known of a transfer that was just made, beside its entry."""
    return {"conversation_id": conversation_id, "memo": memo.sealed if memo else None}


async def own_wallet(ctx: Context, wallet_id: str, currency: str) -> str:
    """The id of a wallet of the viewer in this currency.

    Raises NotFoundError where it is not theirs, TransferRefusedError with CURRENCY_MISMATCH.
    """
    (account,) = await ledger.accounts_by_ids(ctx.database, [wallet_id if ledger.is_wallet_id(wallet_id) else ""])
    if account is None or account["owner_id"] != ctx.viewer.person():
        raise NotFoundError("There is no such wallet of yours")
    check_currency(account["currency"], currency)
    return wallet_id


async def paying_wallet(ctx: Context, wallet_id: str | None, currency: str) -> str:
    """The wallet to pay from: the one that was named, or else the viewer's in this currency.

    Raises NotFoundError where the viewer has none; open one first.
    """
    if wallet_id is not None:
        return await own_wallet(ctx, wallet_id, currency)
    id = ledger.wallet_id(ctx.viewer.person(), currency)
    (account,) = await ledger.accounts_by_ids(ctx.database, [id])
    if account is None:
        raise NotFoundError(f"You have no wallet in {currency}: open one first")
    return id


def check_currency(has: str, wanted: str) -> None:
    """Raise TransferRefusedError with CURRENCY_MISMATCH unless the two are the same."""
    if has != wanted:
        raise TransferRefusedError(f"The wallet is in {has}, the amount in {wanted}", code="CURRENCY_MISMATCH")


def balance_cursor(user_id: str, seq: int) -> str:
    """The cursor of `balanceChanged` after the entry with this number."""
    return encode_cursor(balance_scope(user_id), seq)


def balance_scope(user_id: str) -> str:
    """The name of the one sequence that all wallets of a person share."""
    return f"balance/{user_id}"


async def merchants_of(ctx: Context, user_ids: Sequence[str | None]) -> tuple[str, ...]:
    """The ids of the merchants that these people own: whose feed an entry between them belongs to."""
    ids = [merchants.merchant_id(id) for id in user_ids if id is not None]
    found = await merchants.merchants_by_ids(ctx.database, ids)
    return tuple(merchant["_id"] for merchant in found if merchant is not None)
