"""Sessions: a transaction under way, whose commands go over `wire` in the name of a session of the driver's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from pymongo import ReadPreference
from pymongo.client_session_shared import _TxnState
from pymongo.errors import AutoReconnect, DocumentTooLarge, PyMongoError

from .types import Document
from .wire import Wire

_ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class _Served:
    """What the driver's session asks of the connection that it is used on."""

    logical_session_timeout_minutes: int | None
    supports_sessions: bool = True


class Session:
    """A transaction under way; made by `Database.transaction` only.

    The driver's session has its id, its number and its state. Commands of it go over `wire` where they can, without a
    thread; whatever goes wrong with the commit is for the driver, which knows when to send it again and what to say.
    `raw` is what the driver's own calls take, `driver_session` what they take it for.
    """

    def __init__(self, raw: Any, driver_session: Any, wire: Wire) -> None:
        self.raw = raw
        self._driver_session = driver_session
        self._wire = wire

    async def command(self, command: Document) -> Document:
        """The answer to a command of the transaction; raises the driver's errors with the labels that it gives them."""
        numbered, state = self._numbered(command), self._driver_session._transaction
        is_first = self._driver_session._starting_transaction
        if is_first:
            state.set_in_progress()
        try:
            return await self._wire.command(numbered)
        except DocumentTooLarge:
            if is_first:
                # It was not sent: what comes in its place begins the transaction.
                state.state = _TxnState.STARTING
            raise
        except AutoReconnect as error:
            # Nothing of it counts without a commit, so all of it may be tried again.
            error._add_error_label("TransientTransactionError")
            raise

    async def read(self, command: Document) -> list[Document]:
        """All that a `find` finds in this transaction."""
        cursor = (await self.command(command))["cursor"]
        found = cast(list[Document], cursor["firstBatch"])
        while cursor["id"]:
            # A message holds no more.
            cursor = (await self.command({"getMore": cursor["id"], "collection": command["find"]}))["cursor"]
            found += cursor["nextBatch"]
        return found

    async def commit(self) -> None:
        """Commit; raises the driver's error with its labels. May be called again after an unknown result."""
        if self._driver_session._transaction.state != _TxnState.IN_PROGRESS or not await self._commit_at_once():
            await self.raw.commit_transaction()

    async def _commit_at_once(self) -> bool:
        """Whether the commit is confirmed; if not, it may or may not have happened, and can be sent again."""
        options = self._driver_session._transaction.opts
        commit = {
            "commitTransaction": 1,
            "maxTimeMS": options.max_commit_time_ms,
            "writeConcern": options.write_concern.document,
        }
        try:
            answer = await self._wire.command(self._numbered(commit), database=_ADMIN)
        except PyMongoError:
            return False
        if "writeConcernError" in answer:
            return False
        self._driver_session._transaction.state = _TxnState.COMMITTED
        return True

    async def abort(self) -> None:
        """Abort if still open; an error is of no consequence, since the server ends what nobody commits."""
        if self.raw.in_transaction:
            try:
                await self.raw.abort_transaction()
            except PyMongoError:
                return

    def _numbered(self, command: Document) -> Document:
        """The command with the session's id, the transaction's number, and its beginning where it is the first."""
        numbered, served = dict(command), _Served(self._wire.session_timeout_minutes)
        self._driver_session._apply_to(numbered, False, ReadPreference.PRIMARY, served)
        return numbered
