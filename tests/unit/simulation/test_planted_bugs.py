"""Whoever breaks a promise of the ledger is caught by the simulator, within a few dozen seeds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import pytest
from pymongo.errors import PyMongoError

from datastores import ledger
from datastores.commit import Act, CommitLoop, Work, loops
from datastores.commit.batches import Batch
from datastores.commit.memory import Memory
from datastores.errors import ExpectedError
from datastores.ids import derived_id
from datastores.ledger import (
    CloseWallet,
    Command,
    Draft,
    Effect,
    Entry,
    EntryKind,
    Outcome,
    WalletStatus,
    acts,
    entries,
    exchanges,
    holds,
    limits,
    refunds,
    reserves,
    reversals,
    statuses,
    transfers,
)
from datastores.ledger.entries import LAST
from datastores.ledger.statuses import append_status
from datastores.mongo import Document, Session
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import TRANSIENT
from tests.simulation.storage import START, Storage
from tests.simulation.towns import INDEXES
from tests.unit.simulation.planted import WITHOUT_INDEXES, Plant, caught, read_outside_the_snapshot


def skip_the_look_up_on_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = ledger.stored_outcome

    def only_at_first(work: Work, command: Command) -> Outcome | None:
        return look_up(work, command) if work.attempt == 1 else None

    monkeypatch.setattr(acts, "stored_outcome", only_at_first)


def forget_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = ledger.append_refusal

    def forget(work: Work, command: Command, error: ExpectedError, draft: Draft | None = None) -> Outcome:
        return keep(work.overlay(), command, error, draft)

    monkeypatch.setattr(transfers, "append_refusal", forget)
    monkeypatch.setattr(refunds, "append_refusal", forget)


def count_outside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    read = CommitLoop._read
    taken: WeakKeyDictionary[Storage, int] = WeakKeyDictionary()

    async def number_before(loop: CommitLoop, work: Work, batch: Sequence[Act[Any]], session: Session) -> None:
        await read(loop, work, batch, session)
        assert isinstance(loop.database, SimulatedDatabase)
        storage, last = loop.database._storage, work._lasts.get(LAST)
        before = taken.get(storage, 0) if last else 0
        taken[storage] = before + len(batch)
        if last:
            work._lasts[LAST] = {**last, "seq": before}

    monkeypatch.setattr(CommitLoop, "_read", number_before)


def rerun_the_batch_on_an_unknown_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def commit(session: Session, *_: object) -> None:
        try:
            await session.commit()
        except PyMongoError as error:
            error._add_error_label(TRANSIENT)
            raise

    monkeypatch.setattr(loops, "commit", commit)
    skip_the_look_up_on_a_retry(monkeypatch)


def make_every_try_a_new_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_this_try(command: Command) -> None:
        object.__setattr__(command, "entry_id", derived_id("ent", command.caller, command.key, command.salt))

    monkeypatch.setattr(Command, "__post_init__", of_this_try)


def believe_what_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "is_proven", True)


def resolve_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(work: Work, command: Command, pending_id: str) -> Outcome:
        pending = cast(Entry, work.get("entries", pending_id))
        legs = tuple((leg["account_id"], leg["delta"]) for leg in pending["legs"])
        amount = pending["amount"]
        draft = reserves.resolution(pending, EntryKind.TRANSFER, Effect.SETTLE, legs, amount, "transfer.posted")
        return Outcome(ledger.append(work, command, draft))

    monkeypatch.setattr(acts, "append_settlement", settle)


def forget_what_was_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    note = transfers.record_transfer

    def all_but_that(work: Work, entry_id: str, **changes: Any) -> None:
        note(work, entry_id, **{name: value for name, value in changes.items() if name != "captured"})

    monkeypatch.setattr(holds, "record_transfer", all_but_that)


def capture_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "_is_over", lambda work, hold: False)


def expire_by_the_clock_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "ledger_time", lambda work: work.now)


def remember_accounts_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Memory.keep

    def the_first(memory: Memory, work: Work) -> None:
        before = dict(memory._documents)
        keep(memory, work)
        memory._documents |= {key: document for key, document in before.items() if key in memory._documents}

    monkeypatch.setattr(Memory, "keep", the_first)


def remember_what_was_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "forget", lambda memory: None)


def answer_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    decide_ahead = CommitLoop._decide_ahead

    async def and_tell(loop: CommitLoop, ahead: Batch, writing: asyncio.Future[None]) -> None:
        await decide_ahead(loop, ahead, writing)
        ahead.settle()

    monkeypatch.setattr(CommitLoop, "_decide_ahead", and_tell)


def use_quotes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Work.update

    def open_still(work: Work, collection: str, id: str, **changes: Any) -> Document:
        return update(work, collection, id, **{k: v for k, v in changes.items() if k != "used_by"})

    monkeypatch.setattr(Work, "update", open_still)


def swap_after_the_end_of_a_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "ledger_time", lambda work: START)


def count_limits_outside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    spent_after = limits.spent_after
    counted: dict[str, Any] = {}

    def beside(account: Mapping[str, Any], *rest: Any) -> Any:
        counted[account["_id"]] = spent_after({**account, "spent": counted.get(account["_id"], {})}, *rest)
        return counted[account["_id"]]

    monkeypatch.setattr(entries, "spent_after", beside)


def forget_what_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "given_back", lambda spent, amount, made_at: dict(spent or {}))


def reverse_what_was_sent_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reversals, "record_transfer", lambda work, entry_id, **changes: None)


def close_what_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(act: CloseWallet, work: Work) -> Any:
        account = cast(Any, work.get("accounts", act.wallet_id))
        append_status(work, statuses._command("close", account, act.salt), account, WalletStatus.CLOSED, {})
        return work.get("accounts", act.wallet_id)

    monkeypatch.setattr(CloseWallet, "decide", decide)


PLANTED: list[tuple[Plant, bool, str]] = [
    (skip_the_look_up_on_a_retry, True, "acknowledged and not there"),
    (forget_refusals, True, "acknowledged and not there"),
    (count_outside_the_transaction, True, "a commit brings"),
    (rerun_the_batch_on_an_unknown_commit, True, "acknowledged and not there"),
    (believe_what_is_not_proven, True, "had an outcome"),
    (resolve_without_looking, True, "ended with BulkWriteError"),
    (resolve_without_looking, False, "nothing is reserved"),
    (make_every_try_a_new_command, False, "applied 2 times"),
    (read_outside_the_snapshot, False, "sums to"),
    (forget_what_was_captured, True, "where the model says"),
    (capture_what_is_over, True, "HOLD_EXPIRED"),
    (expire_by_the_clock_of_the_process, True, "where the model says"),
    (remember_accounts_as_they_were, True, "sums to"),
    (remember_what_was_not_committed, True, "a commit brings"),
    (answer_before_the_commit, True, "acknowledged and not there"),
    (use_quotes_twice, True, "where the model says ('REFUSED', 'CONFLICT')"),
    (swap_after_the_end_of_a_quote, True, "QUOTE_EXPIRED"),
    (count_limits_outside_the_transaction, True, "by day, and the model says"),
    (forget_what_is_given_back, True, "by day, and the model says"),
    (reverse_what_was_sent_back, True, "where the model says"),
    (close_what_is_not_empty, True, "closed with"),
]
# What few histories find, with the seed of one that does.
RARE: dict[Plant, int] = {capture_what_is_over: 47, reverse_what_was_sent_back: 115}


@pytest.mark.parametrize(
    ("plant", "unique", "found"), PLANTED, ids=[f"{p.__name__}-{unique}" for p, unique, _ in PLANTED]
)
def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch, plant: Plant, unique: bool, found: str) -> None:
    plant(monkeypatch)

    assert caught("ledger", found, INDEXES if unique else WITHOUT_INDEXES, first=RARE.get(plant, 0))


def test_memory_without_a_witness_is_caught() -> None:
    """What a process remembers is proven by the unique number of the next entry, and by nothing else."""
    numbers = {"entries": [index for index in INDEXES["entries"] if index.document["name"] != "partition_seq"]}

    assert caught("ledger", "a commit brings", {**INDEXES, **numbers})
