"""The database's side: documents in versions, snapshot transactions, write conflicts, unique indexes, lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from pymongo import IndexModel

from datastores.mongo import Delete, Document, Filter, Insert, Replace, Update, Write

from .faults import conflict, duplicate, no_such_transaction
from .queries import changed, matches

START: Final = datetime(2026, 1, 1)
LIFETIME_S: Final = 2.0
SURPRISE: Final = 0.1
Key = tuple[str, str]
Claim = tuple[str, str, tuple[Any, ...]]
Changes = Mapping[Key, Document | None]


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique index: its fields, and which documents are in it."""

    name: str
    fields: tuple[str, ...]
    partial: Filter

    def values(self, document: Document | None) -> tuple[Any, ...] | None:
        """What the document has in the index, or None where it is not in it."""
        if document is None or not matches(document, self.partial):
            return None
        return tuple(document.get(name) for name in self.fields)


@dataclass(eq=False, slots=True)
class Transaction:
    """What one transaction has seen and will write; `snapshot` is taken by its first command."""

    started_s: float
    snapshot: int | None = None
    state: str = "open"
    writes: dict[Key, Document | None] = field(default_factory=dict)
    claims: set[Claim] = field(default_factory=set)


class Storage:
    """What is committed, in every version, and who is writing what. `on_commit` is told each commit's changes."""

    def __init__(
        self,
        indexes: Mapping[str, Sequence[IndexModel]],
        random: Random,
        clock: Callable[[], float],
        on_commit: Callable[[Changes], None] = lambda _changes: None,
    ) -> None:
        self.indexes = {collection: _uniques(models) for collection, models in indexes.items()}
        self._random = random
        self._clock = clock
        self._on_commit = on_commit
        self._stamp = 0
        self._versions: dict[str, dict[str, list[tuple[int, Document | None]]]] = {name: {} for name in indexes}
        self._writers: dict[Key, Transaction] = {}
        self._claims: dict[Claim, Transaction] = {}
        self._unique: dict[Claim, str] = {}

    @property
    def stamp(self) -> int:
        """The number of the newest commit."""
        return self._stamp

    @property
    def now(self) -> datetime:
        """The server's own time."""
        return START + timedelta(milliseconds=int(self._clock() * 1_000))

    def seen_since(self, collection: str, id: str, stamp: int) -> list[Document | None]:
        """The document as it stood after this commit, and in each version since then."""
        versions = self._versions[collection].get(id, [])
        before = [document for at, document in versions if at <= stamp]
        return [before[-1] if before else None, *(document for at, document in versions if at > stamp)]

    def plant(self, collection: str, *documents: Document) -> None:
        """Write what is there before anything happens, in a commit of its own."""
        self.insert(collection, documents)

    def begin(self) -> Transaction:
        """A new transaction, which the server ends by itself after 2 seconds."""
        return Transaction(self._clock())

    def committed(self, collection: str) -> dict[str, Document]:
        """The newest committed documents by id."""
        newest = ((id, versions[-1][1]) for id, versions in self._versions[collection].items())
        return {id: document for id, document in newest if document is not None}

    def get(self, collection: str, id: str) -> Document | None:
        """The newest committed document with this id, or None."""
        return self._newest((collection, id))

    def find(self, collection: str, filter: Filter, transaction: Transaction | None) -> list[Document]:
        """The documents that match, as the transaction sees them."""
        if transaction is not None:
            self._check_open(transaction)
        ids = filter.get("_id")
        if isinstance(ids, str):
            wanted: Iterable[str] = [ids]
        else:
            wanted = ids["$in"] if isinstance(ids, Mapping) and "$in" in ids else self._ids(collection, transaction)
        seen = (self._visible((collection, id), transaction) for id in dict.fromkeys(wanted))
        return [document for document in seen if document is not None and matches(document, filter, self.now)]

    def write(self, collection: str, writes: Sequence[Write], transaction: Transaction) -> int:
        """How many existing documents matched; raises the driver's errors, and then the transaction is over."""
        self._check_open(transaction)
        matched = 0
        try:
            for write in writes:
                matched += self._write(collection, write, transaction)
        except Exception:
            self.abort(transaction)
            raise
        return matched

    def change(
        self, collection: str, filter: Filter, update: Filter | Sequence[Filter], *, upsert: bool, many: bool = False
    ) -> list[tuple[Document | None, Document]]:
        """What an update outside of transactions found, and what it made of that; raises a write conflict."""
        found: list[Document | None] = [*self.find(collection, filter, None)]
        if not found and upsert:
            found = [None]
        made = [(before, changed(before, filter, update, self.now)) for before in (found if many else found[:1])]
        self._at_once(collection, {after["_id"]: after for before, after in made if before != after})
        return made

    def insert(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert outside of transactions; raises the driver's errors."""
        transaction = self.begin()
        self.write(collection, [Insert(document) for document in documents], transaction)
        self.commit(transaction)

    def delete(self, collection: str, filter: Filter, *, many: bool) -> int:
        """How many were deleted outside of transactions; raises a write conflict."""
        found = [document["_id"] for document in self.find(collection, filter, None)]
        self._at_once(collection, dict.fromkeys(found if many else found[:1]))
        return len(found if many else found[:1])

    def _at_once(self, collection: str, documents: Mapping[str, Document | None]) -> None:
        if documents:
            transaction = self.begin()
            self._check_open(transaction)
            try:
                for id, document in documents.items():
                    self._put((collection, id), document, transaction)
            except Exception:
                self.abort(transaction)
                raise
            self.commit(transaction)

    def commit(self, transaction: Transaction) -> None:
        """Make its writes visible; doing so again is the same answer."""
        if transaction.state == "committed":
            return
        self._check_open(transaction)
        self._stamp += 1
        before = {key: self._newest(key) for key in transaction.writes}
        self._index(before, transaction.writes)
        for (collection, id), document in transaction.writes.items():
            self._versions[collection].setdefault(id, []).append((self._stamp, document))
        self._end(transaction, "committed")
        self._on_commit(transaction.writes)

    def abort(self, transaction: Transaction) -> None:
        """Forget its writes, unless it is over already."""
        if transaction.state == "open":
            self._end(transaction, "aborted")

    def _index(self, before: Changes, after: Changes) -> None:
        for change, put in ((before, False), (after, True)):
            for (collection, id), document in change.items():
                for unique in self.indexes[collection]:
                    if (values := unique.values(document)) is None:
                        continue
                    if put:
                        self._unique[collection, unique.name, values] = id
                    else:
                        self._unique.pop((collection, unique.name, values), None)

    def _write(self, collection: str, write: Write, transaction: Transaction) -> int:
        if isinstance(write, Insert):
            document = dict(write.document)
            key = (collection, document["_id"])
            if self._visible(key, transaction) is not None:
                raise duplicate("_id_", key[1])
            self._claim(collection, "_id_", (key[1],), transaction, exists=self._newest(key) is not None)
            self._put(key, document, transaction)
            return 0
        key = (collection, write.document["_id"] if isinstance(write, Replace) else write.id)
        current = self._visible(key, transaction)
        if current is None:
            return 0
        match write:
            case Update():
                self._put(key, {**current, **write.changes}, transaction)
            case Replace():
                self._put(key, dict(write.document), transaction)
            case Delete():
                self._put(key, None, transaction)
        return int(not isinstance(write, Delete))

    def _put(self, key: Key, document: Document | None, transaction: Transaction) -> None:
        collection, id = key
        writer = self._live(self._writers.get(key))
        if writer is not None and writer is not transaction:
            raise conflict(f"{id} is being written")
        versions = self._versions[collection].get(id)
        if versions is not None and versions[-1][0] > (transaction.snapshot or 0):
            raise conflict(f"{id} was written")
        for unique in self.indexes[collection]:
            if (values := unique.values(document)) is not None:
                self._claim_unique((collection, unique.name, values), id, transaction)
        self._writers[key] = transaction
        transaction.writes[key] = document

    def _claim_unique(self, claim: Claim, id: str, transaction: Transaction) -> None:
        collection, index, values = claim
        other = self._unique.get(claim)
        if other is None or other == id or (collection, other) in transaction.writes:
            self._claim(collection, index, values, transaction, exists=False)
        elif self._versions[collection][other][-1][0] <= (transaction.snapshot or 0):
            raise duplicate(index, values)
        else:
            self._claim(collection, index, values, transaction, exists=True)

    def _claim(
        self, collection: str, index: str, values: tuple[Any, ...], transaction: Transaction, *, exists: bool
    ) -> None:
        claim = (collection, index, values)
        holder = self._live(self._claims.get(claim))
        if holder is not None and holder is not transaction:
            raise conflict(f"{index} {values} is being written")
        if holder is transaction and index == "_id_":
            raise duplicate(index, values)
        if exists:
            # Of what was committed after the snapshot a server says that it conflicts; the loop must bear either.
            raise duplicate(index, values) if self._random.random() < SURPRISE else conflict(f"{index} {values}")
        self._claims[claim] = transaction
        transaction.claims.add(claim)

    def _check_open(self, transaction: Transaction) -> None:
        if self._live(transaction) is None:
            raise no_such_transaction()
        if transaction.snapshot is None:
            transaction.snapshot = self._stamp

    def _live(self, transaction: Transaction | None) -> Transaction | None:
        if transaction is not None and transaction.state == "open":
            if self._clock() - transaction.started_s <= LIFETIME_S:
                return transaction
            self._end(transaction, "aborted")
        return None

    def _end(self, transaction: Transaction, state: str) -> None:
        transaction.state = state
        for key in transaction.writes:
            if self._writers.get(key) is transaction:
                del self._writers[key]
        for claim in transaction.claims:
            if self._claims.get(claim) is transaction:
                del self._claims[claim]

    def _newest(self, key: Key) -> Document | None:
        versions = self._versions[key[0]].get(key[1])
        return versions[-1][1] if versions else None

    def _visible(self, key: Key, transaction: Transaction | None) -> Document | None:
        if transaction is None:
            return self._newest(key)
        if key in transaction.writes:
            return transaction.writes[key]
        versions = self._versions[key[0]].get(key[1], ())
        seen = [document for stamp, document in versions if stamp <= (transaction.snapshot or 0)]
        return seen[-1] if seen else None

    def _ids(self, collection: str, transaction: Transaction | None) -> Iterator[str]:
        yield from list(self._versions[collection])
        if transaction is not None:
            yield from [id for name, id in transaction.writes if name == collection]


def _uniques(models: Sequence[IndexModel]) -> list[Unique]:
    documents = [model.document for model in models if model.document.get("unique")]
    return [Unique(d["name"], tuple(d["key"]), d.get("partialFilterExpression", {})) for d in documents]
