"""The master key comes from the settings, or in development from the data folder, where it is made once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from datastores.sealing import SealingKey
from gateway.master_key import KEY_FILE, MasterKeyRefused, known_master_key, master_key
from gateway.settings import Environment, Settings


def test_the_settings_decide(tmp_path: Path) -> None:
    assert master_key(Settings(master_key=b"m" * 32, data_dir=tmp_path)).raw == b"m" * 32
    assert list(tmp_path.iterdir()) == []


def test_development_makes_one_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")

    first, second = master_key(settings), master_key(settings)

    assert first == second
    assert stat.S_IMODE((tmp_path / "data" / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_production_makes_none(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyRefused, match="AGORA_MASTER_KEY"):
        master_key(Settings(environment=Environment.PRODUCTION, data_dir=tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_who_only_looks_makes_none(tmp_path: Path) -> None:
    assert known_master_key(Settings(data_dir=tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
    assert known_master_key(Settings(master_key=b"m" * 32, data_dir=tmp_path)) == SealingKey(b"m" * 32)
    made = master_key(Settings(data_dir=tmp_path))
    assert known_master_key(Settings(data_dir=tmp_path)) == made


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_a_file_that_holds_no_key_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / KEY_FILE).write_text(text)

    with pytest.raises(MasterKeyRefused, match=KEY_FILE):
        master_key(Settings(data_dir=tmp_path))

    assert (tmp_path / KEY_FILE).read_text() == text
