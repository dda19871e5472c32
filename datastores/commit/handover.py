"""Handing over: acts given to another process of this machine that has the turn, so that both share its batches.

Processes find one another by the lease of a turn, which names a socket. The socket lies in a folder that only this user
may enter, and each side asks the system who is at the other end. What is sent is pickled, each value by its fields'
names, and what is received may name nothing but acts, outcomes and errors of the datastores: processes of two versions
either understand each other or do not hand over. Nothing rests on it: an act that is not answered is committed
where it came from, and finds out there whether it happened.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from datastores.errors import ExpectedError

from .work import Act

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
MAX_CONNECTIONS: Final = 64
ANSWER_TIMEOUT_S: Final = 3.0
CONNECT_TIMEOUT_S: Final = 1.0
GATHER_S: Final = 0.01
SHARED_S: Final = 0.25
_RECENT_S: Final = 0.05
_PARAMETERS: Final = "__dataclass_params__"
_LENGTH: Final = struct.Struct("!I")
_SAFE: Final = frozenset(
    {
        ("datetime", "datetime"),
        ("datetime", "timedelta"),
        ("decimal", "Decimal"),
        ("bson.int64", "Int64"),
        ("builtins", "frozenset"),
        ("builtins", "set"),
    }
)

Acts = Sequence[tuple[Act[Any], int]]
TakeOver = Callable[[str, Acts], Sequence[asyncio.Future[Any]]]


class NotHandedOverError(Exception):
    """The other process did not answer: whether it did anything is not known."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The ExpectedError that an act ended with."""

    error: ExpectedError


@dataclass(frozen=True, slots=True)
class Answer:
    """For each act its outcome, `Refused` or `Unanswered`; and whether the batches were shared with anybody."""

    outcomes: list[Any]
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An act for which the other process has no outcome: its sender commits it."""


@dataclass(slots=True, eq=False)
class _Guest:
    """A process that hands its acts over to this one: how many have no outcome yet, and when the last got one."""

    writer: asyncio.StreamWriter
    under_way: int = 0
    decided_at: float = float("-inf")


@dataclass(slots=True)
class _Host:
    """A process that takes acts over from this one."""

    writer: asyncio.StreamWriter
    answers: dict[int, asyncio.Future[Answer]] = field(default_factory=dict)


class Handover:
    """The way between the commit loops of this machine's processes; `async with` opens it.

    `take_over` puts a batch into the loop of that name, and returns what will be the outcomes.
    """

    def __init__(self, take_over: TakeOver, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._take_over = take_over
        self._clock = clock
        self._own_at = float("-inf")
        self._folder: Path | None = None
        self._server: asyncio.Server | None = None
        self._guests: set[_Guest] = set()
        self._hosts: dict[str, _Host] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._sent = 0

    @property
    def address(self) -> str | None:
        """Where other processes of this machine reach this one; None while closed, or where no such sockets exist."""
        return None if self._folder is None else str(self._folder / "acts")

    async def __aenter__(self) -> Handover:
        if not hasattr(socket, "AF_UNIX"):
            return self
        folder = Path(tempfile.mkdtemp(prefix="agora-"))
        try:
            self._server = await asyncio.start_unix_server(self._welcome, str(folder / "acts"))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            return self
        self._folder = folder
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for host in self._hosts.values():
            host.writer.close()
        for guest in self._guests:
            guest.writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def reaches(self, address: str | None) -> bool:
        """Whether another process of this machine is at the address."""
        if address is None or self.address is None or address == self.address:
            return False
        try:
            return os.stat(address).st_uid == os.getuid()
        except OSError:
            return False

    def note_own(self) -> None:
        """This process has an act of its own."""
        self._own_at = self._clock()

    async def hand_over(self, address: str, name: str, batch: Acts) -> Answer:
        """The answer of the loop of this name in the process at `address`.

        Raises NotHandedOverError, at the latest after 3 s: who hangs must not hold others up for longer than the dead.
        """
        try:
            host = self._hosts.get(address) or await self._connect(address)
            self._sent += 1
            number = self._sent
            frame = _dumps((number, name, list(batch)))
            answer = host.answers[number] = asyncio.get_running_loop().create_future()
            try:
                host.writer.write(_framed(frame))
                await host.writer.drain()
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    given: Answer = await answer
                    return given
            finally:
                answer.cancel()
                host.answers.pop(number, None)
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError, pickle.PicklingError) as error:
            raise NotHandedOverError(str(error)) from error

    async def gather_guests(self) -> None:
        """Wait, at most 10 ms, for those who were just answered: they ask again at once, and one batch takes all."""
        ends = self._clock() + GATHER_S
        while (left := ends - self._clock()) > 0 and any(self._is_expected(guest) for guest in self._guests):
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._arrived.wait()

    @property
    def has_guests(self) -> bool:
        """Whether others have handed acts over a moment ago."""
        now = self._clock()
        return any(guest.under_way or now - guest.decided_at < _RECENT_S for guest in self._guests)

    def _is_shared(self, guest: _Guest) -> bool:
        """Whether anybody but this guest has had acts a moment ago."""
        now = self._clock()
        others = (other for other in self._guests if other is not guest)
        busy = any(other.under_way or now - other.decided_at < SHARED_S for other in others)
        return busy or now - self._own_at < SHARED_S

    def _is_expected(self, guest: _Guest) -> bool:
        return guest.under_way == 0 and self._clock() - guest.decided_at < _RECENT_S

    async def _connect(self, address: str) -> _Host:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(address)
        if not _is_own_user(writer):
            writer.close()
            raise ConnectionRefusedError("another user is at this address")
        host = self._hosts[address] = _Host(writer)
        self._start(self._read_answers(address, host, reader))
        return host

    async def _read_answers(self, address: str, host: _Host, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, outcomes, is_shared = _loads(await _receive(reader))
                answer = host.answers.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(Answer(outcomes, is_shared))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            pass
        finally:
            self._hosts.pop(address, None)
            host.writer.close()
            for answer in host.answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the other process has gone"))

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._guests) >= MAX_CONNECTIONS or not _is_own_user(writer):
            writer.close()
            return
        guest = _Guest(writer)
        self._guests.add(guest)
        try:
            while True:
                number, name, batch = _loads(await _receive(reader))
                self._accept(guest, number, name, batch)
        except (OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError):
            pass
        finally:
            self._guests.discard(guest)
            writer.close()

    def _accept(self, guest: _Guest, number: int, name: str, batch: Acts) -> None:
        """Take these acts over, and answer once all have an outcome; at once where too many wait already."""
        self._arrived.set()
        try:
            taken = self._take_over(name, batch)
        except ExpectedError:
            taken = ()
        guest.under_way += len(taken)
        left = len(taken)

        def decided(_: asyncio.Future[Any]) -> None:
            # As soon as it is known, and not when it has been sent: by then the next batch would be on its way.
            nonlocal left
            left -= 1
            guest.under_way -= 1
            guest.decided_at = self._clock()
            if not left:
                self._answer(guest, number, [_told(each) for each in taken])

        for future in taken:
            future.add_done_callback(decided)
        if not taken:
            self._answer(guest, number, [Unanswered()] * len(batch))

    def _answer(self, guest: _Guest, number: int, outcomes: list[Any]) -> None:
        is_shared = self._is_shared(guest)
        try:
            frame = _framed(_dumps((number, outcomes, is_shared)))
        except (ValueError, TypeError, AttributeError, pickle.PicklingError):
            frame = _framed(_dumps((number, [Unanswered()] * len(outcomes), is_shared)))
        if not guest.writer.is_closing():
            # It waits for this before it hands over more, so that no more than this can wait to be sent.
            guest.writer.write(frame)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def made(of: type, names: tuple[str, ...], *values: Any) -> Any:
    """The frozen dataclass with these values, which must be all its fields and no others; for frames alone."""
    if not _is_value(of) or (names != _names(of) and {*names} != {*_names(of)}):
        raise pickle.UnpicklingError(f"{of.__qualname__} has other fields here")
    value: Any = object.__new__(of)
    put = object.__setattr__
    for name, each in zip(names, values, strict=True):
        put(value, name, each)
    return value


class _Reducers(dict[type, Callable[[Any], tuple[Any, ...]]]):
    """How frozen dataclasses are written: by the names of their fields, since by places versions would mix them up."""

    def __missing__(self, kind: type) -> Callable[[Any], tuple[Any, ...]]:
        if not _is_value(kind):
            raise KeyError(kind)
        names = _names(kind)

        def reduced(value: Any) -> tuple[Any, ...]:
            return made, (kind, names, *[getattr(value, name) for name in names])

        self[kind] = reduced
        return reduced


class _Pickler(pickle.Pickler):
    """Writes what `_Unpickler` reads."""

    dispatch_table = _Reducers()


class _Unpickler(pickle.Unpickler):
    """Reads what names only values: frozen dataclasses, enumerations and errors of datastores, and plain types."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _SAFE:
            return super().find_class(module, name)
        if (module, name) == (made.__module__, made.__qualname__):
            return made
        if module.startswith("datastores."):
            found = super().find_class(module, name)
            if isinstance(found, type) and (_is_value(found) or issubclass(found, Enum | ExpectedError)):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not for handing over")


def _is_value(found: type) -> bool:
    parameters = getattr(found, _PARAMETERS, None)
    return parameters is not None and bool(parameters.frozen)


@cache
def _names(of: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(of))


def _told(decided: asyncio.Future[Any]) -> Any:
    if decided.cancelled():
        return Unanswered()
    if (error := decided.exception()) is None:
        return decided.result()
    return Refused(error) if isinstance(error, ExpectedError) else Unanswered()


def _dumps(value: Any) -> bytes:
    frame = io.BytesIO()
    _Pickler(frame, protocol=5).dump(value)
    return frame.getvalue()


def _loads(frame: bytes) -> Any:
    """What is in a frame; UnpicklingError whatever is wrong with it."""
    try:
        return _Unpickler(io.BytesIO(frame)).load()
    except Exception as error:
        raise pickle.UnpicklingError(f"not a frame: {error!r}") from error


def _framed(value: bytes) -> bytes:
    if len(value) > MAX_FRAME_BYTES:
        raise ValueError(f"{len(value)} bytes are too many to hand over")
    return _LENGTH.pack(len(value)) + value


async def _receive(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"{length} bytes are too many to take over")
    return await reader.readexactly(length)


def _is_own_user(writer: asyncio.StreamWriter) -> bool:
    """Whether the process at the other end belongs to this user; the folder says so where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())
