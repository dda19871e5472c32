"""Processes that are started, killed, stopped and asked to end, each by its own id, and none of which outlives us."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from datastores.local.launch import launch
from datastores.local.programs import HOST

START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 100.0
POLL_S: Final = 0.02


class Child:
    """One command that may be started again and again, at most once at a time; prints into a file of its folder."""

    def __init__(self, folder: Path, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = command
        self._pid_file = folder / f"{name}.pid"
        self._output = folder / f"{name}.out"
        self._process: asyncio.subprocess.Process | None = None
        self._pid = 0

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Run it; returns once it is the command itself that runs."""
        self._pid_file.unlink(missing_ok=True)
        with self._output.open("ab") as output:
            descriptor = output.fileno()
            self._process = await launch(self._command, pid_file=self._pid_file, output=descriptor, inherit=descriptor)
        async with asyncio.timeout(START_TIMEOUT_S):
            while not (self._pid_file.exists() and self._pid_file.read_text()):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        self._pid = int(self._pid_file.read_text())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.is_running:
            os.kill(self._pid, number)

    async def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def end(self) -> int:
        """Ask it to end and wait for it; its exit status. One that has not ended after 100 s is killed."""
        self.signal(signal.SIGTERM)
        try:
            return await self.ended()
        except TimeoutError:
            await self.kill()
            raise

    async def ended(self) -> int:
        """Wait until it has ended; its exit status, 0 where it was never started."""
        if self._process is None:
            return 0
        async with asyncio.timeout(END_TIMEOUT_S):
            return await self._process.wait()

    def last_words(self) -> str:
        """The end of what it printed, and its exit status, if it has one."""
        printed = self._output.read_text(errors="replace") if self._output.exists() else ""
        status = self._process.returncode if self._process is not None else None
        return printed[-2_000:] + ("" if status is None else f"\n(exit status {status})")


def python(module: str, plan: dict[str, Any]) -> list[str]:
    """The command that runs a module of ours with this plan as its one argument."""
    return [sys.executable, "-m", module, json.dumps(plan)]


def free_ports(count: int) -> list[int]:
    """So many ports of this machine that nobody listens at now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
