"""The metrics of all workers behind one socket: whichever of them is asked asks the others, by sockets in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from prometheus_client import Metric
from prometheus_client.registry import Collector

LABEL: Final = "worker"
# Another worker that says nothing for so long is left out, as one that is not there.
TIMEOUT_S: Final = 1.0
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024

_log = structlog.get_logger(__name__)


class Snapshot(Collector):
    """The metrics of several workers as they were a moment ago, each sample with the number of its worker."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        yield from self._families


class Siblings:
    """This worker's number, from 0, among those that keep a socket in `folder`; numbers are given again."""

    def __init__(self, folder: Path, number: int, collect: Callable[[], Iterable[Metric]]) -> None:
        self._folder = folder
        self._number = number
        self._collect = collect

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer the others until the block ends."""
        place = self._place(self._number)
        place.unlink(missing_ok=True)  # that of a worker which was killed
        server = await asyncio.start_unix_server(self._answer, place)
        try:
            yield
        finally:
            server.close()
            place.unlink(missing_ok=True)

    async def together(self) -> Snapshot:
        """The metrics of all workers that answer within a second; within memory for 16 MB of each."""
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.sock"))
        others = [number for number in numbers if number != self._number]
        texts = await asyncio.gather(*map(self._ask, others))
        found = {number: text for number, text in zip(others, texts, strict=True) if text is not None}
        return await asyncio.to_thread(self._merged, found)

    def _merged(self, texts: dict[int, bytes]) -> Snapshot:
        answers: dict[int, list[Any]] = {number: orjson.loads(text) for number, text in texts.items()}
        answers[self._number] = _written(self._collect())
        families: dict[str, Metric] = {}
        for number, answer in sorted(answers.items()):
            for name, text, kind, samples in answer:
                family = families.setdefault(name, Metric(name, text, kind))
                for sample, labels, value in samples:
                    family.add_sample(sample, {**labels, LABEL: str(number)}, value)
        return Snapshot(families.values())

    async def _ask(self, number: int) -> bytes | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._place(number), limit=MAX_ANSWER_BYTES)
                try:
                    answer = await reader.readuntil(b"\n")
                finally:
                    writer.close()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            _log.warning("worker_without_metrics", worker=number, error=type(error).__name__)
            return None
        return answer

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(await asyncio.to_thread(lambda: orjson.dumps(_written(self._collect())) + b"\n"))
            await writer.drain()
        writer.close()

    def _place(self, number: int) -> Path:
        return self._folder / f"{number}.sock"


def _written(families: Iterable[Metric]) -> list[Any]:
    return [
        [family.name, family.documentation, family.type, [[s.name, s.labels, s.value] for s in family.samples]]
        for family in families
    ]
