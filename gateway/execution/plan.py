"""Plans: an operation as levels, each completed at once for all parents, in a form that can be printed and read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from graphql import FieldNode, GraphQLField, GraphQLOutputType, is_abstract_type, print_ast

from schema.composition import FieldSource

from .requests import OperationKind

FieldKind = Literal["typename", "plain", "computed", "reference", "references", "batched", "root", "event"]
CALLS: frozenset[FieldKind] = frozenset({"reference", "references", "batched", "root", "event"})


@dataclass(frozen=True, slots=True)
class PlannedField:
    """One entry of a selection: `nodes` are the places of the document that ask for it, merged.

    A field that needs a call has the number of the `level` that completes its values; any other is read from its
    parent where it stands, with all that is below it up to the next call.
    """

    key: str
    name: str
    parent: str
    kind: FieldKind
    nodes: tuple[FieldNode, ...]
    field: GraphQLField
    source: FieldSource
    branches: tuple[Branch, ...] = ()
    level: int | None = None

    @property
    def type(self) -> GraphQLOutputType:
        """Its type in the schema."""
        return self.field.type


@dataclass(frozen=True, slots=True)
class Branch:
    """What is selected of an object whose type is one of `types`."""

    types: tuple[str, ...]
    fields: tuple[PlannedField, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """The values of one field that needs a call, for all of its parents, and what is selected of them."""

    number: int
    field: PlannedField
    branches: tuple[Branch, ...]

    @property
    def calls(self) -> tuple[PlannedField, ...]:
        """The fields below that need calls of their own, in the order in which they stand."""
        return tuple(calls_of(self.branches))


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation with the directives of its selections decided: `conditions` are the variables that decided them."""

    kind: OperationKind
    name: str | None
    root: str
    conditions: tuple[tuple[str, bool], ...]
    fields: tuple[PlannedField, ...]
    levels: tuple[Level, ...]

    def __str__(self) -> str:
        """The plan for people: a line for each field, levels in order."""
        return "\n".join(_lines(self))


def calls_of(branches: tuple[Branch, ...]) -> Iterator[PlannedField]:
    """The fields of these branches that need a call, without those below other calls."""
    for branch in branches:
        for field in branch.fields:
            if field.level is not None:
                yield field
            else:
                yield from calls_of(field.branches)


def _lines(plan: Plan) -> Iterator[str]:
    conditions = ", ".join(f"${name}: {str(value).lower()}" for name, value in plan.conditions)
    yield " ".join(filter(None, [plan.kind, plan.name, conditions and f"({conditions})"]))
    for field in plan.fields:
        yield from _field_lines(field, "  ")
    for level in plan.levels:
        yield f"level {level.number}: {level.field.parent}.{level.field.name}: {level.field.type}"
        yield from _branch_lines(level.branches, is_abstract_type(_named(level.field.type)), "  ")


def _branch_lines(branches: tuple[Branch, ...], abstract: bool, indent: str) -> Iterator[str]:
    for branch in branches:
        if abstract:
            yield f"{indent}on {' | '.join(branch.types)}"
        for field in branch.fields:
            yield from _field_lines(field, indent + "  " * abstract)


def _field_lines(field: PlannedField, indent: str) -> Iterator[str]:
    alias = "" if field.key == field.name else f"{field.key}: "
    given = ", ".join(print_ast(argument) for argument in field.nodes[0].arguments or ())
    written = f"{alias}{field.name}{given and f'({given})'}"
    if field.kind == "typename":
        yield f"{indent}{written}"
        return
    yield f"{indent}{written}: {field.type}  {_how(field)}"
    if field.level is None:
        yield from _branch_lines(field.branches, is_abstract_type(_named(field.type)), indent + "  ")


def _how(field: PlannedField) -> str:
    source = field.source
    function = getattr(source.function, "__name__", "")
    how = {
        "plain": f"key {source.key}",
        "computed": f"computed from {', '.join(source.reads)}",
        "reference": f"loads {getattr(source.entity, '__name__', '')} by {source.key}",
        "references": f"loads many {getattr(source.entity, '__name__', '')} by {source.key}",
        "batched": f"calls {function} once",
        "root": f"calls {function}",
        "event": "is the event",
        "typename": "",
    }[field.kind]
    return how if field.level is None else f"{how} → level {field.level}"


def _named(type_: object) -> object:
    while (inner := getattr(type_, "of_type", None)) is not None:
        type_ = inner
    return type_
