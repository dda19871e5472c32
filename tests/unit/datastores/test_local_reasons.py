"""What a server's last words become, for failures that a test cannot bring about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datastores.local.failures import DataDirLocked, DataDirUnusable, LocalDatabaseError, NoLocalDatabase, PortTaken
from datastores.local.reasons import COMPLAINT_LENGTH, why_it_ended


def reason(folder: Path, status: int, *lines: dict[str, object], printed: str = "") -> LocalDatabaseError | PortTaken:
    (folder / "server.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "server.out").write_text(printed)
    return why_it_ended(Path("town"), folder / "server.log", folder / "server.out", status)


def fatal(msg: str, **attr: object) -> dict[str, object]:
    return {"s": "F", "c": "CONTROL", "msg": msg, "attr": attr}


def test_data_of_a_newer_version(tmp_path: Path) -> None:
    error = "UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document (ERROR: Location4926900)"

    failure = reason(tmp_path, 62, fatal("Wrong mongod version", error=error))

    assert isinstance(failure, DataDirUnusable)
    assert failure.message.startswith("the data in town are of another version of MongoDB: move the folder away")


def test_a_folder_that_a_mongod_of_somebody_else_uses(tmp_path: Path) -> None:
    error = "DBPathInUse: Unable to lock the lock file: town/mongod.lock (Resource temporarily unavailable)"

    failure = reason(tmp_path, 100, fatal("DBException in initAndListen, terminating", error=error))

    assert isinstance(failure, DataDirLocked)


@pytest.mark.parametrize("status", [48, 1])
def test_a_port_that_was_taken_meanwhile(tmp_path: Path, status: int) -> None:
    failure = reason(
        tmp_path, status, fatal("Failed to set up listener", error="SocketException: Address already in use")
    )

    assert isinstance(failure, PortTaken)


@pytest.mark.parametrize("status", [-4, 132])
def test_a_processor_without_the_instructions(tmp_path: Path, status: int) -> None:
    assert isinstance(reason(tmp_path, status), NoLocalDatabase)


def test_a_library_that_is_missing(tmp_path: Path) -> None:
    printed = "mongod: error while loading shared libraries: libssl.so.1.1: cannot open shared object file\n"

    failure = reason(tmp_path, 1, printed=printed)

    assert isinstance(failure, NoLocalDatabase)
    assert "libssl.so.1.1" in failure.message


def test_the_reason_is_told_rather_than_the_epitaph(tmp_path: Path) -> None:
    failure = reason(tmp_path, 14, fatal("Disk is full", error="no space left"), fatal("Fatal assertion", msgid=50853))

    assert isinstance(failure, LocalDatabaseError)
    assert "Disk is full no space left" in failure.message


def test_a_message_is_one_line_of_limited_length(tmp_path: Path) -> None:
    failure = reason(tmp_path, 1, fatal("first\nsecond", error="x" * 10_000))

    assert isinstance(failure, LocalDatabaseError)
    assert "\n" not in failure.message
    assert len(failure.message) < COMPLAINT_LENGTH + 200


def test_a_log_that_is_not_json_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_bytes(b"\xff\xfe not json\n")

    failure = why_it_ended(Path("town"), tmp_path / "server.log", tmp_path / "nothing", 3)

    assert isinstance(failure, LocalDatabaseError)
    assert "status 3: it gave no reason" in failure.message
