"""What an answer really cost: its objects and values, counted with the weights by which operations are measured."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)

from .limits import weight_of

# Fragments can make what is asked of each object of an answer differ from all others: of so many it is remembered.
MAX_TALLIES: Final = 1_000

_Parent = GraphQLObjectType | GraphQLInterfaceType | None
_Selection = tuple[SelectionSetNode, _Parent]


@dataclass(frozen=True, slots=True)
class Tally:
    """How the objects at one place of an answer are counted.

    `weights` are by key what a value costs beyond one; `below` says by key how the objects under it are counted.
    """

    weights: tuple[tuple[str, int], ...]
    below: tuple[tuple[str, _Below], ...]

    def count(self, objects: Sequence[dict[str, Any]]) -> int:
        """The cost of these objects with all that is below them."""
        # One for each object and each of its values, whatever they are.
        total = len(objects) + sum(map(len, objects))
        for key, weight in self.weights:
            total += weight * sum([key in each for each in objects])
        for key, below in self.below:
            if found := _flat(each.get(key) for each in objects):
                total += (below.made or below.tally()).count(found)
        return total


@dataclass(slots=True)
class _Below:
    """The tally of what is selected under a key, made once there are objects: an operation may have any number."""

    making: _Making
    selections: tuple[_Selection, ...]
    made: Tally | None = None

    def tally(self) -> Tally:
        tally, is_kept = self.making.tally(self.selections)
        if is_kept:
            self.made = tally
        return tally


class Tallies:
    """Tallies of the operations of one schema, each made once and forgotten with its operation."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._known: dict[int, tuple[weakref.ref[OperationDefinitionNode], Tally]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def count(self, document: DocumentNode, operation: OperationDefinitionNode, data: dict[str, Any] | None) -> int:
        """What resolving `data` has cost, in the units of `gateway/execution/limits.py`."""
        if data is None:
            return 0
        # The root is no object that anybody has asked for.
        return self._tally(document, operation).count([data]) - 1

    def _tally(self, document: DocumentNode, operation: OperationDefinitionNode) -> Tally:
        key = id(operation)
        if (known := self._known.get(key)) is not None:
            return known[1]
        making = _Making(self._schema, document)
        tally, _ = making.tally(((operation.selection_set, self._schema.get_root_type(operation.operation)),))

        def forget(_gone: object) -> None:
            del self._known[key]
            making.forget()

        self._known[key] = (weakref.ref(operation, forget), tally)
        return tally


class _Making:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        # Fragments that spread others twice would double the work at each level.
        self._made: dict[tuple[tuple[int, str], ...], Tally] = {}

    def tally(self, selections: Sequence[_Selection]) -> tuple[Tally, bool]:
        """The tally of these selections, and whether it is remembered."""
        key = tuple((id(selection_set), parent.name if parent else "") for selection_set, parent in selections)
        if (known := self._made.get(key)) is not None:
            return known, True
        tally = self._make(selections)
        is_kept = len(self._made) < MAX_TALLIES
        if is_kept:
            self._made[key] = tally
        return tally, is_kept

    def forget(self) -> None:
        """Let go of what was made: it has a way back to here, and would wait for a round of collection."""
        self._made.clear()

    def _make(self, selections: Sequence[_Selection]) -> Tally:
        weights: dict[str, int] = {}
        below: dict[str, dict[int, _Selection]] = {}
        for node, parent in self._fields(selections):
            name = node.alias.value if node.alias else node.name.value
            field = self._schema.get_field(parent, node.name.value) if parent is not None else None
            weights[name] = max(weights.get(name, 0), weight_of(parent, node, field) - 1)
            if node.selection_set is not None:
                inner = _fields_of(get_named_type(field.type)) if field is not None else None
                below.setdefault(name, {})[id(node.selection_set)] = (node.selection_set, inner)
        return Tally(
            tuple((name, weight) for name, weight in weights.items() if weight),
            tuple((name, _Below(self, tuple(each.values()))) for name, each in below.items()),
        )

    def _fields(self, selections: Sequence[_Selection]) -> list[tuple[FieldNode, _Parent]]:
        found: list[tuple[FieldNode, _Parent]] = []
        pending, spread = list(selections), set[str]()
        while pending:
            selection_set, parent = pending.pop()
            for node in selection_set.selections:
                if isinstance(node, FieldNode):
                    found.append((node, parent))
                elif isinstance(node, InlineFragmentNode):
                    pending.append((node.selection_set, self._condition(node) or parent))
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                    spread.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                    pending.append((fragment.selection_set, self._condition(fragment)))
        return found

    def _condition(self, node: InlineFragmentNode | FragmentDefinitionNode) -> _Parent:
        return _fields_of(self._schema.get_type(node.type_condition.name.value)) if node.type_condition else None


def _fields_of(graphql_type: object) -> _Parent:
    return graphql_type if isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType) else None


def _flat(values: Iterable[Any]) -> list[dict[str, Any]]:
    """The objects among these values, or in the lists among them: under one key, all are lists or none is."""
    found = [value for value in values if value is not None]
    while found and found[0].__class__ is list:
        found = [value for value in chain.from_iterable(found) if value is not None]
    return found
