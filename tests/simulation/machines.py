"""Machines: how the processes of one hand acts over to one another, by the real code over pipes that may break."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from typing import Any, Final

from datastores.commit.handover import Handover, TakeOver, _Host

from .faults import OF_MESSAGES, Fault, Faults

LEAST_S: Final = 1e-6


class Pipe:
    """One way between two processes: what is written arrives later, in order, or the connection breaks."""

    def __init__(self, faults: Faults) -> None:
        self.reader = asyncio.StreamReader()
        self.other_way: Pipe | None = None
        self._faults = faults
        self._next_s = 0.0
        self._closed = False

    def write(self, data: bytes) -> None:
        """Send; a fault breaks the connection before this arrives, after it, or makes it late."""
        if self._closed:
            raise ConnectionResetError("the connection is closed")
        fault = self._faults.of(OF_MESSAGES)
        if fault is Fault.ERROR_BEFORE:
            self.break_off()
            return
        self._later(fault is Fault.STALL_BEFORE, lambda: self.reader.feed_data(data))
        if fault is Fault.ERROR_AFTER:
            self.break_off()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closed

    async def drain(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Close both ways; what was sent before still arrives."""
        self.break_off()

    def break_off(self) -> None:
        """Nothing arrives any more after what was sent, on either way."""
        for pipe in (self, self.other_way):
            if pipe is not None and not pipe._closed:
                pipe._closed = True
                pipe._later(False, pipe.reader.feed_eof)

    def get_extra_info(self, _name: str) -> Pipe:
        """The socket, which is this."""
        return self

    def getsockopt(self, *_: int) -> bytes:
        """Who is at the other end: this user."""
        return struct.pack("3i", os.getpid(), os.getuid(), os.getgid())

    def _later(self, stalled: bool, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        # Never at the same moment: what is due at once has no order.
        self._next_s = max(self._next_s + LEAST_S, loop.time() + self._faults.delay_s(stalled))
        loop.call_at(self._next_s, deliver)


class SimulatedHandover(Handover):
    """The hand-over of one process; `machine` has those of all processes that it can reach, by their addresses."""

    def __init__(self, name: str, machine: dict[str, SimulatedHandover], faults: Faults, take_over: TakeOver) -> None:
        super().__init__(take_over, clock=asyncio.get_running_loop().time)
        self._name = name
        self._machine = machine
        self._faults = faults
        self._pipes: list[Pipe] = []
        machine[name] = self

    @property
    def address(self) -> str | None:
        return self._name

    def reaches(self, address: str | None) -> bool:
        return address in self._machine and address != self._name

    async def _connect(self, address: str) -> _Host:
        other = self._machine.get(address)
        await asyncio.sleep(self._faults.delay_s(stalled=False))
        if other is None or address not in self._machine:
            raise ConnectionRefusedError(address)
        there, back = Pipe(self._faults), Pipe(self._faults)
        there.other_way, back.other_way = back, there
        self._pipes.append(there)
        other._pipes.append(back)
        writer: Any = there
        host = self._hosts[address] = _Host(writer)
        self._start(self._read_answers(address, host, back.reader))
        other.welcome(there, back)
        return host

    def welcome(self, there: Pipe, back: Pipe) -> None:
        """Somebody has connected."""
        writer: Any = back
        self._start(self._welcome(there.reader, writer))

    def crash(self) -> None:
        """Be gone: whoever is connected hears of it, nobody finds the way any more, and nothing here goes on."""
        self._machine.pop(self._name, None)
        for task in self._tasks:
            task.cancel()
        for pipe in self._pipes:
            pipe.break_off()
