"""Writes the code that completes values: checks what a field promises and puts answers together."""

from __future__ import annotations

import math
from typing import Final

from graphql import (
    GraphQLLeafType,
    GraphQLOutputType,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from schema.composition import Composed

from .leaves import leaf_of
from .plan import Branch, PlannedField
from .planning import NotCompiledError
from .runs import ViolationError
from .source import Source, quoted

# Python nests at most 20 loops in one function.
MAX_LOOPS: Final = 16


class Completion:
    """Writes into `source`. Code that meets a value that is not as promised raises, whatever it is: a key that is
    missing where there may be no null is a KeyError, a value of the wrong class a ViolationError.

    Parents of fields that need calls are collected, with the objects that the answers go into, in the lists
    `parents_N`, `keys_N` and `outs_N` of the level N that such a field begins.
    """

    def __init__(self, graph: Composed, source: Source) -> None:
        self._graph = graph
        self._source = source
        self._loops = 0
        source.constant("ViolationError", ViolationError)
        source.constant("INFINITY", math.inf)

    def write(self, type_: GraphQLOutputType, branches: tuple[Branch, ...], value: str) -> str:
        """Complete the variable `value`; the name of the variable with the result, which may be the same."""
        if is_non_null_type(type_):
            return self._write_present(type_.of_type, branches, value)
        if is_leaf_type(type_):
            self._write_leaf(type_, value, nullable=True)
            return value
        result = self._source.variable("done")
        self._source.line(f"{result} = None")
        with self._source.block(f"if {value} is not None:"):
            self._write_present(type_, branches, value, result)
        return result

    def _write_present(
        self, type_: GraphQLOutputType, branches: tuple[Branch, ...], value: str, result: str = ""
    ) -> str:
        if is_leaf_type(type_):
            self._write_leaf(type_, value, nullable=False)
            return value
        result = result or self._source.variable("done")
        if is_list_type(type_):
            self._write_list(type_.of_type, branches, value, result)
        else:
            self._write_object(is_abstract_type(type_), branches, value, result)
        return result

    def _write_leaf(self, type_: GraphQLLeafType, value: str, *, nullable: bool) -> None:
        leaf = leaf_of(type_)
        for name, constant in leaf.constants.items():
            self._source.constant(name, constant)
        replaced = f"{value} = {leaf.otherwise.format(value)}"
        conditions = [f"{value} is not None"] if nullable else []
        if leaf.unless:
            conditions.append(leaf.unless.format(value))
        if not conditions:
            self._source.line(replaced)
            return
        with self._source.block(f"if {' and '.join(conditions)}:"):
            self._source.line(replaced)

    def _write_list(self, item: GraphQLOutputType, branches: tuple[Branch, ...], value: str, result: str) -> None:
        self._loops += 1
        if self._loops > MAX_LOOPS:
            raise NotCompiledError("too_large")
        self._write_guard(f"{value}.__class__ is not list and {value}.__class__ is not tuple")
        each = self._source.variable("item")
        named = item.of_type if is_non_null_type(item) else item
        if is_leaf_type(named) and leaf_of(named).unless:
            self._write_leaves(named, is_non_null_type(item), value, each, result)
            self._loops -= 1
            return
        self._source.line(f"{result} = []")
        with self._source.block(f"for {each} in {value}:"):
            completed = self.write(item, branches, each)
            self._source.line(f"{result}.append({completed})")
        self._loops -= 1

    def _write_leaves(self, item: GraphQLLeafType, required: bool, value: str, each: str, result: str) -> None:
        """A list of leaves that are right already is the answer itself."""
        leaf = leaf_of(item)
        for name, constant in leaf.constants.items():
            self._source.constant(name, constant)
        unless, otherwise = leaf.unless.format(each), leaf.otherwise.format(each)
        if not required:
            unless = f"{each} is not None and {unless}"
            otherwise = f"None if {each} is None else {otherwise}"
        self._source.line(f"{result} = {value} if {value}.__class__ is list else list({value})")
        with self._source.block(f"for {each} in {value}:"), self._source.block(f"if {unless}:"):
            self._source.line(f"{result} = [{otherwise} for {each} in {value}]")
            self._source.line("break")

    def _write_object(self, abstract: bool, branches: tuple[Branch, ...], value: str, result: str) -> None:
        self._write_guard(f"{value}.__class__ is not dict")
        if not abstract:
            self._write_fields(branches[0], value, result, quoted(branches[0].types[0]))
            return
        type_of = self._source.constant("type_of", self._graph.type_of)
        type_name = self._source.variable("type")
        self._source.line(f"{type_name} = {type_of}({value}, None, None)")
        first = self._source.variables
        for index, branch in enumerate(branches):
            opening = f"{'elif' if index else 'if'} {type_name} in ({', '.join(map(quoted, branch.types))},):"
            with self._source.alternative(first), self._source.block(opening):
                self._write_fields(branch, value, result, type_name)
        with self._source.block("else:"):
            self._source.line("raise ViolationError")

    def _write_fields(self, branch: Branch, value: str, result: str, type_name: str) -> None:
        entries: list[str] = []
        for field in branch.fields:
            if field.kind == "typename":
                entries.append(f"{quoted(field.key)}: {type_name}")
            elif field.level is not None:
                entries.append(f"{quoted(field.key)}: None")
            else:
                entries.append(f"{quoted(field.key)}: {self._write_read(field, value)}")
        self._source.line(f"{result} = {{{', '.join(entries)}}}")
        for field in branch.fields:
            if field.kind == "batched":
                self._source.line(f"parents_{field.level}.append({value})")
                self._source.line(f"outs_{field.level}.append({result})")
            elif field.level is not None:
                self._write_reference(field, value, result)

    def _write_read(self, field: PlannedField, value: str) -> str:
        read = self._source.variable(field.key)
        if field.kind == "computed":
            function = self._source.constant(f"compute_{field.parent}_{field.name}", field.source.function)
            self._source.line(f"{read} = {function}({value})")
        else:
            key = quoted(field.source.key)
            there = is_non_null_type(field.type)
            self._source.line(f"{read} = {value}[{key}]" if there else f"{read} = {value}.get({key})")
        return self.write(field.type, field.branches, read)

    def _write_reference(self, field: PlannedField, value: str, result: str) -> None:
        key = self._source.variable("key")
        if field.kind == "references":
            self._source.line(f"{key} = {value}.get({quoted(field.source.key)}) or ()")
            self._write_guard(f"{key}.__class__ is not list and {key}.__class__ is not tuple")
            self._write_collecting(field, key, value, result)
            return
        self._source.line(f"{key} = {value}.get({quoted(field.source.key)})")
        if is_non_null_type(field.type):
            self._write_guard(f"{key} is None")
            self._write_collecting(field, key, value, result)
            return
        with self._source.block(f"if {key} is not None:"):
            self._write_collecting(field, key, value, result)

    def _write_collecting(self, field: PlannedField, key: str, value: str, result: str) -> None:
        self._source.line(f"parents_{field.level}.append({value})")
        self._source.line(f"keys_{field.level}.append({key})")
        self._source.line(f"outs_{field.level}.append({result})")

    def _write_guard(self, violation: str) -> None:
        with self._source.block(f"if {violation}:"):
            self._source.line("raise ViolationError")
