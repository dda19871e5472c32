"""A schema of graphql-core's tests as a graph of ours: each field with a source that our compiler knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutine
from types import SimpleNamespace
from typing import Any, Final

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_interface_type,
    is_leaf_type,
    is_object_type,
)
from graphql.pyutils import is_async_iterable, is_awaitable

from resolvers.context import Context
from schema.composition import Composed, FieldSource
from schema.composition.fields import key_of, read_key
from schema.composition.strawberry_hooks import DEFINITION

from .calls import Call
from .documents import INFO, VALUE, document_of, documents_of

# The field that a root type hangs under where objects of that type are in the answer too: see `rooted`.
ROOT_FIELD: Final = "theRootValue"


@dataclass(frozen=True)
class Definition:
    """What our compiler asks of a field's definition, as `StrawberryField` answers it."""

    python_name: str
    metadata: Mapping[str, Any]
    arguments: Sequence[Any] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    permission_classes: Sequence[Any] = ()
    base_resolver: Any = None
    default_resolver: Any = read_key

    def get_result(self, _source: Any, info: Any, _args: list[Any], arguments: dict[str, Any]) -> Any:
        """The value of a root field."""
        return self.metadata["resolve"](info._raw_info, arguments)


class AdaptedGraph(Composed):
    """The graph of one call: root fields are methods, fields with resolvers are batched, other leaves are keys.

    Objects are documents that hold their keys beside the object itself. `is_rooted` says that the operation must be put
    below ROOT_FIELD.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.domains = []
        self.prefixes = {}
        self.loaders = {}
        self.of_viewers = {}
        self.selecting = set()
        self.services = frozenset()
        names = SimpleNamespace(from_argument=lambda argument: argument.name)
        self.schema_converter = SimpleNamespace(
            config=SimpleNamespace(name_converter=names), scalar_registry={_AS_IT_IS: None}
        )
        self._selected = call.names_selected()
        self._schema = deepcopy(call.schema)
        self._theirs = call.schema.type_map
        introspects = bool(self._selected & {"__schema", "__type"})
        self.is_rooted = not introspects and _is_nested(call.schema, call.schema.query_type)
        self._adapt()

    def type_of(self, document: Any, info: Any, abstract: Any) -> Any:
        """The name of a document's type, as the schema of the test finds it out; awaitable only with `info`."""
        theirs = document[INFO] if info is None else self._info(info)
        type_: Any = get_named_type(theirs.return_type) if abstract is None else self._theirs[abstract.name]
        found = (type_.resolve_type or self.call.type_resolver)(document[VALUE], theirs, type_)
        if info is None and is_awaitable(found):
            if iscoroutine(found):
                found.close()
            raise TypeError("what must be awaited is graphql-core's")
        return found

    def _adapt(self) -> None:
        roots = {self._schema.mutation_type, self._schema.subscription_type}
        if not self.is_rooted:
            roots.add(self._schema.query_type)
        for type_ in list(self._schema.type_map.values()):
            if type_.name.startswith("__"):
                continue
            if is_abstract_type(type_):
                type_.resolve_type = self.type_of
            if is_object_type(type_):
                type_.is_type_of = None
                for name, definition in type_.fields.items():
                    self._adapt_field(type_, name, definition, is_root=type_ in roots)
        query = self._schema.query_type
        if self.is_rooted and query is not None:
            self._schema.query_type = self._above(query)

    def _above(self, query: GraphQLObjectType) -> GraphQLObjectType:
        theirs: Any = self.call.schema.query_type
        field_of_theirs = GraphQLField(theirs, resolve=lambda root_value, _info: root_value)
        above = GraphQLObjectType("TheRoot", {ROOT_FIELD: GraphQLField(query)})
        self._theirs = {**self._theirs, above.name: GraphQLObjectType(above.name, {ROOT_FIELD: field_of_theirs})}
        self._adapt_field(above, ROOT_FIELD, above.fields[ROOT_FIELD], is_root=True, as_documents=document_of)
        return above

    def _adapt_field(
        self,
        parent: GraphQLObjectType,
        name: str,
        adapted: GraphQLField,
        *,
        is_root: bool,
        as_documents: Callable[..., Any] = documents_of,
    ) -> None:
        parent_type: Any = self._theirs[parent.name]
        theirs = parent_type.fields[name]
        resolver = theirs.resolve or self.call.field_resolver
        python_names = {given: argument.out_name or given for given, argument in theirs.args.items()}

        def resolve(source: Any, info: GraphQLResolveInfo[Any], arguments: Mapping[str, Any]) -> Any:
            given = {python_names[key]: value for key, value in arguments.items()}
            value = self._noticed(resolver(source, info, **given))
            return as_documents(value, theirs.type, info, self._read_keys)

        def resolve_one(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
            if not is_root and key in source:
                return source[key]
            return resolve(self.call.root_value if is_root else source[VALUE], self._info(info), arguments)

        async def resolve_all(_context: Context, parents: Sequence[Any], **arguments: Any) -> list[Any]:
            info = self.call.info(parent_type, name, theirs)
            return await _settled(_tried(partial(resolve, parent[VALUE], info, arguments)) for parent in parents)

        def resolve_root(raw: Any, arguments: Mapping[str, Any]) -> Any:
            return resolve(self.call.root_value, self.call.info(parent_type, name, theirs, raw), arguments)

        key = key_of(name)
        for argument in adapted.args.values():
            argument.out_name = None
        arguments = [SimpleNamespace(name=given, python_name=given, type=_AS_IT_IS) for given in theirs.args]
        adapted.resolve = resolve_one
        metadata: dict[str, Any] = {"source": FieldSource("batched", resolve_all)}
        base_resolver = None
        if is_root:
            metadata = {"source": FieldSource("root", resolve_root), "resolve": resolve_root}
            base_resolver = _RESOLVER
        elif _is_plain(theirs):
            metadata = {"source": FieldSource("plain", key=name)}
        adapted.extensions = {DEFINITION: Definition(name, metadata, arguments, base_resolver=base_resolver)}

    def _info(self, info: GraphQLResolveInfo[Any]) -> GraphQLResolveInfo[Any]:
        parent: Any = self._theirs[info.parent_type.name]
        return self.call.info(parent, info.field_name, parent.fields[info.field_name], info)

    def _read_keys(self, value: Any, named: GraphQLNamedType, info: GraphQLResolveInfo[Any]) -> dict[str, Any]:
        """What plain fields read of an object: those alone that are selected, since reading may call a method."""
        found: dict[str, Any] = {}
        type_: Any = self._object_type(value, named, info)
        for name, definition in type_.fields.items() if type_ is not None else ():
            if name in self._selected and _is_plain(definition):
                read = self.call.info(type_, name, definition)
                found[key_of(name)] = self._noticed(_tried(partial(self.call.field_resolver, value, read)))
        return found

    def _noticed(self, value: Any) -> Any:
        items = value if isinstance(value, list) else ()
        if is_awaitable(value) or is_async_iterable(value) or any(map(is_awaitable, items)):
            self.call.seen.awaitable = True
        return value

    def _object_type(self, value: Any, named: GraphQLNamedType, info: GraphQLResolveInfo[Any]) -> Any:
        if is_object_type(named):
            return named
        try:
            name = self.type_of({VALUE: value, INFO: info}, None, named)
        except Exception:
            # Whoever asks again is told; fields of nothing are not read.
            return None
        found = self._theirs.get(name) if isinstance(name, str) else None
        return found if is_object_type(found) else None


# The type of an argument whose coerced value needs no conversion to Python.
_AS_IT_IS: Final = object
_RESOLVER: Final = SimpleNamespace(self_parameter=None, parent_parameter=None, root_parameter=None, info_parameter=None)


def _tried(resolve: Callable[[], Any]) -> Any:
    try:
        return resolve()
    except Exception as error:
        return error


async def _settled(values: Iterable[Any]) -> list[Any]:
    """The values with those that can be awaited awaited, all at once; an exception in the place of what fails."""
    found = list(values)
    waiting = [index for index, value in enumerate(found) if is_awaitable(value)]
    for index, value in zip(
        waiting, await asyncio.gather(*(found[index] for index in waiting), return_exceptions=True), strict=True
    ):
        found[index] = value
    return found


def _is_plain(definition: GraphQLField) -> bool:
    return definition.resolve is None and not definition.args and is_leaf_type(get_named_type(definition.type))


def _types_of_fields(schema: GraphQLSchema) -> Iterable[GraphQLNamedType]:
    for type_ in schema.type_map.values():
        if not type_.name.startswith("__") and (is_object_type(type_) or is_interface_type(type_)):
            for definition in type_.fields.values():
                yield get_named_type(definition.type)


def _is_nested(schema: GraphQLSchema, root: GraphQLObjectType | None) -> bool:
    """Whether objects of the root type stand below fields as well, which no root type of ours does."""
    if root is None:
        return False
    found = set(_types_of_fields(schema))
    return root in found or any(
        root in schema.get_possible_types(abstract) for abstract in found if is_abstract_type(abstract)
    )
