"""Exchanges: the one entry that swaps what a quote says between two wallets of a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from datastores.commit import Read, Work, by_id
from datastores.errors import (
    ConflictError,
    ExpectedError,
    InsufficientFundsError,
    LimitExceededError,
    NotFoundError,
    TransferRefusedError,
)

from .accounts import (
    ACCOUNTS,
    Account,
    AccountKind,
    Effect,
    WalletStatus,
    available,
    exchange_account_id,
    fees_account_id,
    is_overdrawn_by,
    is_overflown_by,
    rounding_account_id,
    wallet_id,
)
from .commands import Command
from .currencies import MAX_MINOR_UNITS, money
from .entries import Draft, EntryKind, Outcome, append, append_refusal, ledger_time, reads, stored_outcome
from .limits import BALANCE, incoming_refusal, outgoing_refusal, overflow_refusal
from .quotes import QUOTES, QuoteDocument
from .statuses import open_account, opening_reads
from .tiers import Tier
from .transfers import TRANSFERS, Party, new_party


@dataclass(frozen=True, slots=True)
class ExchangeFunds:
    """Swaps what a quote says between two wallets of its owner, once; the wallet that is paid into is opened.

    Refused, and kept under the key, by the first that holds: CONFLICT for a quote that was used; QUOTE_EXPIRED on the
    ledger's time; ACCOUNT_FROZEN for the wallet that pays, then for the other; INSUFFICIENT_FUNDS; LIMIT_EXCEEDED as
    of a transfer.
    Raises NotFoundError for a quote that is not the caller's, and where they have no wallet to pay from.
    """

    command: Command
    quote: QuoteDocument
    merchants: tuple[str, ...] = ()
    default_tier: Tier = Tier.BUSINESS

    @property
    def parties(self) -> tuple[tuple[Party, str, int], ...]:
        """Account, currency and delta of each leg: the customer's wallets, the fee, then the system's own accounts."""
        quote, owner_id = self.quote, self.quote["owner_id"]
        sell, buy = quote["sell"]["currency"], quote["buy"]["currency"]
        sold, bought = quote["sell"]["minor_units"], quote["buy"]["minor_units"]
        fee, taken, given = quote["fee"]["minor_units"], quote["taken"], quote["given"]
        legs = (
            (Party(wallet_id(owner_id, sell), owner_id=owner_id), sell, -sold - fee),
            (Party(wallet_id(owner_id, buy), owner_id=owner_id), buy, bought),
            (Party(fees_account_id(sell), AccountKind.FEES), sell, fee),
            (Party(exchange_account_id(sell), AccountKind.EXCHANGE), sell, taken),
            (Party(rounding_account_id(sell), AccountKind.ROUNDING), sell, sold - taken),
            (Party(exchange_account_id(buy), AccountKind.EXCHANGE), buy, -given),
            (Party(rounding_account_id(buy), AccountKind.ROUNDING), buy, given - bought),
        )
        return tuple(leg for leg in legs if leg[2])

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        accounts = [party.account_id for party, _, _ in self.parties]
        yield [*reads(self.command, accounts=accounts), by_id(QUOTES, self.quote["_id"])]
        if owners := opening_reads(work, ((party.account_id, party.owner_id) for party, _, _ in self.parties)):
            yield owners

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        quote = cast("QuoteDocument | None", work.get(QUOTES, self.quote["_id"]))
        if quote is None or quote["owner_id"] != self.command.caller:
            raise NotFoundError("There is no such quote of yours")
        if (error := _unusable(work, quote) or _refused(work, self.parties, self.default_tier)) is not None:
            return append_refusal(work, self.command, error, self._draft(work, refused=True))
        for party, currency, _ in self.parties:
            open_account(work, self.command, party.account_id, party.kind, currency, party.owner_id)
        entry = append(work, self.command, self._draft(work))
        work.update(QUOTES, quote["_id"], used_by=entry["_id"], is_open=False)
        work.insert(TRANSFERS, {"_id": self.command.id("trf"), "rate": quote["rate"]})
        return Outcome(entry)

    def _draft(self, work: Work, *, refused: bool = False) -> Draft:
        legs = [(party, delta) for party, _, delta in self.parties]
        if refused:
            # The caller may see what was asked of their own wallets, where these are open already.
            legs = [(party, delta) for party, delta in legs if party.owner_id and work.get(ACCOUNTS, party.account_id)]
        sell, owner_id = self.quote["sell"], self.quote["owner_id"]
        return Draft(
            EntryKind.EXCHANGE,
            effect=Effect.POST,
            legs=tuple((party.account_id, delta) for party, delta in legs),
            currency=sell["currency"],
            amount=sell["minor_units"],
            event_type=None if refused else "transfer.posted",
            sender_id=owner_id,
            recipient_id=owner_id,
            merchants=() if refused else self.merchants,
            quote_id=self.quote["_id"],
        )


def _unusable(work: Work, quote: QuoteDocument) -> ExpectedError | None:
    if quote["used_by"] is not None:
        return ConflictError("This quote was used: ask for a new one")
    if quote["expires_at"] <= ledger_time(work):
        return TransferRefusedError("This quote has expired: ask for a new one", code="QUOTE_EXPIRED")
    return None


def _refused(work: Work, legs: Sequence[tuple[Party, str, int]], default_tier: Tier) -> ExpectedError | None:
    accounts = [
        cast("Account | None", work.get(ACCOUNTS, party.account_id)) or new_party(work, party, currency)
        for party, currency, _ in legs
    ]
    payer, payee = accounts[0], accounts[1]
    if work.get(ACCOUNTS, payer["_id"]) is None:
        raise NotFoundError("There is no such wallet")
    if payer["status"] != WalletStatus.OPEN:
        return TransferRefusedError("This wallet is frozen or closed: it cannot pay", code="ACCOUNT_FROZEN")
    if payee["status"] != WalletStatus.OPEN:
        return TransferRefusedError("The wallet to be paid is frozen or closed", code="ACCOUNT_FROZEN")
    deltas = [delta for _, _, delta in legs]
    if is_overdrawn_by(payer, deltas[0]):
        text = "There is not enough money in this wallet"
        return InsufficientFundsError(text, available=money(available(payer), payer["currency"]))
    now = ledger_time(work)
    limited = outgoing_refusal(payer, -deltas[0], now, default_tier) or incoming_refusal(payee, deltas[1], default_tier)
    if limited is not None:
        return limited
    for account, delta in zip(accounts, deltas, strict=True):
        if is_overflown_by(account, delta):
            limit = money(MAX_MINOR_UNITS, account["currency"])
            return LimitExceededError("A balance cannot grow that large", limit=limit, window=BALANCE)
    return overflow_refusal(payer, -deltas[0], now)
