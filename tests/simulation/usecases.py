"""Use cases: the real resolvers in one process, and what clients were told of their keys."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final, Protocol, TypeVar

from pymongo.errors import PyMongoError

from datastores import ledger
from datastores.accounts import USERS, UserDocument, user_document
from datastores.commit import Act
from datastores.errors import (
    ExpectedError,
    IdempotencyKeyReusedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from datastores.ledger import Command, EntryState, TransferState
from datastores.ledger.accounts import ACCOUNTS, AccountKind, new_account
from datastores.mongo import Document
from resolvers.context import ANONYMOUS, Context, Viewer

from .faults import InjectedError
from .ledger.answers import Request
from .ledger.quarter import LedgerQuarter
from .processes import Process
from .quarters import Asked, Problems
from .shapes import Shape
from .storage import START, Storage

T = TypeVar("T")
OnAct = Callable[[Act[Any]], None]
CURRENCIES: Final = ("EUR", "JPY")
NAMES: Final = ("eve", "fay", "gus")


@dataclass(frozen=True, slots=True)
class _Loop:
    process: Process
    name: str
    on_act: OnAct

    async def submit(self, act: Act[Any], **options: Any) -> Any:
        """As `CommitLoop.submit`."""
        self.on_act(act)
        return await self.process.loop(self.name).submit(act, **options)


@dataclass(frozen=True, slots=True)
class _Loops:
    process: Process
    on_act: OnAct

    def __getitem__(self, name: str) -> _Loop:
        return _Loop(self.process, name, self.on_act)


def context(process: Process, on_act: OnAct, user_id: str | None = None) -> Context:
    """What a resolver gets in this process; `on_act` is told of each act before a loop has it."""
    commits: Any = _Loops(process, on_act)
    hub: Any = None
    viewer = Viewer("person", user_id) if user_id else ANONYMOUS
    return Context(process.database, commits, hub, viewer, process.now, process.keys)


async def carried_out(use_case: Coroutine[Any, Any, T]) -> T:
    """What a use case gives; InjectedError for an error of the database, which a gateway masks."""
    try:
        return await use_case
    except PyMongoError as error:
        raise InjectedError(f"masked: {error}", 8) from error


@dataclass(frozen=True)
class Residents:
    """People with profiles and a wallet each in euros, as they are before anybody asks."""

    users: tuple[UserDocument, ...]

    @classmethod
    def some(cls) -> Residents:
        """Three of them."""
        made = (
            user_document(
                handle=name,
                display_name=f"{name} the resident",
                bio=f"what {name} does",
                created_at=START,
                random_bits=n,
            )
            for n, name in enumerate(NAMES)
        )
        return cls(tuple(made))

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [user["_id"] for user in self.users]

    def plant(self, storage: Storage) -> None:
        """Write them."""
        storage.plant(USERS, *({**user} for user in self.users))
        wallets = [new_account(ledger.wallet_id(id, "EUR"), AccountKind.WALLET, "EUR", START, id) for id in self.ids]
        storage.plant(ACCOUNTS, *({**wallet} for wallet in wallets))

    def name(self, user_id: str) -> str:
        """A short name for people who read."""
        return next((user["handle"] for user in self.users if user["_id"] == user_id), user_id)


def requested(command: Command) -> Request:
    """What tells a command from all others."""
    return command.caller, command.key, command.request_hash


class Mutation(Protocol):
    """A wish that is a mutation of `caller` under a key."""

    @property
    def caller(self) -> str:
        """Who asks."""
        ...

    @property
    def key(self) -> str:
        """The key that they made and kept."""
        ...

    @property
    def input(self) -> tuple[Any, ...]:
        """What tells this input from others under its key."""
        ...


@dataclass
class Told:
    """What clients were told of mutations: a key has one entry and one end for ever, and is new once."""

    problems: Problems
    storage: Storage
    money: LedgerQuarter
    _inputs: dict[Request, tuple[Any, ...]] = field(default_factory=dict)
    _ends: dict[tuple[str, str], str] = field(default_factory=dict)
    _new: set[str] = field(default_factory=set)

    def submitted(self, wish: Mutation, command: Command) -> None:
        """The command of this wish goes to a loop."""
        self._inputs[requested(command)] = wish.input

    def take(self, wish: Mutation, outcome: Document) -> str:
        """A mutation answered with a transfer; what it says, in short."""
        transfer, entry = outcome["transfer"], self._entry(wish)
        state = str(transfer["state"])
        if entry is None or transfer["entry_id"] != entry["_id"]:
            self.problems.append(f"acknowledged and not there: {wish}")
        elif not self._is_same(wish, entry):
            self.problems.append(f"one key, two inputs, both answered: {wish}")
        if not outcome["replayed"] and transfer["_id"] in self._new:
            self.problems.append(f"said to be new twice: {wish}")
        if not outcome["replayed"]:
            self._new.add(transfer["_id"])
        if state != TransferState.PENDING:
            self._ended(wish, TransferState.POSTED if state == TransferState.REFUNDED else state)
        self.money.answers.last_seq = max(self.money.answers.last_seq, transfer["seq"])
        return f"{transfer['seq']} {state} {outcome['replayed']}"

    def refused(self, wish: Mutation, error: Exception, asked: Asked) -> bool:
        """A mutation ended with an error; whether its key says that it may have."""
        entry = self._entry(wish)
        if isinstance(error, NotFoundError):
            if self.storage.seen_since("entries", entry_id(wish.caller, wish.key), asked.stamp)[0] is not None:
                self.problems.append(f"had an outcome, and ended with {type(error).__name__}: {wish}")
            return False
        if isinstance(error, UnauthenticatedError):
            return self.is_leaving(wish.caller)
        if entry is None or not isinstance(error, ExpectedError):
            return False
        if isinstance(error, IdempotencyKeyReusedError) or not self._is_same(wish, entry):
            return isinstance(error, IdempotencyKeyReusedError) and not self._is_same(wish, entry)
        if entry["state"] == EntryState.REFUSED:
            self._ended(wish, f"REFUSED {error.code}")
            return bool(entry["code"] == error.code)
        record = self.storage.get("transfers", ledger.sibling_id(entry["_id"], "trf")) or {}
        self._ended(wish, f"VOIDED {error.code}")
        return bool(record.get("state") == TransferState.VOIDED and record.get("code") == error.code)

    def unanswered(self, wish: Mutation, error: Exception, alone: bool) -> None:
        """A mutation ended without saying what happened, except where it says that nothing was written."""
        entry = self._entry(wish)
        if isinstance(error, UnavailableError) and alone and entry is not None and self._is_same(wish, entry):
            self.problems.append(f"said that nothing was written, and it was: {wish}")

    def check(self) -> None:
        """What somebody was told has stayed so."""
        for (caller, key), end in self._ends.items():
            entry = self.storage.get("entries", entry_id(caller, key))
            found = "nothing" if entry is None else self._state(entry)
            if found != end:
                self.problems.append(f"told that {caller} {key} is {end}, and it is {found}")

    def is_leaving(self, user_id: str) -> bool:
        """Whether the key of this person was destroyed at any time."""
        versions = self.storage.seen_since("person_keys", user_id, 0)
        return any(each is not None and each["wrapped"] is None for each in versions)

    def _ended(self, wish: Mutation, end: str) -> None:
        earlier = self._ends.setdefault((wish.caller, wish.key), end)
        if earlier != end:
            self.problems.append(f"one key, two outcomes: {wish}: {earlier}, then {end}")

    def _entry(self, wish: Mutation) -> Document | None:
        return self.storage.get("entries", entry_id(wish.caller, wish.key))

    def _is_same(self, wish: Mutation, entry: Document) -> bool:
        return self._inputs.get((entry["caller"], entry["key"], entry["request_hash"])) == wish.input

    def _state(self, entry: Document) -> str:
        if entry["state"] == EntryState.REFUSED:
            return f"REFUSED {entry['code']}"
        record = self.storage.get("transfers", ledger.sibling_id(entry["_id"], "trf")) or {}
        if record.get("state") == TransferState.VOIDED:
            return f"VOIDED {record['code']}"
        return str(record.get("state", entry["state"]))


def entry_id(caller: str, key: str) -> str:
    """The entry that answers this key."""
    return ledger.command(caller, key, "", {}).entry_id


def days_of(times: Sequence[datetime | None]) -> list[str]:
    """The UTC days of these times, each once, in order."""
    return sorted({time.date().isoformat() for time in times if time is not None})


@dataclass(eq=False)
class ResidentsQuarter:
    """What quarters of residents have in common: chance, shape and database of the town, its money, what was told."""

    _random: Random
    _shape: Shape
    _storage: Storage
    _problems: Problems
    _money: LedgerQuarter
    _residents: Residents
    _told: Told = field(init=False)

    def __post_init__(self) -> None:
        self._told = Told(self._problems, self._storage, self._money)
