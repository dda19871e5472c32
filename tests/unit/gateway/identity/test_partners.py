"""A partner's key opens what it should, and nothing of it can be guessed, read back or used after its end."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from datastores.partners import PartnerKeyDocument
from gateway.identity.errors import Unauthenticated
from gateway.identity.identities import Partner
from gateway.identity.partners import (
    NewPartnerKey,
    is_partner_key,
    new_partner_key,
    partner_key,
    verify_partner_key,
)

NOW = 1_800_000_000.0


class Keys:
    """The keys that exist, with a count of how often they were looked at."""

    def __init__(self, *documents: PartnerKeyDocument) -> None:
        self._documents = {document["_id"]: document for document in documents}
        self.lookups = 0

    async def __call__(self, key_id: str) -> PartnerKeyDocument | None:
        self.lookups += 1
        return self._documents.get(key_id)


def document(key: NewPartnerKey, **changes: datetime) -> PartnerKeyDocument:
    return {
        "_id": key.id,
        "partner_id": "ptr_01",
        "secret_hash": key.secret_hash,
        "scopes": ["payments:read"],
        "expires_at": changes.get("expires_at"),
        "revoked_at": changes.get("revoked_at"),
        "name": "first",
        "mode": "LIVE",
        "successor_id": None,
        "last_used_at": None,
        "created_at": at(-60),
    }


def at(offset_s: float) -> datetime:
    return datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None) + timedelta(seconds=offset_s)


async def test_the_right_key_names_the_partner() -> None:
    key = new_partner_key()

    partner = await verify_partner_key(key.text, Keys(document(key)), NOW)

    assert partner == Partner("ptr_01", key.id, frozenset({"payments:read"}), None)


async def test_a_key_may_have_an_end() -> None:
    key = new_partner_key()

    partner = await verify_partner_key(key.text, Keys(document(key, expires_at=at(1))), NOW)

    assert partner.expires_at == NOW + 1
    with pytest.raises(Unauthenticated, match="expired"):
        await verify_partner_key(key.text, Keys(document(key, expires_at=at(0))), NOW)


async def test_unknown_wrong_and_revoked_are_one_answer() -> None:
    key = new_partner_key()
    same_id = partner_key(key.id, 7)

    messages = set()
    for text, keys in [
        (key.text, Keys()),
        (same_id.text, Keys(document(key))),
        (key.text, Keys(document(key, revoked_at=at(-1)))),
    ]:
        with pytest.raises(Unauthenticated) as refused:
            await verify_partner_key(text, keys, NOW)
        messages.add(refused.value.message)

    assert messages == {"The partner key is not valid, or was revoked"}


async def test_a_made_up_key_is_refused_without_a_look_into_the_database() -> None:
    key = new_partner_key()
    keys = Keys(document(key))
    last = "A" if key.text[-1] != "A" else "B"

    for text in [
        key.text[:-1],
        key.text[:-1] + last,
        key.text + "A",
        key.text.swapcase(),
        key.text.replace("agora_pk_", "agora_pk_9"),
        "agora_pk_",
        "agora_pk_" + "é" * 76,
        key.text + "\n",
    ]:
        with pytest.raises(Unauthenticated, match="malformed"):
            await verify_partner_key(text, keys, NOW)

    assert keys.lookups == 0


def test_keys_are_long_different_and_easy_to_scan_for() -> None:
    keys = [new_partner_key() for _ in range(100)]

    assert len({key.text for key in keys}) == len({key.id for key in keys}) == 100
    assert all(re.fullmatch(r"agora_pk_[0-9A-Z]{26}_[0-9A-Za-z]{49}", key.text) for key in keys)
    assert all(is_partner_key(key.text) for key in keys)
    assert not is_partner_key("eyJhbGciOiJSUzI1NiJ9.e30.AA")


def test_the_secret_fills_256_bits() -> None:
    largest = partner_key("key_01ARZ3NDEKTSV4RRFFQ69G5FAV", 2**256 - 1)
    smallest = partner_key("key_01ARZ3NDEKTSV4RRFFQ69G5FAV", 0)

    assert len(largest.text) == len(smallest.text)
    assert largest.secret_hash != smallest.secret_hash
    with pytest.raises(ValueError, match="256"):
        partner_key("key_01ARZ3NDEKTSV4RRFFQ69G5FAV", 2**256)


def test_what_is_stored_and_what_is_logged_holds_no_secret() -> None:
    key = new_partner_key()
    secret = key.text.rsplit("_", 1)[1][:43]

    assert key.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(key)
    assert key.secret_hash not in repr(key)
