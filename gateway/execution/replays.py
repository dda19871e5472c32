"""A run taken up by graphql-core: what the run's calls answered is put in place of calling again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from graphql import MiddlewareManager

from .runs import MISSING, Records

Resolver = Callable[..., Any]


class Replay(MiddlewareManager):
    """Middleware for graphql-core's executor: fields that were called get their recorded answers, others are called.

    So a mutation that was carried out is not carried out again, and errors are graphql-core's own.
    """

    def __init__(self, records: Records) -> None:
        super().__init__()
        self._records = records

    def get_field_resolver(self, field_resolver: Resolver) -> Resolver:
        """The resolver that looks among the records first."""
        records = self._records

        def resolve(source: Any, info: Any, **arguments: Any) -> Any:
            found = records.find(info.field_nodes[0], source)
            return field_resolver(source, info, **arguments) if found is MISSING else _soon(found)

        return resolve


def _soon(answer: Any) -> asyncio.Future[Any]:
    """The answer as a loader gives it: not at once, since graphql-core leaves siblings that have not begun behind."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    loop.call_soon(_settle, future, answer)
    return future


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
