"""Verification: replaying the journal from its first entry, and saying where it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

from datastores.mongo import Database, Document
from datastores.sealing import SealingKey

from . import chain
from .accounts import ACCOUNTS, Account, Effect, WalletStatus, available, may_overdraw, moved, opening_hash
from .checkpoints import Checkpoint, checkpoints_after
from .commands import sibling_id
from .entries import ENTRIES, PARTITION, Entry, EntryKind, EntryState, is_balanced
from .limits import spent_after
from .pendings import Pendings
from .returns import Returns
from .signing import key_id, public_keys
from .trail import Trail
from .transfers import TRANSFERS, TransferRecord

PAGE: Final = 2_000
MAX_PROBLEMS: Final = 100
_BALANCE: Final = ("posted", "pending_out", "pending_in", "version", "status")

_MALFORMED: Final = (KeyError, TypeError, ValueError, AttributeError)

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not hold, and at which entry (`seq`) or account (`subject`)."""

    subject: str
    seq: int | None
    text: str


@dataclass(slots=True)
class Report:
    """What a replay found: how many entries, accounts and checkpoints it went through, and at most 100 problems."""

    entries: int = 0
    accounts: int = 0
    checkpoints: int = 0
    hash: str = chain.GENESIS
    problems: list[Problem] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    @property
    def broken_at(self) -> int | None:
        """The number of the first entry at which something does not hold, or None."""
        return min((problem.seq for problem in self.problems if problem.seq is not None), default=None)

    def as_json(self) -> Document:
        """The report for machines."""
        return {
            "holds": self.holds,
            "entries": self.entries,
            "accounts": self.accounts,
            "checkpoints": self.checkpoints,
            "headHash": self.hash,
            "brokenAt": self.broken_at,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def note(self, subject: str, seq: int | None, text: str) -> None:
        """Keep a problem, unless there are too many already."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(subject, seq, text))


async def verify(
    database: Database,
    on_progress: OnProgress = lambda done, of: None,
    *,
    kept: Sequence[Checkpoint] = (),
    master: SealingKey | None = None,
) -> Report:
    """Replay every entry: numbers without a hole, the hash chain, sums of zero, every balance, what was sent back, what
    became of what was reserved, and whether the journal leads through every checkpoint: those stored, and those `kept`
    elsewhere.

    With the master key, checkpoints must be signed by keys that are sealed under it: one that somebody has slipped into
    the database is not the ledger's.

    May run while the ledger works: an account that has moved on is compared at the version at which it was read.
    `on_progress` gets how many entries are done, of how many.
    """
    report = Report()
    replay = _Replay(report, Trail(report.note))
    await _read_checkpoints(database, replay, kept, master)
    await _replay_to_head(database, replay, on_progress)
    await _read_accounts(database, replay)
    await _replay_to_head(database, replay, on_progress)
    await _check_refunds(database, replay)
    await _check_pendings(database, replay)
    replay.end()
    return replay.report


async def _read_checkpoints(
    database: Database, replay: _Replay, kept: Sequence[Checkpoint], master: SealingKey | None
) -> None:
    report, trail = replay.report, replay.trail
    stored, keys = await public_keys(database), await public_keys(database, master)
    for id, public in stored.items():
        if key_id(public) != id:
            report.note(id, None, "the published key does not have the id that it states")
        elif id not in keys:
            report.note(id, None, "the key is not sealed under the master key: it is not the ledger's")
    trail.keep(kept, keys)
    last = ""
    while page := await checkpoints_after(database, last, PAGE):
        for checkpoint in page:
            try:
                trail.add(checkpoint, keys)
            except _MALFORMED as error:
                report.note(f"checkpoint {checkpoint['_id']}", None, f"it is not well formed: {error!r}")
        last = page[-1]["_id"]
    trail.end()
    report.checkpoints = trail.count


async def _check_refunds(database: Database, replay: _Replay) -> None:
    ids = list(replay.returns.amounts)
    for at in range(0, len(ids), PAGE):
        page = ids[at : at + PAGE]
        for id, original in zip(page, await database.by_ids(ENTRIES, page), strict=True):
            try:
                problems = replay.returns.problems(id, cast("Entry | None", original), replay.pendings.settled)
            except _MALFORMED as error:
                problems = [f"what was sent back of it cannot be told: {error!r}"]
            for problem in problems:
                replay.report.note(id, original["seq"] if original else None, problem)


async def _check_pendings(database: Database, replay: _Replay) -> None:
    ids = list(replay.pendings.settled)
    for at in range(0, len(ids), PAGE):
        page = ids[at : at + PAGE]
        records = await database.by_ids(TRANSFERS, [sibling_id(id, "trf") for id in page])
        for id, record in zip(page, cast("list[TransferRecord | None]", records), strict=True):
            newest = max(record.get("captured_seq", 0), record.get("resolved_seq", 0)) if record else 0
            if newest <= replay.report.entries and not replay.pendings.agrees(id, record):
                replay.report.note(id, None, "what is noted of it is not what its entries make it")


async def _replay_to_head(database: Database, replay: _Replay, on_progress: OnProgress) -> None:
    last = await _last_seq(database)
    report = replay.report
    while report.entries < last:
        filter = {"partition": PARTITION, "seq": {"$gt": report.entries, "$lte": last}}
        found = await database.find(ENTRIES, filter, sort=[("seq", 1)], limit=PAGE)
        if not found:
            report.note(PARTITION, report.entries + 1, f"entries are missing up to {last}")
            report.entries = last
            break
        for entry in found:
            try:
                replay.take(cast(Entry, entry))
            except _MALFORMED as error:
                report.note(entry["_id"], entry["seq"], f"the entry is not well formed: {error!r}")
                report.entries, report.hash = entry["seq"], str(entry.get("hash"))
        on_progress(report.entries, last)


async def _last_seq(database: Database) -> int:
    # A number that is not one must not be taken for the last: comparing with one leaves all else out.
    filter = {"partition": PARTITION, "seq": {"$gt": 0}}
    found = await database.find(ENTRIES, filter, sort=[("seq", -1)], limit=1, projection={"seq": 1})
    return cast(int, found[0]["seq"]) if found else 0


async def _read_accounts(database: Database, replay: _Replay) -> None:
    last = ""
    while True:
        page = await database.find(ACCOUNTS, {"_id": {"$gt": last}}, sort=[("_id", 1)], limit=PAGE)
        for account in page:
            try:
                replay.compare(account)
            except _MALFORMED as error:
                replay.report.note(account["_id"], None, f"the account is not well formed: {error!r}")
        if len(page) < PAGE:
            replay.miss()
            return
        last = page[-1]["_id"]


class _Replay:
    """The balances as the entries so far make them."""

    def __init__(self, report: Report, trail: Trail) -> None:
        self.report = report
        self.trail = trail
        self._balances: dict[str, Document] = {}
        self._ahead: dict[str, Document] = {}
        self._compared: set[str] = set()
        self._reserves: dict[str, Document] = {}
        self.returns = Returns()
        self.pendings = Pendings()

    def take(self, entry: Entry) -> None:
        """Check an entry against all before it, and apply it."""
        report = self.report
        seq, id = entry["seq"], entry["_id"]
        if seq != report.entries + 1:
            report.note(id, seq, f"the numbers have a hole before {seq}")
        if entry["previous_hash"] != report.hash:
            report.note(id, seq, "the chain is broken: the previous hash is another")
        if chain.chained(entry["previous_hash"], chain.body(entry)) != entry["hash"]:
            report.note(id, seq, "the entry does not have the hash that it states")
        balanced = is_balanced((leg["currency"], leg["delta"]) for leg in entry["legs"])
        if entry["state"] != EntryState.REFUSED and not balanced:
            report.note(id, seq, "the legs do not sum to zero in each currency")
        report.entries, report.hash = seq, entry["hash"]
        self.trail.passes(id, seq, entry["hash"])
        self.returns.take(entry)
        for problem in self.pendings.take(entry):
            report.note(id, seq, problem)
        effect = _effect(entry)
        for leg in entry["legs"]:
            self._apply(entry, leg, effect)
        if entry["state"] == EntryState.PENDING:
            self._reserves[id] = {"kind": entry["kind"], "created_at": entry["created_at"]}
        elif entry["final"]:
            self._reserves.pop(entry["pending_id"] or "", None)

    def _apply(self, entry: Entry, leg: Mapping[str, Any], effect: Effect) -> None:
        account_id = leg["account_id"]
        before = self._balances.get(account_id) or _empty(leg["currency"], leg["owner_id"])
        after: Document = {**before, **moved(before, leg["delta"], effect)}
        if entry["kind"] == EntryKind.STATUS:
            after["status"] = leg["status_after"]
            after["tier"] = (entry["details"] or {}).get("tier", before["tier"])
        reserve = self._reserves.get(entry["pending_id"] or "")
        spent = spent_after(before, leg["delta"], entry["kind"], effect, entry["created_at"], reserve)
        if spent is not None:
            after["spent"] = spent
        if before["currency"] != leg["currency"]:
            self.report.note(entry["_id"], entry["seq"], f"a leg is not in the currency of {account_id}")
        if any(after[name] != leg[f"{name}_after"] for name in _BALANCE):
            self.report.note(entry["_id"], entry["seq"], f"the balance after it is wrong on {account_id}")
        after["owner_id"] = leg["owner_id"]
        if before.get("owner_id", leg["owner_id"]) != leg["owner_id"]:
            self.report.note(entry["_id"], entry["seq"], f"a leg names another owner of {account_id}")
        self._balances[account_id] = after
        stored = self._ahead.get(account_id)
        if stored is not None and stored["version"] == after["version"]:
            self._equal(self._ahead.pop(account_id), after)

    def compare(self, stored: Document) -> None:
        """Check an account as it was read; one that is ahead of the replay waits for its entry."""
        self.report.accounts += 1
        self._compared.add(stored["_id"])
        replayed = self._balances.get(stored["_id"]) or _empty(stored["currency"], stored["owner_id"])
        if stored["version"] > replayed["version"]:
            self._ahead[stored["_id"]] = stored
        else:
            self._equal(stored, replayed)
        if stored.get("opening_hash") != opening_hash(cast(Account, stored)):
            self.report.note(stored["_id"], None, "the account is not as it was opened: owner, currency, kind or time")
        if not may_overdraw(stored) and available(stored) < 0:
            self.report.note(stored["_id"], None, "the account is below zero")

    def miss(self) -> None:
        """Once all accounts were read: those that entries speak of and that are not there."""
        for id in self._balances.keys() - self._compared:
            self.report.note(id, None, "the account is gone")

    def _equal(self, stored: Document, replayed: Document) -> None:
        names = (*_BALANCE, "currency", *(("owner_id",) if "owner_id" in replayed else ()))
        if any(stored[name] != replayed[name] for name in names):
            self.report.note(stored["_id"], None, "the stored balance is not what the entries make it")
        if any(stored.get(name) != replayed[name] for name in ("tier", "spent")):
            self.report.note(stored["_id"], None, "tier or what counts against limits is not what the entries make it")

    def end(self) -> None:
        """What only the end shows: accounts that are ahead of all entries or are gone, and sums by currency."""
        self.trail.finish(self.report.entries)
        for id in self._ahead:
            self.report.note(id, None, "the account has changed without an entry")
        reserved = self.pendings.reserved()
        for id, balance in self._balances.items():
            if (balance["pending_out"], balance["pending_in"]) != reserved.get(id, (0, 0)):
                self.report.note(id, None, "what is reserved on it is not what its pending entries left")
        sums: dict[str, int] = {}
        for balance in self._balances.values():
            sums[balance["currency"]] = sums.get(balance["currency"], 0) + balance["posted"]
        for currency, total in sums.items():
            if total != 0:
                self.report.note(currency, None, f"all balances sum to {total}, not to zero")


def _effect(entry: Entry) -> Effect:
    if entry["state"] == EntryState.REFUSED:
        return Effect.NOTHING
    if entry["state"] == EntryState.PENDING:
        return Effect.RESERVE
    if entry["pending_id"] is None:
        return Effect.POST
    return Effect.RELEASE if entry["kind"] == EntryKind.VOID else Effect.SETTLE


def _empty(currency: str | None, owner_id: str | None) -> Document:
    return {
        "owner_id": owner_id,
        "currency": currency,
        "posted": 0,
        "pending_out": 0,
        "pending_in": 0,
        "version": 0,
        "status": WalletStatus.OPEN.value,
        "tier": None,
        "spent": {},
    }


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """The problems as lines for people."""
    return [f"{p.subject}{'' if p.seq is None else f' (entry {p.seq})'}: {p.text}" for p in problems]
