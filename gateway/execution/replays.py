"""A run taken up by graphql-core: what the run's calls answered is put in place of calling again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import MiddlewareManager
from graphql.pyutils import is_awaitable

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
            if found is MISSING:
                return field_resolver(source, info, **arguments)
            if isinstance(found, Exception):
                raise found
            # A call's answer is no call: graphql-core would wait for it.
            return _as_answer(found) if is_awaitable(found) else found

        return resolve


async def _as_answer(value: Any) -> Any:
    return value
