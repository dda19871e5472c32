"""Whoever breaks what is promised of rails, erasures or checkpoints is caught by the simulator as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from datastores import accounts
from datastores import wallets as store
from datastores.commit import Work
from datastores.ledger import checkpoints, entries
from datastores.ledger.checkpoints import CHECKPOINTS
from datastores.mongo import Database, Document
from datastores.wallets import Instruction, InstructionDocument, RailAnswer, RailState
from resolvers import erasure
from resolvers.context import Context
from resolvers.wallets import rails
from tests.simulation.database import SimulatedDatabase
from tests.unit.simulation.planted import Plant, caught


def take_silence_for(state: RailState) -> Plant:
    """Whatever the rail is not heard to say is taken for this."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        heard = rails._heard

        async def or_guess(*asked: Any) -> RailAnswer:
            return await heard(*asked) or RailAnswer(state)

        monkeypatch.setattr(rails, "_heard", or_guess)

    plant.__name__ = f"take_silence_for_{state}"
    return plant


def ask_under_a_new_id_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(range(10**9))
    instruction_of = store.instruction_of

    def another(document: InstructionDocument, account: str) -> Instruction:
        return replace(instruction_of(document, account), id=f"{document['_id']}/{next(tries)}")

    monkeypatch.setattr(store, "instruction_of", another)


def forget_to_void_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = rails._keep

    async def what_is_settled(ctx: Context, id: str, answer: RailAnswer) -> bool:
        return answer.state is RailState.SETTLED and await keep(ctx, id, answer)

    monkeypatch.setattr(rails, "_keep", what_is_settled)


def leave_it_to_who_began(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(database: Database, *_: object) -> list[InstructionDocument]:
        return []

    monkeypatch.setattr(store, "due_instructions", nothing)


def insert_over_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken to be absent, and was read since, is replaced."""
    is_proven: property = vars(Work)["is_proven"]

    def without_looking(work: Work) -> bool:
        stored, work._stored = work._stored, set()
        try:
            return bool(is_proven.__get__(work))
        finally:
            work._stored = stored

    monkeypatch.setattr(Work, "is_proven", property(without_looking))


def keep_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(*_: object) -> None:
        return None

    monkeypatch.setattr(erasure, "destroy_key", keep)


def keep_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    blank = accounts.blank_profile

    async def all_but_the_bio(database: Database, user_id: str, now: Any) -> None:
        (before,) = await accounts.by_ids(database, [user_id])
        await blank(database, user_id, now)
        await database.update_one("users", {"_id": user_id}, {"$set": {"bio": before and before["bio"]}})

    monkeypatch.setattr(accounts, "blank_profile", all_but_the_bio)


def never_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object) -> list[Document]:
        return []

    monkeypatch.setattr(accounts, "users_being_erased", nobody)


def leave_wallets_that_were_opened_since(monkeypatch: pytest.MonkeyPatch) -> None:
    async def are_closed(*_: object) -> bool:
        return True

    monkeypatch.setattr(erasure, "_are_closed", are_closed)


def sign_what_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    head: Callable[[Database], Awaitable[Any]] = entries.head

    async def of_any_transaction(database: Database) -> Any:
        assert isinstance(database, SimulatedDatabase)
        writers = database._storage._writers.items()
        written = [open.writes[key] for key, open in writers if key[0] == "entries" and open.state == "open"]
        newest = max((entry for entry in written if entry), key=lambda entry: int(entry["seq"]), default=None)
        return {"n": newest["seq"], "hash": newest["hash"]} if newest else await head(database)

    monkeypatch.setattr(checkpoints, "head", of_any_transaction)


def sign_a_number_again(monkeypatch: pytest.MonkeyPatch) -> None:
    update = SimulatedDatabase.update_one

    async def over(database: SimulatedDatabase, collection: str, filter: Any, change: Any, **options: Any) -> Any:
        if collection == CHECKPOINTS:
            change = {"$set": change["$setOnInsert"]}
        return await update(database, collection, filter, change, **options)

    monkeypatch.setattr(SimulatedDatabase, "update_one", over)


PLANTED: list[tuple[Plant, str, str, int]] = [
    (take_silence_for(RailState.SETTLED), "rails", "the rail has not said so", 0),
    (take_silence_for(RailState.REFUSED), "rails", "the rail has not said so", 0),
    (ask_under_a_new_id_each_time, "rails", "the rail was asked for what nobody has noted", 0),
    (forget_to_void_what_is_refused, "rails", "pending for ever", 0),
    (leave_it_to_who_began, "rails", "pending for ever", 0),
    (insert_over_what_is_there, "rails", "the numbers have a hole", 377),
    (keep_the_key, "erasures", "can be read", 42),
    (keep_the_profile, "erasures", "can be read in users", 0),
    (never_go_on, "erasures", "an erasure that never ends", 0),
    (leave_wallets_that_were_opened_since, "erasures", "is not closed", 591),
    (sign_what_is_not_committed, "ledger", "which is not committed so", 0),
    (sign_a_number_again, "ledger", "kept under its number", 0),
]


@pytest.mark.parametrize(
    ("plant", "town", "found", "first"), PLANTED, ids=[f"{plant.__name__}-{town}" for plant, town, *_ in PLANTED]
)
def test_a_planted_bug_is_caught(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, town: str, found: str, first: int
) -> None:
    plant(monkeypatch)

    assert caught(town, found, first=first)
