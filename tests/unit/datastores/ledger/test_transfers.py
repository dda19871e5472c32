"""A refusal shows its caller the leg on their own wallet, and none where they have no wallet."""

from __future__ import annotations

from datetime import datetime

import pytest

from datastores import ledger
from datastores.commit import Act, Work
from datastores.ledger import Outcome, Party, PostTransfer, Transfer
from datastores.mongo import Document

NOW = datetime(2026, 1, 1)
ANN, BEN = ledger.wallet_id("ann", "EUR"), ledger.wallet_id("ben", "EUR")


def wallet(id: str, owner: str) -> Document:
    balance = {"posted": 0, "pending_out": 0, "pending_in": 0, "version": 0}
    named = {"_id": id, "owner_id": owner, "currency": "EUR", "kind": "WALLET", "status": "OPEN", "created_at": NOW}
    return {**named, **balance}


def work_with(act: Act[Outcome], *accounts: Document) -> Work:
    work = Work(NOW)
    for read in (read for reads in act.reads(work) for read in reads):
        found = [each for each in accounts if tuple(each.get(name) for name in read.fields) in read.values]
        work.add_read(read, found if read.collection == "accounts" else ())
    return work


@pytest.mark.parametrize(
    ("caller", "accounts", "legs"),
    [
        ("ben", [wallet(BEN, "ben")], [(BEN, -5)]),
        ("ann", [wallet(BEN, "ben"), wallet(ANN, "ann")], [(ANN, 5)]),
        ("ann", [wallet(BEN, "ben")], []),
    ],
)
def test_a_refusal_has_the_leg_of_the_callers_wallet_if_there_is_one(
    caller: str, accounts: list[Document], legs: list[tuple[str, int]]
) -> None:
    transfer = Transfer(Party(BEN, owner_id="ben"), Party(ANN, owner_id="ann"), 5, "EUR")
    act = PostTransfer(ledger.command(caller, "key", "transfer", {}), transfer)

    outcome = act.decide(work_with(act, *accounts))

    assert outcome.entry["code"] == "INSUFFICIENT_FUNDS"
    assert [(leg["account_id"], leg["delta"]) for leg in outcome.entry["legs"]] == legs
