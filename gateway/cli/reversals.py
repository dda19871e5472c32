"""Undoing an entry of the ledger on the command line."""

from __future__ import annotations

from typing import Final

from datastores import ledger
from datastores.commit import CommitLoops
from datastores.ids import is_id
from gateway.settings import Settings

from .databases import open_database
from .errors import CommandError

MAX_REASON: Final = 500


async def reverse(settings: Settings, named: str, reason: str) -> str:
    """One line that says what was reversed: an entry by its own id, or by that of its transfer or of one of its legs.

    Raises CommandError where there is none or no reason, and what `ledger.ReverseEntry` raises.
    """
    if not 1 <= len(reason.strip()) <= MAX_REASON:
        raise CommandError(f"a reason has 1 to {MAX_REASON} characters")
    async with open_database(settings) as database:
        (original,) = await ledger.entries_by_ids(database, [_entry_id(named)])
        if original is None:
            raise CommandError(f"there is no entry {named!r}")
        commits = CommitLoops(database)
        try:
            outcome = await commits[ledger.COMMIT_LOOP].submit(ledger.reversal(original, reason.strip()))
        finally:
            await commits.drain()
    entry = outcome.accepted()
    amount = f"{ledger.decimal_amount(entry['amount'], entry['currency'] or '')} {entry['currency']}"
    done = "was reversed before" if outcome.replayed else "reversed"
    return f"{done}: {amount} of {original['_id']} by {entry['_id']} (entry {entry['seq']})"


def _entry_id(named: str) -> str:
    for prefix in ("ent", "trf", "leg"):
        if is_id(prefix, named) or (prefix == "leg" and ledger.is_leg_id(named)):
            return ledger.sibling_id(named, "ent")
    return ""
