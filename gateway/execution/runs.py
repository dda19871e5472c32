"""One run of a compiled operation: how its calls are made, and what they answered, should it be run again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import FieldNode, FragmentDefinitionNode, GraphQLObjectType, OperationDefinitionNode
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from graphql.type.definition import GraphQLResolveInfoHelpers
from strawberry import Info
from strawberry.types.field import StrawberryField

from datastores.mongo import Document
from resolvers.context import Context
from schema.composition import Composed
from schema.composition.domains import Load
from schema.composition.fields import BatchFunction, call_batched
from schema.composition.strawberry_hooks import SelectingInfo

from .arguments import Arguments
from .loads import CommonLoads, EntityLoads
from .plan import PlannedField
from .selections import Keys

MISSING: Final = object()
_tracked: Final[set[asyncio.Future[Any]]] = set()


class ViolationError(Exception):
    """A value is not what its field promises, or a call failed: graphql-core is to say which error it is, and where."""


@dataclass(frozen=True, slots=True)
class RootCall:
    """A root field: a method that is called once."""

    planned: PlannedField
    definition: StrawberryField
    arguments: Arguments
    takes_self: bool
    source_names: tuple[str, ...]
    info_name: str | None
    keys: Mapping[str, Keys]


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A batched field: a function that is called with all parents."""

    node: FieldNode
    function: BatchFunction
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class LoadCall:
    """A reference, or a list of them: documents that are read by id."""

    node: FieldNode
    entity: type
    is_interface: bool
    load: Load | None


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """What a root method may learn of the operation, and how its references are loaded."""

    graph: Composed
    root: GraphQLObjectType
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    loads: Mapping[type, Load]


class Records:
    """What the calls of a run answered, by the node that asked and the parent that it asked for."""

    def __init__(self) -> None:
        self._kept: list[tuple[FieldNode, Sequence[Any], Callable[[], Iterable[Any]]]] = []
        self._found: dict[tuple[int, int], Any] | None = None

    def keep(self, node: FieldNode, parents: Sequence[Any], answers: Callable[[], Iterable[Any]]) -> None:
        """Keep the answers for these parents; they are asked for only if they are looked up."""
        self._kept.append((node, parents, answers))
        self._found = None

    def find(self, node: FieldNode, parent: Any) -> Any:
        """The answer, which may be an exception, or MISSING where nobody has asked."""
        if self._found is None:
            # Every parent is kept, so that none of these numbers can come to mean another object.
            self._found = {
                (id(node), id(parent)): answer
                for node, parents, answers in self._kept
                for parent, answer in zip(parents, answers(), strict=True)
            }
        return self._found.get((id(node), id(parent)), MISSING)


class Run:
    """The state of one run. `event` is what a subscription's source brought, `common` what its runs have in common.

    `completed` are the root fields of a mutation that are done: what comes after them changes nothing of their answer.
    """

    __slots__ = ("_batches", "_common", "_extensions", "completed", "context", "event", "info", "records", "variables")

    def __init__(
        self,
        info: OperationInfo,
        context: Context,
        variables: dict[str, Any],
        extensions: dict[str, Any],
        event: Any = None,
        common: CommonLoads | None = None,
    ) -> None:
        self.info = info
        self.context = context
        self.variables = variables
        self.event = event
        self.records = Records()
        self.completed: dict[str, Any] = {}
        self._extensions = extensions
        self._batches: dict[type, EntityLoads] = {}
        self._common = common

    def start_afresh(self) -> None:
        """From here on nothing that was read earlier is seen again: the next root field of a mutation."""
        self.context = self.context.fresh()
        self._batches = {}

    async def root(self, call: RootCall) -> list[Any]:
        """The value of a root field, alone in a list."""
        given = call.arguments(self.variables)
        source = self.event
        args = [source] if call.takes_self else []
        for name in call.source_names:
            given[name] = source
        info = self._info(call)
        if call.info_name is not None:
            given[call.info_name] = info
        try:
            value = call.definition.get_result(source, info, args, given)
            value = await value if is_awaitable(value) else value
        except Exception as error:
            failure = (error,)
            self.records.keep(call.planned.nodes[0], (source,), lambda: failure)
            raise ViolationError from None
        values = [value]
        self.records.keep(call.planned.nodes[0], (source,), lambda: values)
        return values

    async def batch(self, call: BatchCall, parents: list[Document]) -> list[Any]:
        """The values of a batched field, for each parent."""
        given = call.arguments(self.variables)
        try:
            values = await call_batched(call.function, self.context, parents, given)
        except Exception as error:
            failures = [error] * len(parents)
            self.records.keep(call.node, parents, lambda: failures)
            raise ViolationError from None
        self.records.keep(call.node, parents, lambda: values)
        return values

    async def load(self, call: LoadCall, parents: list[Document], ids: list[str]) -> dict[str, Any]:
        """The documents of these ids, each once; None for one that is not the viewer's to see."""
        found = await self._load(call, ids)
        self.records.keep(call.node, parents, lambda: [found[id] for id in ids])
        return found

    async def load_many(self, call: LoadCall, parents: list[Document], lists: list[Sequence[str]]) -> dict[str, Any]:
        """The documents of all ids in these lists, each once."""
        found = await self._load(call, [id for ids in lists for id in ids])
        self.records.keep(call.node, parents, lambda: [[found[id] for id in ids] for ids in lists])
        return found

    async def gather(self, *waiting: Coroutine[Any, Any, Any]) -> list[Any]:
        """All results. Where one of them fails, the others come to their end first: what they read is kept."""
        if len(waiting) == 1:
            return [await waiting[0]]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    async def _load(self, call: LoadCall, ids: list[str]) -> dict[str, Any]:
        if not call.is_interface:
            return _complete(ids, await self._of(call.entity, call.load).get(ids))
        graph = self.info.graph
        by_entity: dict[type, list[str]] = {}
        for id in ids:
            by_entity.setdefault(graph.entity_of(call.entity, id), []).append(id)
        parts = [self._of(entity, self.info.loads.get(entity)).get(some) for entity, some in by_entity.items()]
        found: dict[str, Any] = {}
        for part in [await parts[0]] if len(parts) == 1 else await self.gather(*parts):
            found.update(part)
        return _complete(ids, found)

    def _of(self, entity: type, load: Load | None) -> EntityLoads:
        is_common = self._common is not None and not self.info.graph.of_viewers.get(entity, True)
        batches = self._common if is_common and self._common is not None else self._batches
        loads = batches.get(entity)
        if loads is None:
            loads = batches[entity] = EntityLoads(self.context, load)
        return loads

    def _info(self, call: RootCall) -> Any:
        planned, known = call.planned, self.info
        schema = known.graph.graphql_schema
        raw: Any = SelectingInfo(
            planned.name,
            list(planned.nodes),
            planned.type,
            known.root,
            Path(None, planned.key, known.root.name),
            schema,
            known.fragments,
            self.event,
            known.operation,
            self.variables,
            self.context,
            is_awaitable,
            None,
            HELPERS,
            self._extensions,
        )
        raw.keys = call.keys
        return Info(_raw_info=raw, _field=call.definition)


def _complete(ids: list[str], found: dict[str, Any]) -> dict[str, Any]:
    # Ids that nothing was answered for, and those that are none: graphql-core asks again, and says what is wrong.
    if not all(id in found for id in ids) or None in found:
        raise ViolationError
    return found


def _track(values: Sequence[Any]) -> None:
    for value in values:
        if is_awaitable(value):
            task = asyncio.ensure_future(value)
            _tracked.add(task)
            task.add_done_callback(_settled)


def _settled(task: asyncio.Future[Any]) -> None:
    _tracked.discard(task)
    if not task.cancelled():
        task.exception()


def _gather(values: Sequence[Awaitable[Any]]) -> Awaitable[list[Any]]:
    return gather_with_cancel(*values)


HELPERS: Final = GraphQLResolveInfoHelpers(gather=_gather, track=_track)
