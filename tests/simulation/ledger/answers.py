"""Answers: what clients were told of their keys, and whether it stays so for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from datastores.errors import IdempotencyKeyReusedError, UnavailableError
from datastores.ledger import Outcome
from datastores.mongo import Document
from tests.simulation.quarters import Asked, Problems
from tests.simulation.storage import Storage

Request = tuple[str, str, str]


class Keyed(Protocol):
    """A wish under a key of its caller."""

    @property
    def caller(self) -> str:
        """Who asks."""
        ...

    @property
    def key(self) -> str:
        """The key that they made and kept."""
        ...

    @property
    def request_hash(self) -> str:
        """What tells this input from others under its key."""
        ...

    @property
    def entry_id(self) -> str:
        """The entry that answers its key."""
        ...


@dataclass
class Answers:
    """What clients were told. A key has one answer for ever, and each entry is new to one of them only."""

    problems: Problems
    storage: Storage
    told: dict[tuple[str, str], tuple[str, Document]] = field(default_factory=dict)
    refused_as_reused: set[Request] = field(default_factory=set)
    last_seq: int = 0
    _new: set[str] = field(default_factory=set)

    def take(self, wish: Keyed, outcome: Outcome, asked: Asked) -> str:
        """An outcome arrived; what it says, in short."""
        entry: Document = {**outcome.entry}
        key, hash = (wish.caller, wish.key), wish.request_hash
        earlier = self.told.setdefault(key, (hash, entry))
        if earlier[0] != hash:
            self.problems.append(f"one key, two inputs, both answered: {wish}")
        elif earlier[1] != entry:
            self.problems.append(f"one key, two outcomes: {wish}: {short(earlier[1])}, then {short(entry)}")
        if not outcome.replayed and entry["_id"] in self._new:
            self.problems.append(f"said to be new twice: {wish}")
        if not outcome.replayed:
            self._new.add(entry["_id"])
            if self._stored(wish, asked) is not None:
                self.problems.append(f"had an outcome, and got a new one: {wish}")
        self.last_seq = max(self.last_seq, entry["seq"])
        return f"{entry['seq']} {entry['state']} {outcome.replayed}"

    def refused(self, wish: Keyed, error: Exception, asked: Asked) -> bool:
        """An error arrived; whether it says that the key was used for another input."""
        stored = self._stored(wish, asked)
        is_reused = stored is not None and stored["request_hash"] != wish.request_hash
        if stored is not None and is_reused != isinstance(error, IdempotencyKeyReusedError):
            self.problems.append(f"had an outcome, and ended with {type(error).__name__}: {wish}")
        if not isinstance(error, IdempotencyKeyReusedError):
            return False
        self.refused_as_reused.add((wish.caller, wish.key, wish.request_hash))
        return True

    def unanswered(self, wish: Keyed, error: Exception, alone: bool) -> None:
        """An error arrived that does not say what happened, except where it says that nothing was written."""
        stored = self.storage.get("entries", wish.entry_id)
        is_there = stored is not None and stored["request_hash"] == wish.request_hash
        if isinstance(error, UnavailableError) and alone and is_there:
            self.problems.append(f"said that nothing was written, and it was: {wish}")

    def check(self, journal: Iterable[Document]) -> None:
        """Everything that somebody was told stands in the journal, once, as it was told."""
        by_key: dict[tuple[str, str], list[Document]] = {}
        for entry in journal:
            by_key.setdefault((entry["caller"], entry["key"]), []).append(entry)
        for key, entries in by_key.items():
            if len(entries) > 1:
                self.problems.append(f"{key} applied {len(entries)} times")
        for key, (_, entry) in self.told.items():
            if entry not in by_key.get(key, []):
                self.problems.append(f"acknowledged and not there: {key} {short(entry)}")
        for caller, name, hash in self.refused_as_reused:
            if any(entry["request_hash"] == hash for entry in by_key.get((caller, name), [])):
                self.problems.append(f"called another input, and it was not: {caller} {name}")

    def _stored(self, wish: Keyed, asked: Asked) -> Document | None:
        return self.storage.seen_since("entries", wish.entry_id, asked.stamp)[0]


def request_of(document: Mapping[str, Any]) -> Request:
    """What tells an entry's, or a command's, request from all others."""
    return document["caller"], document["key"], document["request_hash"]


def short(entry: Mapping[str, Any]) -> str:
    """An entry in a few words."""
    return f"entry {entry['seq']} ({entry['kind']} {entry['state']} {entry['code'] or ''} {entry['amount']})"
