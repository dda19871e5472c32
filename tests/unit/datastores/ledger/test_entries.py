"""An entry is appended only where its legs sum to zero in each currency; each leg says which currency it is in."""

from __future__ import annotations

from datetime import datetime

import pytest

from datastores import ledger
from datastores.commit import Work
from datastores.ledger import AccountKind, Draft, Effect, Entry, EntryKind, EntryState
from datastores.ledger.accounts import new_account

NOW = datetime(2026, 1, 1)
ACCOUNTS = {"a": "EUR", "b": "EUR", "c": "USD", "d": "USD"}
COMMAND = ledger.command("ann", "key", "exchange", {})


def append(*legs: tuple[str, int], state: EntryState = EntryState.POSTED) -> Entry:
    work = Work(NOW)
    accounts = [{**new_account(id, AccountKind.WALLET, currency, NOW)} for id, currency in ACCOUNTS.items()]
    for read in ledger.reads(COMMAND, accounts=list(ACCOUNTS)):
        work.add_read(read, accounts if read.collection == "accounts" else ())
    effect = Effect.NOTHING if state is EntryState.REFUSED else Effect.POST
    return ledger.append(work, COMMAND, Draft(EntryKind.EXCHANGE, state, effect, legs, currency="EUR", amount=5))


def test_legs_in_two_currencies_have_the_currency_of_their_accounts() -> None:
    entry = append(("a", -5), ("b", 5), ("c", -7), ("d", 7))

    assert [(leg["currency"], leg["delta"]) for leg in entry["legs"]] == [
        ("EUR", -5),
        ("EUR", 5),
        ("USD", -7),
        ("USD", 7),
    ]


@pytest.mark.parametrize("legs", [(("a", -5), ("c", 5)), (("a", -5), ("b", 4)), (("a", -5), ("b", 5), ("c", 1))])
def test_legs_that_balance_only_across_currencies_are_not_appended(legs: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="do not balance"):
        append(*legs)


def test_a_refusal_may_show_one_leg_alone() -> None:
    assert len(append(("a", -5), state=EntryState.REFUSED)["legs"]) == 1
