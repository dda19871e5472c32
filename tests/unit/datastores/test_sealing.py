"""What is sealed opens under its key and its name alone, and never after a change."""

from __future__ import annotations

import pytest

from datastores.sealing import SealingKey, WrongKeyError

KEY = SealingKey(bytes(range(32)))


def test_what_is_sealed_opens_again_and_looks_different_each_time() -> None:
    first, second = KEY.seal(b"secret", "a thing"), KEY.seal(b"secret", "a thing")

    assert first != second
    assert b"secret" not in first
    assert KEY.open(first, "a thing") == KEY.open(second, "a thing") == b"secret"


def test_one_flipped_bit_anywhere_is_found() -> None:
    sealed = KEY.seal(b"secret", "a thing")

    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(WrongKeyError, match="a thing"):
            KEY.open(changed, "a thing")


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(12)])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(WrongKeyError):
        KEY.open(sealed, "a thing")


def test_another_key_or_another_name_does_not_open_it() -> None:
    sealed = KEY.seal(b"secret", "a thing")

    with pytest.raises(WrongKeyError):
        SealingKey.generate().open(sealed, "a thing")
    with pytest.raises(WrongKeyError):
        KEY.open(sealed, "another thing")


def test_digests_depend_on_the_key_and_on_where_texts_end() -> None:
    assert KEY.digest("a", "bc") == KEY.digest("a", "bc")
    assert len({KEY.digest("a", "bc"), KEY.digest("ab", "c"), SealingKey.generate().digest("a", "bc")}) == 3


def test_a_key_has_32_bytes_and_is_not_shown() -> None:
    assert "raw" not in repr(KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        SealingKey(b"short")
