"""The kinds of field: how each gets its value from parent documents, so that N+1 reads cannot be written."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from graphql import GraphQLField, GraphQLUnionType, get_named_type
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.unset import UNSET

from datastores.errors import ExpectedError
from datastores.mongo import Document
from resolvers.audiences import Listening
from resolvers.context import Context
from schema.scalars import ARGUMENT_SCALARS

from .strawberry_hooks import DEFINITION, SelectingInfo

T = TypeVar("T")
Kind = Literal["plain", "computed", "reference", "references", "batched", "root"]
# Who hears the same of a subscription: the members of a conversation, one viewer on several devices, or nobody else.
Hearers = Literal["members", "viewer", "one"]
BatchFunction = Callable[..., Awaitable[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where a field's value comes from; a compiled executor finds it with `source_of`.

    `key` is the document key of a plain field or a reference; `reads` the keys that a computed field reads; `service`
    names the service of somebody else that the field asks; `most` is how long a list without a page size may be.
    `viewer` says whether the value depends on who asks: None where that is up to the entity that a reference names.
    `hearers` is that of a subscription.
    """

    kind: Kind = "plain"
    function: Callable[..., Any] | None = None
    key: str | None = None
    entity: type | None = None
    reads: tuple[str, ...] = ()
    service: str | None = None
    most: int | None = None
    viewer: bool | None = False
    hearers: Hearers = "one"


_PLAIN = FieldSource()


def source_of(field: GraphQLField) -> FieldSource:
    """The source of a field of a built schema."""
    definition = field.extensions.get(DEFINITION)
    source: FieldSource = definition.metadata.get("source", _PLAIN) if definition is not None else _PLAIN
    return source


def read_key(document: Document, name: str) -> Any:
    """The value of a plain field: its key of the document, `_id` for `id`."""
    return document.get(key_of(name))


def key_of(name: str) -> str:
    """The key of a document that a plain field of that name reads."""
    return "_id" if name == "id" else name


def compilable_source(field: GraphQLField) -> FieldSource | None:
    """The source of a field with the `key` that it reads; None where another kind of resolver gives its value."""
    definition = field.extensions.get(DEFINITION)
    if definition is None or definition.extensions or definition.permission_classes:
        return None
    source: FieldSource = definition.metadata.get("source", _PLAIN)
    if source.kind == "plain":
        is_read = isinstance(definition, _Field) or definition.default_resolver is read_key
        if definition.base_resolver is not None or not is_read:
            return None
        return replace(source, key=key_of(source.key or definition.python_name))
    return source


class _Field(StrawberryField):
    @property
    def is_basic_field(self) -> bool:
        return self.source.kind in ("plain", "computed")

    @property
    def source(self) -> FieldSource:
        source: FieldSource = self.metadata.get("source", _PLAIN)
        return source

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        kind, function, key = self.source.kind, self.source.function, self.source.key
        if kind == "root":
            _begin(info.context.listening, kwargs)
            return _await_root(super().get_result(source, info, args, kwargs), info)
        if kind == "computed" and function is not None:
            return function(source)
        if kind == "plain":
            return read_key(source, key or self.python_name)
        if kind == "reference":
            referred = source.get(key)
            return None if referred is None else info.schema.load(info.context, self.source.entity, referred)
        if kind == "references":
            return [info.schema.load(info.context, self.source.entity, one) for one in source.get(key) or ()]
        # Within one operation an AST node determines its arguments, so parents of one node can share a call.
        node = info._raw_info.field_nodes[0]
        context: Context = info.context
        return context.load(
            (id(self), id(node)),
            lambda parents: call_batched(function, context, parents, kwargs),
            source,
            cache=False,
        )


def _begin(listening: Listening, arguments: dict[str, Any]) -> None:
    """Where a stream begins that several hear, or that one takes up again, whatever its operation says."""
    if listening.part == "live":
        arguments.pop("after", None)
    elif listening.cursor is not None:
        arguments["after"] = listening.cursor


async def call_batched(
    function: BatchFunction | None, context: Context, parents: Sequence[Document], arguments: dict[str, Any]
) -> list[Any]:
    """The answers of one call with each parent once; a shared parent (one author of many posts) comes several times."""
    if function is None:
        raise TypeError("a batched field needs a function")
    once = {id(parent): parent for parent in parents}
    given = {name: value for name, value in arguments.items() if value is not UNSET}
    answers = dict(zip(once, await function(context, list(once.values()), **given), strict=True))
    return [answers[id(parent)] for parent in parents]


async def _await_root(result: Any, info: Any) -> Any:
    try:
        return await result if inspect.isawaitable(result) else result
    except ExpectedError as error:
        union = get_named_type(info._raw_info.return_type)
        if isinstance(union, GraphQLUnionType) and (name := union_member(union, error)) is not None:
            # Returned as a document: graphql-core raises every exception that is returned as a value.
            return {"__typename": name, "code": error.code, "message": error.message, **error.details}
        raise


def union_member(union: GraphQLUnionType, error: ExpectedError) -> str | None:
    """The member of the union that stands for this error, by its class's name with or without `Error`."""
    names = {type(error).__name__, type(error).__name__.removesuffix("Error")}
    return next((member.name for member in union.types if member.name in names), None)


def plain(*, description: str, key: str | None = None, viewer: bool = False) -> Any:
    """A value that the document holds, under the field's own name unless `key` says another.

    `viewer=True` where whoever made the document looked at who asks.
    """
    return _field(FieldSource("plain", key=key, viewer=viewer), description)


def computed(function: Callable[[Any], Any], *, reads: Sequence[str], description: str) -> Any:
    """A pure function of the parent document, no I/O; `reads` names the keys that it reads."""
    return _field(FieldSource("computed", function, reads=tuple(reads)), description)


def loads(entity: type[Any], *, key: str, description: str, name: str | None = None) -> Any:
    """A reference: the document of `entity` whose id the parent has under `key`.

    `name` is the field's name in GraphQL where Python cannot say it.
    """
    return _field(FieldSource("reference", key=key, entity=entity, viewer=None), description, graphql_name=name)


def loads_many(entity: type[Any], *, key: str, description: str) -> Any:
    """A bounded list of references: the documents of `entity` whose ids the parent has under `key`."""
    return _field(FieldSource("references", key=key, entity=entity, viewer=None), description)


def batched(function: BatchFunction, *, description: str, viewer: bool = True, **arguments: str) -> Any:
    """`function(context, parents, **arguments)` answers for all parents of a level at once.

    `viewer=False` says that everybody who may see the parents gets the same answer, but for fields below that say
    otherwise: then several who listen share it. GraphQL arguments are the function's keyword-only parameters;
    `arguments` describes them. An answer that is an exception fails its own parent only.
    """
    return _batched(FieldSource("batched", function, viewer=viewer), function, description, arguments)


def delegates(function: BatchFunction, *, service: str, description: str, **arguments: str) -> Any:
    """As `batched`, where `function` asks a service of somebody else, by this name: `context.service(service)`.

    The field must be nullable: where the service fails, it is null beside an error with UPSTREAM_UNAVAILABLE, and the
    rest of the answer stands.
    """
    return _batched(FieldSource("batched", function, service=service, viewer=True), function, description, arguments)


def _batched(source: FieldSource, function: BatchFunction, description: str, arguments: dict[str, str]) -> Any:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := arguments.keys() - {p.name for p in parameters}:
        raise TypeError(f"{function.__name__} has no argument {', '.join(sorted(unknown))}")
    namespace = getattr(inspect.unwrap(function), "__globals__", None)
    return _field(
        source,
        description,
        [
            StrawberryArgument(
                p.name,
                None,
                StrawberryAnnotation(_graphql_annotation(p), namespace=namespace),
                default=UNSET if p.default in (None, p.empty) else p.default,
                description=arguments.get(p.name),
            )
            for p in parameters
        ],
    )


def _graphql_annotation(parameter: inspect.Parameter) -> Any:
    """The parameter's type in GraphQL: use cases know strings, the schema has scalars for some of them."""
    scalar = ARGUMENT_SCALARS.get(parameter.name)
    if scalar is None:
        return parameter.annotation
    return scalar | None if "None" in str(parameter.annotation) else scalar


def keys_selected(info: Any, entity: Any) -> frozenset[str] | None:
    """The keys of the documents of `entity` that are read of what a root method returns; None for all of them."""
    raw = info._raw_info
    return raw.keys.get(entity.__strawberry_definition__.name) if isinstance(raw, SelectingInfo) else None


def root(
    graphql_type: object,
    *,
    description: str,
    subscription: bool = False,
    service: str | None = None,
    most: int | None = None,
    hearers: Hearers = "one",
) -> Callable[[Callable[..., Any]], Any]:
    """A root field: `@root(Wallet | None, description=…)` over a method that returns documents.

    `service` names the service of somebody else that it asks: then it must be nullable, as what `delegates` is. `most`
    is how long a list may be that has no page size: its cost is reckoned by it.
    `hearers` of a subscription: all `members` of the conversation that its argument `conversationId` names hear the
    same, unless a field depends on who asks (an audience takes the place of the viewer, and events say who is told of
    them); the same `viewer` does; or each `one` has a stream of their own. A stream that several hear says of each
    event which place it takes (`resolvers/audiences.py`).
    """
    annotation = StrawberryAnnotation.from_annotation(graphql_type)

    def decorate(function: Callable[..., Any]) -> Any:
        made = _field(
            FieldSource("root", function, service=service, most=most, viewer=True, hearers=hearers),
            description,
            type_annotation=annotation,
            is_subscription=subscription,
        )
        return made(function)

    return decorate


def _field(
    source: FieldSource, description: str, arguments: list[StrawberryArgument] | None = None, **options: Any
) -> Any:
    made = _Field(metadata={"source": source}, description=description, **options)
    if arguments is not None:
        made.arguments = arguments
    return made
