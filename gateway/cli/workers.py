"""Several gateway processes behind one socket: started, started anew when they die, and exchanged one by one.

The supervisor opens the socket and never takes a connection from it, so nothing that waits there is lost when a worker
dies. A worker ends when its supervisor does, however that dies: its standard input ends then.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

MAX_WORKERS: Final = 64
START_TIMEOUT_S: Final = 60.0
# Beyond the time that a gateway drains for.
STOP_SLACK_S: Final = 15.0
RESTART_PAUSE_S: Final = 0.5
MAX_RESTART_PAUSE_S: Final = 15.0
# A worker that has lived so long was well: the next that dies is started anew at once.
WELL_S: Final = 30.0
READY: Final = b"ready\n"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place: the supervisor's socket, its number among the workers, and the folder where they meet."""

    descriptor: int
    number: int
    folder: Path


@dataclass(slots=True, eq=False)
class _Worker:
    """One process, the number that is its own until it ends, and whether it serves."""

    process: asyncio.subprocess.Process
    number: int
    started_at: float
    is_leaving: bool = False


@dataclass(slots=True)
class Workers:
    """Keeps `count` processes of `command` serving from `listener` until told to stop.

    They meet in `folder`, which is the supervisor's own. SIGTERM and SIGINT end it: each worker drains for `drain_s`
    and is killed some time after. SIGHUP exchanges the workers one by one, each only when its successor serves, so
    that there are never fewer.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    listener: socket.socket
    count: int
    drain_s: float
    folder: Path
    _workers: list[_Worker] = field(default_factory=list)
    _numbers: set[int] = field(default_factory=set)
    _starting: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _exchange: asyncio.Event = field(default_factory=asyncio.Event)
    _pause_s: float = 0.0

    async def run(self) -> None:
        """Serve; returns when all workers have ended after a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._exchange.set)
        try:
            await asyncio.gather(*(self._start() for _ in range(self.count)))
            await self._until_stopped()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            # None of them lets anybody in any more: whoever comes now is to hear so at once.
            self.listener.close()
            await self._stop(list(self._workers))
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until_stopped(self) -> None:
        while not self._stopping.is_set():
            waits = [asyncio.create_task(self._stopping.wait()), asyncio.create_task(self._exchange.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self._exchange.is_set() and not self._stopping.is_set():
                self._exchange.clear()
                await self._exchange_all()

    async def _exchange_all(self) -> None:
        for old in list(self._workers):
            if old not in self._workers:
                # It died meanwhile, and what was started in its place is new already.
                continue
            if self._stopping.is_set() or not await self._start():
                # The new one does not come up: those that serve go on.
                break
            await self._stop([old])
        # Whoever died beside one that was about to leave was not missed then.
        for _ in range(self._missing):
            self._keep(self._make_up())

    @property
    def _missing(self) -> int:
        serving = sum(not worker.is_leaving for worker in self._workers)
        return self.count - serving - self._starting

    async def _make_up(self) -> None:
        """Start one more where one is missing, after a pause that grows while they do not live."""
        pause_s, self._pause_s = self._pause_s, min(max(2 * self._pause_s, RESTART_PAUSE_S), MAX_RESTART_PAUSE_S)
        await asyncio.sleep(pause_s)
        if not self._stopping.is_set() and self._missing > 0:
            await self._start()

    async def _start(self) -> bool:
        """Whether a new worker serves; one that does not within 60 s is killed, and another is started in its place."""
        try:
            process = (await self._spawn()).process
        except OSError as error:
            # The machine has no room for a process now.
            _log.error("worker_not_started", error=str(error))
            self._keep(self._make_up())
            return False
        is_ready = False
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while process.stdout is not None and (line := await process.stdout.readline()):
                    if line == READY:
                        is_ready = True
                        break
        except TimeoutError:
            _log.error("worker_did_not_start", pid=process.pid)
        if not is_ready and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        return is_ready

    async def _spawn(self) -> _Worker:
        number = next(number for number in itertools.count() if number not in self._numbers)
        self._numbers.add(number)
        self._starting += 1
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                *("--socket", str(self.listener.fileno()), "--number", str(number), "--folder", str(self.folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=dict(self.environment),
                pass_fds=(self.listener.fileno(),),
                # Ctrl-C is the supervisor's to pass on.
                start_new_session=True,
            )
        except BaseException:
            self._numbers.discard(number)
            raise
        finally:
            self._starting -= 1
        worker = _Worker(process, number, asyncio.get_running_loop().time())
        self._workers.append(worker)
        self._keep(self._watch(worker))
        return worker

    async def _watch(self, worker: _Worker) -> None:
        """Start another in its place where it ends without having been told to; that one is watched in its turn."""
        status = await worker.process.wait()
        self._workers.remove(worker)
        self._numbers.discard(worker.number)
        if worker.is_leaving or self._stopping.is_set():
            return
        _log.error("worker_died", pid=worker.process.pid, status=status)
        if asyncio.get_running_loop().time() - worker.started_at >= WELL_S:
            self._pause_s = 0.0
        await self._make_up()

    async def _stop(self, workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.is_leaving = True
            if worker.process.returncode is None:
                worker.process.terminate()
        try:
            async with asyncio.timeout(self.drain_s + STOP_SLACK_S):
                await asyncio.gather(*(worker.process.wait() for worker in workers))
        except TimeoutError:
            for worker in workers:
                if worker.process.returncode is None:
                    worker.process.kill()
                    await worker.process.wait()

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def worker_command() -> list[str]:
    """How a worker is started: this very program."""
    return [sys.executable, "-m", "gateway.cli", *sys.argv[1:]]


def socket_of(descriptor: int) -> socket.socket:
    """The supervisor's socket, in a worker."""
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return listener


def tell_ready() -> None:
    """Tell the supervisor that this worker serves."""
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()


def end_with_supervisor(loop: asyncio.AbstractEventLoop) -> None:
    """Let this worker stop as on SIGTERM once its supervisor is gone."""

    def gone() -> None:
        loop.remove_reader(sys.stdin.fileno())
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sys.stdin.fileno(), lambda: gone() if not os.read(sys.stdin.fileno(), 1024) else None)
