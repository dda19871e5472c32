"""What runs beside the requests of a process for as long as it is needed, and is cancelled then."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import ClassVar, Self

from datastores.tasks import cancelled


class Background:
    """Runs `run` as a task of the name `task_name` while it is entered: use as `async with`.

    What `run` raises is lost, so it deals with its own errors.
    """

    task_name: ClassVar[str]
    _task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """What is done meanwhile."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run(), name=self.task_name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await cancelled([self._task])
