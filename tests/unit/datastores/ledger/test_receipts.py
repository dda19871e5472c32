"""Receipts are found in whatever JSON the graph has answered, and keys in what was published."""

from __future__ import annotations

from typing import Any

import pytest

from datastores.ledger import ReceiptError, SigningKey, key_set, keys_of_set, receipts_in

RECEIPT = {
    "seq": "7",
    "body": "{}",
    "entryHash": "a",
    "previousHash": "b",
    "headSeq": "9",
    "headHash": "c",
    "keyId": "key_1",
    "signature": "d",
    "__typename": "Receipt",
}
FOUND = {
    "seq": "7",
    "body": "{}",
    "entry_hash": "a",
    "previous_hash": "b",
    "head_seq": "9",
    "head_hash": "c",
    "key_id": "key_1",
    "signature": "d",
}


@pytest.mark.parametrize(
    "document",
    [
        RECEIPT,
        {"receipt": RECEIPT},
        {"data": {"transfer": {"id": "trf_1", "receipt": RECEIPT}}},
        {"data": {"viewer": {"wallet": {"entries": {"nodes": [{"transfer": {"receipt": RECEIPT}}, None]}}}}},
    ],
)
def test_a_receipt_is_found_alone_or_in_a_whole_answer(document: Any) -> None:
    assert receipts_in(document) == [FOUND]


def test_several_are_found_in_their_order() -> None:
    document = {"data": [{"receipt": {**RECEIPT, "seq": str(number)}} for number in range(3)]}

    assert [found["seq"] for found in receipts_in(document)] == ["0", "1", "2"]


@pytest.mark.parametrize("document", [None, [], {}, "receipt", {"data": {"transfer": {"receipt": None}}}])
def test_nothing_is_no_receipt(document: Any) -> None:
    with pytest.raises(ReceiptError):
        receipts_in(document)


def test_how_much_is_looked_through_is_bounded() -> None:
    with pytest.raises(ReceiptError):
        receipts_in([RECEIPT, *range(200_000)])


def test_published_keys_are_read_back_the_same() -> None:
    keys = {key.id: key.public for key in (SigningKey.generate(), SigningKey.generate())}

    published = key_set(keys)

    assert keys_of_set(published) == keys
    assert {key["kty"] for key in published["keys"]} == {"OKP"}
    assert all("d" not in key for key in published["keys"])


def test_keys_of_other_kinds_are_passed_over() -> None:
    assert keys_of_set({"keys": [{"kty": "RSA", "kid": "1"}, "x"]}) == {}


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"keys": {}}, {"keys": [{"crv": "Ed25519"}]}, {"keys": [{"crv": "Ed25519", "kid": "1", "x": "!"}]}],
)
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        keys_of_set(document)
