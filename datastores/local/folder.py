"""The data folder's lock: one owner at a time, and none once the owner and its server are gone."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from .failures import DataDirLocked, cannot_be_used

LOCK_TIMEOUT_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.02


@asynccontextmanager
async def locked(data_dir: Path) -> AsyncIterator[int]:
    """Hold the folder's lock and yield its descriptor, making the folder where it is not there.

    The server inherits the descriptor, so after this process was killed the folder stays locked until the server is
    gone too: up to 15 s are waited for that. Raises `DataDirLocked` while the owner lives, and `DataDirUnusable`.
    """
    lock = _open(data_dir)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not _try_lock(lock):
            owner = _owner(lock)
            if (owner and _is_alive(owner)) or time.monotonic() > deadline:
                in_use = f"the data folder {data_dir} is in use by process {owner}"
                raise DataDirLocked(f"{in_use}: stop it, or choose another AGORA_DATA_DIR")
            await asyncio.sleep(POLL_INTERVAL_S)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        os.close(lock)


def _open(data_dir: Path) -> int:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_be_used(data_dir, error) from None


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(lock: int) -> int | None:
    text = os.pread(lock, 20, 0).decode(errors="replace")
    return int(text) if text.isdecimal() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
