"""The master key: that of the settings, or in development one in the data folder, made on first use."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Final

from datastores.errors import ExpectedError
from datastores.sealing import KEY_BYTES, SealingKey
from gateway.settings import Settings

KEY_FILE: Final = "master-key"


class MasterKeyRefused(ExpectedError):
    """There is no master key: production has none in its settings, or the file cannot be used."""


def master_key(settings: Settings) -> SealingKey:
    """The key under which all other keys lie sealed; raises MasterKeyRefused."""
    if settings.master_key is not None:
        return SealingKey(settings.master_key)
    if settings.is_production:
        raise MasterKeyRefused("AGORA_MASTER_KEY is required in production")
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            _create(path)
        path.chmod(0o600)
        return SealingKey(base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True))
    except (OSError, ValueError) as error:
        raise MasterKeyRefused(f"{path} is not usable ({error})") from None


def known_master_key(settings: Settings) -> SealingKey | None:
    """The master key where there is one already; raises MasterKeyRefused for a file that cannot be used."""
    if settings.master_key is None and not (settings.data_dir / KEY_FILE).exists():
        return None
    return master_key(settings)


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole and then linked: of two processes that start at once one wins, and neither reads half a key.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n")
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
