"""From the values that resolvers of graphql-core's tests return to documents, which are what our executor reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from graphql import (
    GraphQLNamedType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.pyutils import is_async_iterable, is_awaitable, is_iterable

# No name of a field has such a sign: these keys hide none that a field reads.
VALUE: Final = "$value"
INFO: Final = "$info"

# The keys of plain fields of an object of this type, with their values.
ReadKeys = Callable[[Any, GraphQLNamedType, GraphQLResolveInfo[Any]], dict[str, Any]]


def documents_of(value: Any, type_: GraphQLOutputType, info: GraphQLResolveInfo[Any], read_keys: ReadKeys) -> Any:
    """`value` with a document in the place of each object, awaited objects and those of lists too.

    What is no object stays as it is, wrong values among them: an executor is to say what is wrong with them.
    """
    if is_leaf_type(get_named_type(type_)) or value is None or value is Undefined or isinstance(value, Exception):
        return value
    if is_non_null_type(type_):
        return documents_of(value, type_.of_type, info, read_keys)
    if is_awaitable(value):
        return _awaited(value, type_, info, read_keys)
    if not is_list_type(type_):
        return document_of(value, type_, info, read_keys)
    if isinstance(value, list | tuple):
        return [documents_of(item, type_.of_type, info, read_keys) for item in value]
    if is_async_iterable(value):
        return _each_awaited(value, type_.of_type, info, read_keys)
    return _each(value, type_.of_type, info, read_keys) if is_iterable(value) else value


def document_of(
    value: Any, type_: GraphQLOutputType, info: GraphQLResolveInfo[Any], read_keys: ReadKeys
) -> dict[str, Any]:
    """The document of one object, whatever it is."""
    return {VALUE: value, INFO: info, **read_keys(value, get_named_type(type_), info)}


async def _awaited(
    value: Awaitable[Any], type_: GraphQLOutputType, info: GraphQLResolveInfo[Any], read_keys: ReadKeys
) -> Any:
    return documents_of(await value, type_, info, read_keys)


def _each(value: Any, item: GraphQLOutputType, info: GraphQLResolveInfo[Any], read_keys: ReadKeys) -> Iterator[Any]:
    for each in value:
        yield documents_of(each, item, info, read_keys)


async def _each_awaited(
    value: Any, item: GraphQLOutputType, info: GraphQLResolveInfo[Any], read_keys: ReadKeys
) -> AsyncIterator[Any]:
    async for each in value:
        yield documents_of(each, item, info, read_keys)
