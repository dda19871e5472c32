"""What operators do to people's wallets: freezing them, opening them again, and giving their owners a tier."""

from __future__ import annotations

from typing import Final, cast
from uuid import uuid4

from datastores import accounts, ledger
from datastores.commit import CommitLoops
from datastores.ledger import Account, Tier, WalletStatus
from datastores.mongo import Database
from gateway.settings import Settings

from .databases import open_database
from .errors import CommandError

DEFAULT: Final = "default"
MAX_REASON: Final = 500


async def set_status(
    settings: Settings, named: str, currency: str | None, status: WalletStatus, reason: str
) -> list[str]:
    """The ids of the wallets that have this status now and had another: one by its id, or a person's by their handle.

    Raises CommandError where there is none, where all have it already, and for one that is to be opened and is closed.
    """
    why = _reason(reason)
    of = (WalletStatus.FROZEN,) if status is WalletStatus.OPEN else (WalletStatus.OPEN, WalletStatus.CLOSED)
    async with open_database(settings) as database:
        found = [wallet for wallet in await _wallets(database, named, currency) if wallet["status"] in of]
        if not found:
            raise CommandError(f"no wallet of {named!r} can become {status.value.lower()}: it has another status")
        commits = CommitLoops(database)
        for wallet in found:
            act = ledger.SetStatus(_command(status.value, wallet["_id"]), wallet["_id"], status, why, of)
            await commits[ledger.COMMIT_LOOP].submit(act)
        await commits.drain()
    return [wallet["_id"] for wallet in found]


async def set_tier(settings: Settings, handle: str, tier: str, currency: str | None, reason: str | None) -> list[str]:
    """The ids of a person's wallets, all of which have this tier now, with `default` the deployment's own.

    With a currency their wallet in it is opened where they have none. Wallets that are opened later get the tier too.
    """
    wanted, why = _tier(tier), None if reason is None else _reason(reason)
    async with open_database(settings) as database:
        owner_id, commits = await _owner(database, handle), CommitLoops(database)
        loop = commits[ledger.COMMIT_LOOP]
        if currency is not None:
            await loop.submit(ledger.OpenWallet(owner_id, _currency(currency)))
        found = await ledger.wallets_of(database, [owner_id])
        if not found:
            raise CommandError(f"{handle!r} has no wallet yet: with --currency one is opened")
        for wallet in found:
            await loop.submit(ledger.SetTier(_command("tier", wallet["_id"]), wallet["_id"], wanted, why))
        await commits.drain()
    return [wallet["_id"] for wallet in found]


async def _wallets(database: Database, named: str, currency: str | None) -> list[Account]:
    if ledger.is_wallet_id(named):
        found = [wallet for wallet in await ledger.accounts_by_ids(database, [named]) if wallet is not None]
    else:
        found = await ledger.wallets_of(database, [await _owner(database, named)])
    chosen = [wallet for wallet in found if currency is None or wallet["currency"] == _currency(currency)]
    if not chosen:
        raise CommandError(f"there is no such wallet: {named!r}{f' in {currency}' if currency else ''}")
    return chosen


async def _owner(database: Database, handle: str) -> str:
    (user,) = await accounts.by_handles(database, [handle.removeprefix("@")])
    if user is None:
        raise CommandError(f"{handle!r} is neither a wallet's id nor a person's handle")
    return cast(str, user["_id"])


def _command(name: str, wallet_id: str) -> ledger.Command:
    # Each run of the command is an act of its own, whatever was done to the wallet before.
    return ledger.system_command(f"operator-{name.lower()}", f"{wallet_id}/{uuid4().hex}")


def _tier(text: str) -> Tier | None:
    if text.lower() == DEFAULT:
        return None
    try:
        return Tier(text.upper())
    except ValueError:
        raise CommandError(f"a tier is one of {', '.join(Tier).lower()}, {DEFAULT}, not {text!r}") from None


def _currency(text: str) -> str:
    if text.upper() not in ledger.EXPONENTS:
        raise CommandError(f"{text!r} is not an active currency of ISO 4217, such as EUR")
    return text.upper()


def _reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= MAX_REASON:
        raise CommandError(f"a reason has 1 to {MAX_REASON} characters")
    return text.strip()
