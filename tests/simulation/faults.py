"""Faults: what goes wrong at one command to the database, drawn from the seed, and the trace of all that happened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

USUAL_DELAY_S: Final = 0.01
LONGEST_STALL_S: Final = 14.0
TRANSIENT: Final = "TransientTransactionError"
UNKNOWN: Final = "UnknownTransactionCommitResult"
WRITE_CONFLICT: Final = 112


class Fault(StrEnum):
    """What happens to a command."""

    NONE = "none"
    ERROR_BEFORE = "error before"
    ERROR_AFTER = "error after"
    UNLABELLED = "unlabelled error"
    STALL_BEFORE = "stall before"
    STALL_AFTER = "stall after"
    UNKNOWN_DONE = "unknown, and done"
    UNKNOWN_OPEN = "unknown, and still open"
    UNKNOWN_LOST = "unknown, and lost"
    UNKNOWN_LATE = "unknown, and done later"


OF_COMMANDS: Final = (
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.UNLABELLED,
    Fault.STALL_BEFORE,
    Fault.STALL_AFTER,
)
OF_COMMITS: Final = (
    Fault.ERROR_BEFORE,
    Fault.UNKNOWN_DONE,
    Fault.UNKNOWN_DONE,
    Fault.UNKNOWN_OPEN,
    Fault.UNKNOWN_LOST,
    Fault.UNKNOWN_LATE,
    Fault.STALL_BEFORE,
    Fault.STALL_AFTER,
)

# What happens to a message between two processes of one machine.
OF_MESSAGES: Final = (Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.STALL_BEFORE)


class InjectedError(OperationFailure):
    """An error that no label explains: the one that may reach a client as it is."""


@dataclass
class Trace:
    """All that happened in a history, line by line, and the hash of it."""

    keep: bool = False
    lines: list[str] = field(default_factory=list)
    count: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def note(self, now_s: float, who: str, what: str) -> None:
        """Add a line."""
        line = f"{now_s:10.6f} {who:<10} {what}"
        self.count += 1
        self._hash.update(line.encode() + b"\n")
        if self.keep:
            self.lines.append(line)

    @property
    def hash(self) -> str:
        """The digest of every line so far: two runs with the same one are the same history."""
        return self._hash.hexdigest()


@dataclass
class Faults:
    """Draws a fault for each command at `rate` (0 to 1), and the time that each way takes."""

    random: Random
    rate: float
    injected: dict[Fault, int] = field(default_factory=dict)

    def of(self, kinds: tuple[Fault, ...]) -> Fault:
        """What happens to this command."""
        # A transaction has one commit and several other commands, and what matters most happens at the commit; few
        # acts are handed over.
        rate = self.rate if kinds is OF_COMMANDS else min(self.rate * 3, 0.6)
        if self.rate == 0 or self.random.random() >= rate:
            return Fault.NONE
        fault = self.random.choice(kinds)
        self.injected[fault] = self.injected.get(fault, 0) + 1
        return fault

    def coin(self) -> bool:
        """Yes or no."""
        return self.random.random() < 0.5

    def delay_s(self, stalled: bool) -> float:
        """How long one way takes."""
        return self.random.random() * (LONGEST_STALL_S if stalled else USUAL_DELAY_S)


def conflict(text: str) -> OperationFailure:
    """A write conflict: the transaction is over, another try may do."""
    return OperationFailure(f"WriteConflict: {text}", WRITE_CONFLICT, {"errorLabels": [TRANSIENT]})


def no_such_transaction() -> OperationFailure:
    """The server has ended the transaction, and nothing of it was written."""
    return OperationFailure("NoSuchTransaction", 251, {"errorLabels": [TRANSIENT]})


def lost_connection(label: str) -> AutoReconnect:
    """A broken connection, with the label that the driver gives to it."""
    return AutoReconnect("connection closed", {"errorLabels": [label]})


def duplicate(index: str, values: object) -> BulkWriteError:
    """A duplicate key, as a bulk write reports it."""
    error = {"index": 0, "code": 11000, "errmsg": f"E11000 duplicate key error index: {index} dup key: {values}"}
    return BulkWriteError({"writeErrors": [error], "nInserted": 0, "nMatched": 0})
