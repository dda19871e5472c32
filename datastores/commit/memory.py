"""What a loop remembers between batches: documents that change only together with a new row of a log."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from datastores.mongo import Document

from .work import Read, Values, Work

MAX_DOCUMENTS: Final = 20_000


@dataclass(slots=True)
class Memory:
    """The last rows of logs, and documents that these logs guard, as this process's last commit left them.

    Another process may have gone on since. Whoever decides by memory takes the log's next number, which is unique: if
    it was taken, the database objects, all is forgotten and read. So memory saves reads and never decides anything. It
    holds at most 20,000 documents, those that were used last.
    """

    limit: int = MAX_DOCUMENTS
    _lasts: dict[Read, Document] = field(default_factory=dict)
    _documents: OrderedDict[tuple[str, str], Document] = field(default_factory=OrderedDict)

    @property
    def is_of_use(self) -> bool:
        """Whether anything can be decided by memory alone."""
        return bool(self._lasts)

    def recall(self, work: Work, read: Read) -> Read | None:
        """Give the work what is remembered of this read; what is left to be read, or None."""
        if read.last is not None:
            if (row := self._lasts.get(read)) is None:
                return read
            work.recall(read, [row])
            return None
        if read.guard is None or read.guard not in self._lasts:
            return read
        known: dict[Values, Document] = {}
        for values in read.values:
            if (document := self._documents.get((read.collection, values[0]))) is not None:
                known[values] = document
        if known:
            work.recall(Read.of(read.kind, known), known.values())
        if len(known) == len(read.values):
            return None
        return Read.of(read.kind, (values for values in read.values if values not in known))

    def keep(self, work: Work) -> None:
        """Remember what this work has committed."""
        if not work.leaned:
            # Its last rows are from the database: what is remembered may be older than they are.
            self._documents.clear()
        self._lasts |= {read: row for read, row in work.lasts().items() if row is not None}
        for key in work.changed():
            # Whoever changed it without saying what guards it must not leave an older one behind.
            self._documents.pop(key, None)
        for key, guard, document in work.guarded():
            if guard in self._lasts:
                self._documents[key] = document
                self._documents.move_to_end(key)
        while len(self._documents) > self.limit:
            self._documents.popitem(last=False)

    def forget(self) -> None:
        """Know nothing: what was not committed here may have been changed elsewhere."""
        self._lasts.clear()
        self._documents.clear()
