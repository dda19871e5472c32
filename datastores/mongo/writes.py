"""Writes: what a transaction does to documents by their ids, and the commands that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import BulkWriteError

_FIELDS: Final = {"insert": "documents", "update": "updates", "delete": "deletes"}


@dataclass(slots=True)
class Insert:
    """Add a document whose id is new."""

    document: dict[str, Any]


@dataclass(slots=True)
class Update:
    """Set these keys of the document with this id."""

    id: str
    changes: dict[str, Any]


@dataclass(slots=True)
class Replace:
    """Put this document where the one with its id is."""

    document: dict[str, Any]


@dataclass(slots=True)
class Delete:
    """Remove the document with this id."""

    id: str


Write = Insert | Update | Replace | Delete


@dataclass(frozen=True, slots=True)
class WriteCommand:
    """One command of MongoDB: `insert`, `update` or `delete`, with its statements."""

    name: str
    collection: str
    statements: Sequence[dict[str, Any]]

    @property
    def document(self) -> dict[str, Any]:
        """What is sent. The order of the statements means nothing, since each is about another document."""
        return {self.name: self.collection, "ordered": False, _FIELDS[self.name]: self.statements}

    def halves(self) -> tuple[WriteCommand, WriteCommand]:
        """The same in two commands, for what is too large for one message."""
        middle = len(self.statements) // 2
        first, second = self.statements[:middle], self.statements[middle:]
        return WriteCommand(self.name, self.collection, first), WriteCommand(self.name, self.collection, second)

    def matched(self, answer: Mapping[str, Any]) -> int:
        """How many documents an update found; 0 for other commands. Raises pymongo's BulkWriteError."""
        if errors := answer.get("writeErrors"):
            raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": []})
        return int(answer["n"]) if self.name == "update" else 0


def write_commands(collection: str, writes: Sequence[Write]) -> Iterator[WriteCommand]:
    """The commands that make these writes to documents of one collection, each to another document: at most three."""
    inserts = [write.document for write in writes if type(write) is Insert]
    updates = [_update(write) for write in writes if type(write) is Update or type(write) is Replace]
    deletes = [{"q": {"_id": write.id}, "limit": 1} for write in writes if type(write) is Delete]
    for name, statements in (("insert", inserts), ("update", updates), ("delete", deletes)):
        if statements:
            yield WriteCommand(name, collection, statements)


def updated(writes: Sequence[Write]) -> int:
    """How many documents must be there for these writes."""
    return sum(type(write) is Update or type(write) is Replace for write in writes)


def _update(write: Update | Replace) -> dict[str, Any]:
    if type(write) is Update:
        return {"q": {"_id": write.id}, "u": {"$set": write.changes}}
    assert isinstance(write, Replace)
    return {"q": {"_id": write.document["_id"]}, "u": write.document}
