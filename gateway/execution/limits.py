"""Limits on operations, decided on the parsed document before validation: linear in its size, fragments memoised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from .requests import RequestError

MAX_TOKENS: Final = 5_000
MAX_DEPTH: Final = 20
MAX_ALIASES: Final = 50
MAX_ROOT_FIELDS: Final = 30
MAX_DIRECTIVES: Final = 200
MAX_COST: Final = 50_000
_DEFAULT_PAGE: Final = 20
_MAX_PAGE: Final = 100
_FAR: Final = 10**9


@dataclass(frozen=True, slots=True)
class Size:
    """How large an operation is, fragments written out. `cost` bounds the objects that it can return."""

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    directives: int = 0
    cost: int = 0

    def beside(self, other: Size) -> Size:
        """Both in one selection set."""
        return Size(
            max(self.depth, other.depth),
            min(self.aliases + other.aliases, _FAR),
            min(self.root_fields + other.root_fields, _FAR),
            min(self.directives + other.directives, _FAR),
            min(self.cost + other.cost, _FAR),
        )

    def below(self, field: FieldNode, times: int) -> Size:
        """As the selection of `field`, which returns up to `times` objects."""
        selected = field.selection_set is not None
        return Size(
            self.depth + 1,
            min(self.aliases + (field.alias is not None), _FAR),
            1,
            min(self.directives + len(field.directives or ()), _FAR),
            min(times * (1 + self.cost), _FAR) if selected else 0,
        )


def check_limits(document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Size:
    """The operation's size; raises RequestError QUERY_TOO_COMPLEX where it is past a limit."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    size = _Measure(fragments, _defaults(operation) | dict(variables)).selection(operation.selection_set)
    for what, is_, most in (
        ("deep", size.depth, MAX_DEPTH),
        ("aliases", size.aliases, MAX_ALIASES),
        ("fields at its root", size.root_fields, MAX_ROOT_FIELDS),
        ("directives", size.directives, MAX_DIRECTIVES),
        ("objects that it may return", size.cost, MAX_COST),
    ):
        if is_ > most:
            shown = f"more than {most}" if is_ >= _FAR else str(is_)
            raise RequestError("QUERY_TOO_COMPLEX", f"The operation is too large: {what} {shown}, at most {most}", 400)
    return size


class _Measure:
    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]) -> None:
        self._fragments = fragments
        self._variables = variables
        self._sizes: dict[str, Size] = {}

    def selection(self, selection_set: SelectionSetNode | None) -> Size:
        size = Size()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                size = size.beside(self._field(node))
            elif isinstance(node, InlineFragmentNode):
                inner = self.selection(node.selection_set)
                size = size.beside(inner).beside(Size(directives=len(node.directives or ())))
            elif isinstance(node, FragmentSpreadNode):
                size = size.beside(self._fragment(node.name.value)).beside(Size(directives=len(node.directives or ())))
        return size

    def _field(self, node: FieldNode) -> Size:
        if node.name.value in ("__schema", "__type"):
            inner = self.selection(node.selection_set)
            return Size(inner.depth + 1, inner.aliases, 1, inner.directives, 0)
        return self.selection(node.selection_set).below(node, self._times(node))

    def _fragment(self, name: str) -> Size:
        if name not in self._sizes:
            # A fragment that spreads itself is refused by validation; here it must only end.
            self._sizes[name] = Size()
            fragment = self._fragments.get(name)
            self._sizes[name] = self.selection(fragment.selection_set if fragment else None)
        return self._sizes[name]

    def _times(self, node: FieldNode) -> int:
        for argument in node.arguments or ():
            if argument.name.value in ("first", "last"):
                value: Any = None
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value) if len(argument.value.value) < 12 else _FAR
                elif isinstance(argument.value, VariableNode):
                    value = self._variables.get(argument.value.name.value)
                if isinstance(value, int) and not isinstance(value, bool):
                    return max(0, min(value, _MAX_PAGE))
                return _DEFAULT_PAGE
        return _DEFAULT_PAGE if _is_connection(node) else 1


def _is_connection(node: FieldNode) -> bool:
    names = {
        s.name.value for s in (node.selection_set.selections if node.selection_set else ()) if isinstance(s, FieldNode)
    }
    return bool(names & {"edges", "nodes", "pageInfo"})


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    return {
        definition.variable.name.value: int(definition.default_value.value)
        for definition in operation.variable_definitions or ()
        if isinstance(definition.default_value, IntValueNode) and len(definition.default_value.value) < 12
    }
