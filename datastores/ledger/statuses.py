"""Statuses: opening, freezing and closing wallets, and giving them tiers, each change by an entry of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from datastores.commit import NotReadError, Read, Work, by_fields, by_id
from datastores.errors import ConflictError, NotFoundError

from . import chain
from .accounts import ACCOUNTS, Account, AccountKind, Effect, WalletStatus, opened, wallet_id
from .commands import Command, new_salt, system_command
from .entries import LAST, Draft, Entry, EntryKind, Outcome, append, reads, stored_outcome
from .tiers import Tier


@dataclass(frozen=True, slots=True)
class OpenWallet:
    """Opens the wallet of a person in a currency, again where they have closed it, or finds it as it is.

    A wallet without a tier of its own gets that of the person's other wallets.
    """

    owner_id: str
    currency: str
    salt: str = field(default_factory=new_salt, compare=False)

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [*_account_reads(wallet_id(self.owner_id, self.currency)), by_fields(ACCOUNTS, owner_id=self.owner_id)]

    def decide(self, work: Work) -> Account:
        id = wallet_id(self.owner_id, self.currency)
        account = opened(work, id, AccountKind.WALLET, self.currency, self.owner_id)
        if not self._changes(work, account):
            return account
        status = WalletStatus(account["status"])
        append_status(
            work,
            _command("open", account, self.salt),
            account,
            WalletStatus.OPEN if status is WalletStatus.CLOSED else status,
            {"tier": account.get("tier") or owner_tier(work, self.owner_id)},
        )
        return cast(Account, work.get(ACCOUNTS, id))

    def _changes(self, work: Work, account: Account) -> bool:
        lacks_tier = account.get("tier") is None and owner_tier(work, self.owner_id) is not None
        return account["status"] == WalletStatus.CLOSED or lacks_tier


@dataclass(frozen=True, slots=True)
class CloseWallet:
    """Closes a wallet for its owner, or finds it closed.

    Raises NotFoundError where it is not theirs, and ConflictError where it is frozen, holds money or awaits some.
    """

    owner_id: str
    wallet_id: str
    salt: str = field(default_factory=new_salt, compare=False)

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield _account_reads(self.wallet_id)

    def decide(self, work: Work) -> Account:
        account = cast("Account | None", work.get(ACCOUNTS, self.wallet_id))
        if account is None or account["owner_id"] != self.owner_id:
            raise NotFoundError("There is no such wallet of yours")
        if account["status"] == WalletStatus.CLOSED:
            return account
        if account["status"] == WalletStatus.FROZEN:
            raise ConflictError("The wallet is frozen: it cannot be closed")
        if account["posted"] != 0:
            raise ConflictError("There is money in the wallet: send or withdraw it first")
        if account["pending_out"] != 0 or account["pending_in"] != 0:
            raise ConflictError("Money is on its way from or to the wallet: wait until that has ended")
        append_status(work, _command("close", account, self.salt), account, WalletStatus.CLOSED, {})
        return cast(Account, work.get(ACCOUNTS, self.wallet_id))


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Freezes, opens or closes an account; `reason` is kept with the entry, for nobody but who reads the ledger.

    Raises NotFoundError, and ConflictError unless its status is among `of`.
    """

    command: Command
    account_id: str
    status: WalletStatus
    reason: str | None = None
    of: Collection[WalletStatus] = tuple(WalletStatus)

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield reads(self.command, accounts=[self.account_id])

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        account = _account(work, self.account_id)
        if account["status"] not in self.of:
            raise ConflictError(f"The wallet is {account['status'].lower()}")
        details = {"reason": self.reason} if self.reason else {}
        return Outcome(append_status(work, self.command, account, self.status, details))


@dataclass(frozen=True, slots=True)
class SetTier:
    """Gives an account a tier of its own, or with None the deployment's default. Raises NotFoundError."""

    command: Command
    account_id: str
    tier: Tier | None
    reason: str | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield reads(self.command, accounts=[self.account_id])

    def decide(self, work: Work) -> Outcome:
        if (stored := stored_outcome(work, self.command)) is not None:
            return stored
        account = _account(work, self.account_id)
        details = {"tier": self.tier.value if self.tier else None} | ({"reason": self.reason} if self.reason else {})
        return Outcome(append_status(work, self.command, account, WalletStatus(account["status"]), details))


def append_status(
    work: Work, command: Command, account: Account, status: WalletStatus, details: dict[str, Any]
) -> Entry:
    """Append the entry that gives an account this status, and the tier in `details` where there is one."""
    id, legs = account["_id"], ((account["_id"], 0),)
    draft = Draft(
        EntryKind.STATUS,
        effect=Effect.POST,
        legs=legs,
        currency=account["currency"],
        status=status,
        details=details or None,
    )
    entry = append(work, command, draft)
    if "tier" in details:
        work.update(ACCOUNTS, id, tier=details["tier"])
    return entry


def opening_reads(work: Work, wallets: Iterable[tuple[str, str | None]]) -> list[Read]:
    """What must have been read before `open_account` opens those of these (id and owner) that are not there yet."""
    return [
        by_fields(ACCOUNTS, owner_id=owner_id)
        for id, owner_id in wallets
        if owner_id is not None and work.get(ACCOUNTS, id) is None
    ]


def open_account(work: Work, command: Command, id: str, kind: AccountKind, currency: str, owner_id: str | None) -> None:
    """Open the account where it is not there yet; a wallet gets the tier of its owner's others by an entry before.

    `command` is that of the act that needs it.
    """
    if work.get(ACCOUNTS, id) is None:
        account = opened(work, id, kind, currency, owner_id)
        if (tier := opening_tier(work, owner_id)) is not None:
            salt = chain.part_salt(command.salt, "open")
            append_status(work, _command("open", account, salt), account, WalletStatus.OPEN, {"tier": tier.value})


def opening_tier(work: Work, owner_id: str | None) -> Tier | None:
    """The tier that a new wallet of this person begins with; None too where nobody has read their others."""
    if owner_id is None:
        return None
    try:
        return owner_tier(work, owner_id)
    except NotReadError:
        return None


def owner_tier(work: Work, owner_id: str) -> Tier | None:
    """The tier of a person's wallets, of which the highest counts, or None; needs their wallets by owner."""
    tiers = [Tier(found["tier"]) for found in work.find(ACCOUNTS, owner_id=owner_id) if found.get("tier") is not None]
    return max(tiers, key=list(Tier).index, default=None)


def _command(name: str, account: Account, salt: str) -> Command:
    # The version makes it another one after every change, so that no earlier entry can answer it.
    return system_command(f"wallet-{name}", f"{account['_id']}/{account['version']}", salt=salt)


def _account_reads(id: str) -> list[Read]:
    return [LAST, by_id(ACCOUNTS, id, guard=LAST)]


def _account(work: Work, id: str) -> Account:
    if (account := work.get(ACCOUNTS, id)) is None:
        raise NotFoundError("There is no such wallet")
    return cast(Account, account)
