"""What an act reads, decides on and writes: the working set of one batch, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from datastores.mongo import Delete, Document, Insert, Replace, Update, Write

Outcome_co = TypeVar("Outcome_co", covariant=True)
Values = tuple[Any, ...]
_BY_ID: Final = ("_id",)


@dataclass(frozen=True, slots=True)
class Read:
    """Documents that an act needs: those whose `fields` have one of the `values`, each a tuple as long as `fields`.

    `expected_new` are ids that the act will insert: only once that has failed are they looked up. `last` names a
    number: of the documents with these values only the one with the highest is meant. `guard` is the last row of a log
    to which every change of these documents appends.
    """

    collection: str
    fields: tuple[str, ...]
    values: tuple[Values, ...]
    expected_new: bool = False
    last: str | None = None
    guard: Read | None = None

    def __hash__(self) -> int:
        # Of what tells reads apart, and no more: reads are keys wherever an act looks something up.
        return hash((self.collection, self.values))

    @property
    def kind(self) -> Kind:
        """What reads have in common that can be one: all but the values."""
        return self.collection, self.fields, self.last, self.guard

    @classmethod
    def of(cls, kind: Kind, values: Iterable[Values]) -> Read:
        """A read of this kind."""
        collection, fields, last, guard = kind
        return cls(collection, fields, tuple(values), last=last, guard=guard)


Kind = tuple[str, tuple[str, ...], str | None, Read | None]


def by_id(collection: str, *ids: str, guard: Read | None = None) -> Read:
    """The documents with these ids.

    With a `guard` (see `last_row`) they may be taken from memory instead of the database: nobody changes them without
    appending to that log, so a row of ours that takes the next number proves that nobody has.
    """
    return Read(collection, _BY_ID, tuple((id,) for id in ids), guard=guard)


def last_row(collection: str, number: str, **fields: Any) -> Read:
    """The row with the highest `number` of a log whose rows have these values; needs a unique index over both."""
    return Read(collection, tuple(fields), (tuple(fields.values()),), last=number)


def by_new_id(collection: str, *ids: str) -> Read:
    """The documents with these ids, which this act inserts unless an earlier try of it has.

    The first try of a batch takes them to be absent and leaves it to the unique index to object. Where an act comes to
    an outcome without inserting them, the batch is decided again with what is there.
    """
    return Read(collection, _BY_ID, tuple((id,) for id in ids), expected_new=True)


def by_fields(collection: str, **fields: Any) -> Read:
    """The documents that have all these values; needs an index that starts with these fields."""
    return Read(collection, tuple(fields), (tuple(fields.values()),))


class NotReadError(Exception):
    """An act asked its batch for a document that the batch did not read: it waits for the next batch."""


class Work:
    """What a batch has read and will write. Acts see the changes of the acts before them.

    Documents got from here must not be mutated: `update` makes a changed copy.
    `now` is one naive UTC time for the batch, in whole milliseconds. `attempt` counts from 1: past 1, an earlier try
    was rolled back or met a duplicate key, so what looked new may be there by now.
    """

    def __init__(self, now: datetime, attempt: int = 1, parent: Work | None = None) -> None:
        self.now = now
        self.attempt = attempt
        self._parent = parent
        self._documents: dict[tuple[str, str], Document | None] = {}
        self._stored: set[tuple[str, str]] = set()
        self._found: dict[tuple[str, tuple[str, ...]], dict[Values, list[str]]] = {}
        self._inserted: dict[tuple[str, str], None] = {}
        self._changes: dict[tuple[str, str], dict[str, Any]] = {}
        self._deleted: dict[tuple[str, str], None] = {}
        self._assumed: set[tuple[str, str]] = set()
        self._trusted: set[tuple[str, str]] = set()
        self._lasts: dict[Read, Document | None] = {}
        self._logs: dict[str, list[Read]] = {}
        self._guarded: dict[tuple[str, str], Read] = {}
        self._leaned: set[Read] = set()

    def get(self, collection: str, id: str) -> Document | None:
        """The document as it is now in this batch, or None where there is none."""
        key = (collection, id)
        work: Work | None = self
        while work is not None:
            # Falsy is what is absent or not known here, and no document is.
            if document := work._documents.get(key):
                return document
            if key in work._documents:
                return None
            if key in work._assumed:
                work._trusted.add(key)
                return None
            work = work._parent
        raise NotReadError(f"{collection} {id}")

    def last(self, read: Read) -> Document | None:
        """The last row of a log, those of this batch included; the act must have asked for it by this `last_row`."""
        work: Work | None = self
        while work is not None:
            if row := work._lasts.get(read):
                return row
            if read in work._lasts:
                return None
            work = work._parent
        raise NotReadError(f"{read.collection} {read.values}")

    def find(self, collection: str, **fields: Any) -> list[Document]:
        """The documents with these values, which the act must have asked for by `by_fields` with the same names."""
        names, values = tuple(fields), tuple(fields.values())
        root = self._root()
        ids = root._found.get((collection, names), {}).get(values)
        if ids is None:
            raise NotReadError(f"{collection} {fields}")
        made: list[str] = []
        work: Work | None = self
        while work is not None:
            made[:0] = [id for name, id in work._inserted if name == collection]
            work = work._parent
        documents = (self.get(collection, id) for id in dict.fromkeys([*ids, *made]))
        return [d for d in documents if d is not None and tuple(d.get(name) for name in names) == values]

    def insert(self, collection: str, document: Document) -> Document:
        """Add a new document."""
        key = (collection, document["_id"])
        self._inserted[key] = None
        self._documents[key] = document
        for log in self._root()._logs.get(collection, ()):
            if all(document[name] == value for name, value in zip(log.fields, log.values[0], strict=True)):
                self._lasts[log] = document
        return document

    def update(self, collection: str, id: str, **changes: Any) -> Document:
        """Set these keys; returns the changed document."""
        key = (collection, id)
        document = self.get(collection, id)
        if document is None:
            raise KeyError(f"{collection} {id}")
        changed = {**document, **changes}
        self._documents[key] = changed
        if key not in self._inserted:
            self._changes[key] = {**self._changes.get(key, {}), **changes}
        return changed

    def delete(self, collection: str, id: str) -> None:
        """Remove the document."""
        key = (collection, id)
        self._documents[key] = None
        self._deleted[key] = None

    def overlay(self) -> Work:
        """A copy-on-write view for one act, to be merged or thrown away."""
        return Work(self.now, self.attempt, self)

    def merge(self) -> None:
        """Put this overlay's changes into the work under it."""
        parent = self._parent
        if parent is None:
            raise ValueError("only an overlay can be merged")
        parent._documents |= self._documents
        parent._inserted |= self._inserted
        parent._deleted |= self._deleted
        parent._lasts |= self._lasts
        for key, changes in self._changes.items():
            if key not in parent._inserted:
                parent._changes[key] = {**parent._changes.get(key, {}), **changes}

    def add_read(self, read: Read, documents: Iterable[Document]) -> None:
        """Take what the database answered to `read`; changes that this batch has made already stay."""
        if read.last is not None:
            self._logs.setdefault(read.collection, []).append(read)
            self._lasts[read] = next(iter(documents), None)
            return
        if read.guard is not None:
            self._guarded |= dict.fromkeys(((read.collection, id) for (id,) in read.values), read.guard)
        found = self._found.setdefault((read.collection, read.fields), {})
        for values in read.values:
            found.setdefault(values, [])
        by_ids = read.fields == _BY_ID
        for document in documents:
            id = document["_id"]
            key = (read.collection, id)
            self._documents.setdefault(key, document)
            self._stored.add(key)
            ids = found[(id,) if by_ids else tuple(document.get(name) for name in read.fields)]
            if id not in ids:
                ids.append(id)
        if by_ids:
            for (id,) in read.values:
                self._documents.setdefault((read.collection, id), None)

    def assume_absent(self, read: Read) -> None:
        """Take the documents of this read by ids to be absent, where they were not read."""
        for (id,) in read.values:
            self._assumed.add((read.collection, id))

    def recall(self, read: Read, documents: Iterable[Document]) -> None:
        """Take these from memory as the answer to `read`: good only if what is decided appends to the guarding log."""
        self._leaned.add(read if read.last is not None else read.guard or read)
        self.add_read(read, documents)

    @property
    def leaned(self) -> bool:
        """Whether anything was taken from memory."""
        return bool(self._leaned)

    def guarded(self) -> Iterator[tuple[tuple[str, str], Read, Document]]:
        """The documents that a log guards, as they will be: collection and id, the log's last row, the document."""
        for key, guard in self._guarded.items():
            if (document := self._documents[key]) is not None:
                yield key, guard, document

    def changed(self) -> Iterable[tuple[str, str]]:
        """Collection and id of what is updated or deleted."""
        return [*self._changes, *self._deleted]

    def lasts(self) -> Mapping[Read, Document | None]:
        """The last rows of the logs that were asked for, as they will be."""
        return self._lasts

    @property
    def is_proven(self) -> bool:
        """Whether the database will object if what was not read is not so.

        All that was taken to be absent must be inserted, and not have been found by another read since; and every log
        that guards what was recalled must get a row.
        """
        if not self._stored.isdisjoint(self._trusted):
            return False
        if not all(key in self._inserted and self._documents[key] is not None for key in self._trusted):
            return False
        appended = {collection for collection, _ in self._inserted} if self._leaned else ()
        return all(log.collection in appended for log in self._leaned)

    def has_read(self, read: Read) -> Read | None:
        """What of `read` is still to be read, or None."""
        if read.last is not None:
            return None if read in self._lasts else read
        found = self._found.get((read.collection, read.fields), {})
        missing = tuple(values for values in read.values if values not in found)
        return Read.of(read.kind, missing) if missing else None

    def writes(self) -> dict[str, list[Write]]:
        """The writes to make, by collection."""
        out: dict[str, list[Write]] = {}
        for key in self._inserted:
            document = self._documents[key]
            if document is not None:
                # Acts of one batch may delete a document and insert it again: a bulk may not hold both.
                again = key in self._stored
                write: Write = Replace(document) if again else Insert(document)
                out.setdefault(key[0], []).append(write)
        for key, changes in self._changes.items():
            if key not in self._deleted:
                out.setdefault(key[0], []).append(Update(key[1], changes))
        for key in self._deleted:
            if key in self._stored and self._documents[key] is None:
                out.setdefault(key[0], []).append(Delete(key[1]))
        return out

    def _root(self) -> Work:
        work = self
        while work._parent is not None:
            work = work._parent
        return work


class Act(Protocol[Outcome_co]):
    """Something to decide and write. Pure: everything it knows comes from itself and from the `Work`.

    It may run several times, so its ids are made before it is submitted, and it looks up whether it happened already.
    """

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        """The documents it needs, in rounds: a later round may look into what earlier rounds read."""
        ...

    def decide(self, work: Work) -> Outcome_co:
        """Write to `work` and return the outcome, or raise an ExpectedError: then nothing of this act is written."""
        ...
