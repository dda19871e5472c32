"""How a compiled operation writes leaves: what is right already stays as it is, the rest goes through graphql-core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    Undefined,
)
from graphql.pyutils import is_awaitable

from schema.scalars import write_decimal, write_time

from .runs import ViolationError

# Values of these classes are no exceptions and nothing to wait for.
PLAIN_CLASSES: Final = frozenset({str, int, float, bool, datetime, Decimal})


MAX_TIMES: Final = 8_192


class Times(dict[datetime, str]):
    """How times are written. Of what everybody reads, such as the newest posts, each time is written once.

    At most 8,192 are kept. Raises ViolationError, or TypeError, for what is no time.
    """

    def __missing__(self, time: datetime) -> str:
        if not isinstance(time, datetime):
            raise ViolationError
        written = write_time(time)
        if time.__class__ is datetime and time.tzinfo is None:
            if len(self) >= MAX_TIMES:
                self.clear()
            self[time] = written
        return written


# What values become that are written by functions of ours, and the names that are needed for it.
_SHORTCUTS: Final[dict[Any, tuple[str, Mapping[str, Any]]]] = {
    write_time: ("times[{0}]", {"times": Times()}),
    write_decimal: ('format({0}, "f") if {0}.__class__ is Decimal else {1}', {"Decimal": Decimal}),
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf type in generated code, as templates over the variable that holds the value.

    `otherwise` is what the value becomes where `unless` is true of it, or always where that is empty. `constants` are
    the names that the code needs.
    """

    unless: str
    otherwise: str
    constants: Mapping[str, Any]


def leaf_of(type_: GraphQLLeafType) -> Leaf:
    """How values of this type are written."""
    name = f"write_{type_.name}"
    constants: dict[str, Any] = {name: writer_of(type_)}
    otherwise = f"{name}({{0}})"
    if isinstance(type_, GraphQLEnumType):
        names = f"names_{type_.name}"
        constants[names] = _names(type_)
        is_known = f"{{0}}.__class__ is str and {{0}} in {names}"
        return Leaf("", f"{names}[{{0}}] if {is_known} else {otherwise}", constants)
    if (shortcut := _SHORTCUTS.get(type_.coerce_output_value)) is not None:
        written, needed = shortcut
        return Leaf("", written.format("{0}", otherwise), {**constants, **needed})
    return Leaf(_unless(type_), otherwise, constants)


def _unless(type_: GraphQLLeafType) -> str:
    if type_ is GraphQLString or type_ is GraphQLID or type_.coerce_output_value is str:
        return "{0}.__class__ is not str"
    if type_ is GraphQLInt:
        return "({0}.__class__ is not int or not -2147483648 <= {0} <= 2147483647)"
    if type_ is GraphQLBoolean:
        return "{0}.__class__ is not bool"
    if type_ is GraphQLFloat:
        return "({0}.__class__ is not float or not -INFINITY < {0} < INFINITY)"
    return ""


def writer_of(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """A function that returns a value as it stands in an answer, and raises where graphql-core would not take it."""
    coerce = type_.coerce_output_value

    def write(value: Any) -> Any:
        if value.__class__ not in PLAIN_CLASSES and not _may_be_leaf(value):
            raise ViolationError
        written = coerce(value)
        if written is None or written is Undefined:
            raise ViolationError
        return written

    return write


def _may_be_leaf(value: Any) -> bool:
    return not (value is None or value is Undefined or isinstance(value, Exception) or is_awaitable(value))


def _names(type_: GraphQLEnumType) -> dict[str, str]:
    """The names of the values that documents hold as strings."""
    names: dict[str, str] = {}
    for definition in type_.values.values():
        value = definition.value
        text = value if value.__class__ is str else getattr(value, "value", None)
        if text.__class__ is not str:
            continue
        try:
            names[str(text)] = type_.coerce_output_value(str(text))
        except GraphQLError:
            continue
    return names
