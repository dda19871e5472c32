"""The variables of a compiled operation: those of plain scalar types are read at once, all others by graphql-core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphql import (
    GraphQLBoolean,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLSchema,
    GraphQLString,
    Undefined,
    VariableDefinitionNode,
    is_leaf_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.utilities import coerce_input_value

MAX_INT: Final = 2**31 - 1
_CLASSES: Final[dict[object, type]] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}

ReadVariables = Callable[[Mapping[str, Any]], dict[str, Any] | None]
_Reader = Callable[[Any], Any]


def variables_reader(schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode]) -> ReadVariables:
    """A function of a request's variables that returns them coerced.

    It returns None where graphql-core is to look at them: they are wrong, absent with a default, or no leaves.
    """
    readers: list[tuple[str, bool, _Reader]] = []
    for definition in definitions:
        type_ = type_from_ast(schema, definition.type)
        is_required = is_non_null_type(type_)
        named = type_.of_type if is_non_null_type(type_) else type_
        if not is_leaf_type(named):
            return _by_reference
        must_be_there = is_required or definition.default_value is not None
        readers.append((definition.variable.name.value, must_be_there, _reader(named, nullable=not is_required)))

    def read(raw: Mapping[str, Any]) -> dict[str, Any] | None:
        coerced: dict[str, Any] = {}
        for name, must_be_there, reader in readers:
            if name not in raw:
                if must_be_there:
                    return None
                continue
            value = reader(raw[name])
            if value is Undefined:
                return None
            coerced[name] = value
        return coerced

    return read


def _by_reference(_raw: Mapping[str, Any]) -> None:
    return None


def _reader(type_: GraphQLLeafType, *, nullable: bool) -> _Reader:
    null = None if nullable else Undefined
    of_class = _CLASSES.get(type_)

    def as_class(value: Any) -> Any:
        return value if value.__class__ is of_class else null if value is None else Undefined

    def as_int(value: Any) -> Any:
        if value.__class__ is int and -MAX_INT <= value <= MAX_INT:
            return value
        return null if value is None else Undefined

    def as_leaf(value: Any) -> Any:
        return null if value is None else coerce_input_value(value, type_)

    if of_class is not None:
        return as_class
    return as_int if type_ is GraphQLInt else as_leaf
