"""The chain's spelling of values: pinned, since receipts that were given out must verify for ever."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from datastores.ledger import chain
from datastores.ledger.entries import Entry, Leg

ENTRY: dict[str, Any] = {
    "_id": "ent_01JD0000000000000000000000",
    "caller": "usr_a",
    "key": "rent",
    "request_hash": "00",
    "partition": "main",
    "seq": 7,
    "kind": "TRANSFER",
    "event_type": "transfer.posted",
    "state": "POSTED",
    "code": None,
    "details": None,
    "currency": "EUR",
    "amount": 2**62,
    "legs": [{"account_id": "wal_a", "delta": -(2**62)}, {"account_id": "wal_b", "delta": 2**62}],
    "sender_id": "usr_a",
    "recipient_id": "usr_b",
    "merchants": [],
    "order_id": None,
    "payment_request_id": None,
    "pending_id": None,
    "final": False,
    "reverses": None,
    "quote_id": None,
    "expires_at": None,
    "created_at": datetime(2026, 1, 31, 12, 0, 0, 5_000),
    "memo_digest": None,
    "salt": "ab" * 16,
}


def test_canonical_json_sorts_keys_and_spells_numbers_and_times_as_strings() -> None:
    value = {"b": 2**63 - 1, "a": [True, None, "ü"], "t": datetime(2026, 1, 31)}

    assert chain.canonical(value).decode() == (
        '{"a":[true,null,"ü"],"b":"9223372036854775807","t":"2026-01-31T00:00:00.000Z"}'
    )


def test_the_hash_of_an_entry_is_pinned() -> None:
    assert chain.chained(chain.GENESIS, chain.body(ENTRY)) == (
        "3c8ee1acd16ea3b63c77d58057b4fe97014e1a4d3985f56e21bfba99d0599d9f"
    )


def test_every_part_of_an_entry_is_in_its_hash() -> None:
    plain = chain.chained(chain.GENESIS, chain.body(ENTRY))

    for name in ENTRY:
        changed = {**ENTRY, name: "ff" * 16 if name != "legs" else ENTRY["legs"][:1]}
        assert chain.chained(chain.GENESIS, chain.body(changed)) != plain, name


def test_a_sealed_part_opens_with_its_salt_and_shows_nothing_of_the_others() -> None:
    salts = {chain.leg_salt(ENTRY, 0), chain.leg_salt(ENTRY, 1), chain.request_salt(ENTRY), ENTRY["salt"]}

    assert len(salts) == 4
    assert chain.body(ENTRY)["legs"][1] == chain.seal(chain.leg_salt(ENTRY, 1), ENTRY["legs"][1])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
AMOUNTS = st.integers(-(2**63), 2**63 - 1)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)
HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: AMOUNTS,
    bool: st.booleans(),
    datetime: TIMES,
    str | None: st.none() | TEXTS,
    datetime | None: st.none() | TIMES,
    list[str]: st.lists(TEXTS, max_size=3),
    dict[str, Any] | None: st.none() | st.dictionaries(TEXTS, TEXTS | AMOUNTS | TIMES | st.none(), max_size=3),
}
LEGS = st.fixed_dictionaries({name: BY_TYPE[kind] for name, kind in get_type_hints(Leg).items()})
ENTRIES = st.fixed_dictionaries(
    {
        name: st.lists(LEGS, max_size=4)
        if name == "legs"
        else HEX
        if name in ("salt", "previous_hash")
        else BY_TYPE[kind]
        for name, kind in get_type_hints(Entry).items()
    }
)


@given(ENTRIES)
def test_what_is_spelled_out_for_an_entry_is_the_hash_of_its_body(entry: dict[str, Any]) -> None:
    assert chain.entry_hash(entry) == chain.chained(entry["previous_hash"], chain.body(entry))
