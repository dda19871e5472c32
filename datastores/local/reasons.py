"""Why a server ended: reads its log and says it in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .failures import DataDirLocked, DataDirUnusable, LocalDatabaseError, NoLocalDatabase, PortTaken

LOG_TAIL_BYTES: Final = 256 * 1024
COMPLAINT_LENGTH: Final = 300
EPITAPHS: Final = ("Fatal assertion", "***aborting", "Writing fatal message")
EXIT_PORT_IN_USE: Final = 48
EXIT_NEEDS_UPGRADE: Final = 62
EXIT_CANNOT_RUN: Final = 127
EXIT_ILLEGAL_INSTRUCTION: Final = (-4, 128 + 4)


def why_it_ended(data_dir: Path, log: Path, output: Path, status: int) -> LocalDatabaseError | PortTaken:
    """The failure that a server's exit status and its last words stand for."""
    complaint = last_complaint(log, output)
    if status == EXIT_PORT_IN_USE or "address already in use" in complaint.lower():
        return PortTaken()
    if status in (*EXIT_ILLEGAL_INSTRUCTION, EXIT_CANNOT_RUN) or "shared libraries" in complaint:
        return NoLocalDatabase(
            f"mongod does not run on this system: install another MongoDB, or set MONGODB_URI ({complaint})"
        )
    if "DBPathInUse" in complaint:
        return DataDirLocked(f"the data folder {data_dir} is in use by another mongod: stop it ({complaint})")
    if status == EXIT_NEEDS_UPGRADE or "featureCompatibilityVersion" in complaint:
        return DataDirUnusable(
            f"the data in {data_dir} are of another version of MongoDB: move the folder away ({complaint})"
        )
    if "WiredTiger" in complaint or "WT_" in complaint:
        return DataDirUnusable(f"the data in {data_dir} cannot be read: move the folder away ({complaint})")
    return LocalDatabaseError(f"the local database ended with status {status}: {complaint} (its log: {log})")


def last_complaint(log: Path, output: Path) -> str:
    """The last line of the log that explains a failure, in words; else the last that was printed."""
    complaints = [_in_words(line) for line in _tail(log) if line.get("s") in ("E", "F")]
    reasons = [each for each in complaints if not each.startswith(EPITAPHS)]
    if complaints:
        return (reasons or complaints)[-1]
    try:
        printed = output.read_text(errors="replace").splitlines()
    except OSError:
        printed = []
    last = next((line.strip() for line in reversed(printed) if line.strip() and not line.startswith("{")), "")
    return last[:COMPLAINT_LENGTH] or "it gave no reason"


def _tail(log: Path) -> Iterator[dict[str, Any]]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _in_words(line: dict[str, Any]) -> str:
    attributes = line.get("attr", {})
    reason = attributes.get("error") or attributes.get("reason") or ""
    if isinstance(inner := attributes.get("message"), dict):
        reason = inner.get("error_str") or inner.get("msg") or reason
    return " ".join(f"{line.get('msg', '')} {reason}".split())[:COMPLAINT_LENGTH]
